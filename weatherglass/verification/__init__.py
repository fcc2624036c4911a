"""Forecasts against what came true.

`truth` makes hours of stored observations, `baselines` says what persistence and the damped anomaly would have said,
`pairing` sums up errors, `verify` does so for the days that have something new and `hindcast` for history;
`comparison` tests a challenger against the champion, `degradation` and `drift` find what has become worse, `flags`
judges the anomaly flags. Everything is computed anew from what is stored, so running it again changes nothing.
"""
