"""Anomaly detection: rule limits, the learned score, checks of a single series, fault injection."""
