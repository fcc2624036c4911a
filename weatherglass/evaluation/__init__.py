"""Evaluation of forecasts and of the anomaly detector on held-out data: errors, baselines, intervals, plots, tables."""
