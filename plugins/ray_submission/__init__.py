"""Submits Ray jobs (training) to the Ray head and waits for their end, without importing Ray."""
