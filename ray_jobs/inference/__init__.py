"""Forecasts and anomaly verdicts on the live stream: from `weather-features` to `weather-predictions`.

`hours` and `leading` hold what is known of the past, `answers` makes predictions of it, `champion` keeps the models
current, `service` is the Kafka loop with its transactions, `actor` the Ray actor around it.
"""
