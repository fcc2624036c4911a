"""Inputs of the isolation forest, against a plain loop over their definition."""

from __future__ import annotations

import numpy as np

from weatherglass.anomaly import isolation_features
from weatherglass.records import VARIABLES

HOURS = 60
FIRST = 5


def test_inputs_are_the_anomaly_its_changes_and_its_difference_from_the_mean_of_the_day_before() -> None:
    """With gaps of all lengths, so that the mean has from 0 to 24 values."""
    rng = np.random.default_rng(2)
    anomalies = rng.normal(size=(2, HOURS, len(VARIABLES))).astype(np.float32)
    anomalies[0, 1:30, 0] = np.nan
    anomalies[1, rng.random((HOURS, len(VARIABLES))) < 0.4] = np.nan
    spread = rng.uniform(1, 3, (2, len(VARIABLES)))
    inputs = isolation_features.compute(anomalies, spread, FIRST)
    assert inputs.shape == (2, HOURS - FIRST, 4 * len(VARIABLES))
    scaled = anomalies / spread[:, None]
    expected = np.full((2, HOURS, 4, len(VARIABLES)), np.nan)
    known = np.zeros((2, HOURS, len(VARIABLES)), int)
    for station, hour, v in np.ndindex(2, HOURS, len(VARIABLES)):
        value, series = scaled[station, hour, v], scaled[station, :, v]
        day_before = [one for one in series[max(hour - 24, 0) : hour] if not np.isnan(one)]
        known[station, hour, v] = len(day_before)
        expected[station, hour, 0, v] = value
        for column, change_hours in ((1, 1), (2, 3)):
            if hour >= change_hours:
                expected[station, hour, column, v] = value - series[hour - change_hours]
        if day_before:
            expected[station, hour, 3, v] = value - sum(day_before) / len(day_before)
    assert {0, 1, 24} <= set(known[:, FIRST:][np.isfinite(scaled[:, FIRST:])])
    np.testing.assert_allclose(inputs, expected[:, FIRST:].reshape(inputs.shape), atol=1e-5)
