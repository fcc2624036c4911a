"""Weather alerts: rules of users about the forecasts and the faults of stations.

Not to be confused with the alerts about the pipeline and its models in `weatherglass.alerts`.
"""
