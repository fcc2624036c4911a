"""Verification of forecasts against observations.

`scores` defines the scoring rules, `held_out_scores` applies them to held-out hours, and `score_rows` to stored
forecasts by version, station, day, lead and variable. `guidance_baseline` compares stored forecasts with raw guidance.
`score_days` scores the days with new records, `hindcast` the end of the history; `verification_run` combines the steps
of the DAG `verify_forecasts`. `held_out_test` and `sequential_test` test a challenger against the champion,
`degradation` and `drift` monitor the model in service, and `detection_scoring` scores the anomaly detector. All scores
are recomputed from stored records, so every step can be repeated.
"""
