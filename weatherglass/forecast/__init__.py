"""Forecast models: climatology, damped anomaly, spatial regression, boosted trees, intervals and the fallback."""
