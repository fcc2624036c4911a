"""Forecasts and anomaly detection: design matrices, models, their registry. Needs no engine."""
