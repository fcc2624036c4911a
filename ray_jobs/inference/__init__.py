"""Inference: forecasts and anomaly checks on the live stream, from `weather-features` to `weather-predictions`.

`inference_loop` is the Kafka loop with its transactions and `actor` the Ray actor that runs it. `hour_buffer` and
`deduplication` hold the state, `state_recovery` rebuilds it after a restart, `predictor` makes the predictions, and
`model_manager` keeps the models in line with the registry.
"""
