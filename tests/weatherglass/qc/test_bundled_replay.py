"""The rules on the bundled replay, without faults: whole °F and knots, interpolated to quarter hours."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from producer.replay.data import load_data
from weatherglass.anomaly import rule_limits
from weatherglass.anomaly.episodes import MERGE_HOURS, WEEK
from weatherglass.qc import series_checks
from weatherglass.records import VARIABLES
from weatherglass.settings import Settings

BUDGET = 0.2
"""Default of `WEATHERGLASS_FALSE_ALARMS_PER_WEEK`."""
TRAINING_WEEKS = 26


@pytest.fixture(scope="module")
def readings() -> tuple[np.ndarray, np.ndarray]:
    """Hours (4 * n,) and values (stations, 4 * n, 4) of a year of quarter hours."""
    data = load_data(Settings())
    values = data.quarter_hours(data.start + timedelta(hours=1), data.values.shape[1] - 2)[..., : len(VARIABLES)]
    return np.arange(values.shape[1]) / 4, values


def episodes_per_week(flagged: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """The number of episodes (weeks, stations, 4) that begin in each week."""
    counts = np.zeros((int(hours[-1] // WEEK) + 1, len(flagged), len(VARIABLES)), int)
    for station, variable in np.ndindex(len(flagged), len(VARIABLES)):
        at = hours[flagged[station, :, variable]]
        begins = at[np.diff(at, prepend=-1e9) > MERGE_HOURS]
        np.add.at(counts[:, station, variable], (begins // WEEK).astype(int), 1)
    return counts


@pytest.mark.parametrize("trained", [False, True])
def test_a_week_without_faults_has_no_more_flags_than_the_budget_allows(
    readings: tuple[np.ndarray, np.ndarray], trained: bool
) -> None:
    hours, values = readings
    step_limit, flat_limit = series_checks.STEP_PER_HOUR, series_checks.COARSE_FLAT_HOURS
    if trained:
        history = values[:, : TRAINING_WEEKS * WEEK * 4 : 4].astype(np.float32)
        step_limit, flat_limit = rule_limits.fit(history, 0.2 * BUDGET)
        assert (flat_limit[:, 0] >= series_checks.COARSE_FLAT_HOURS[0]).all()
    flagged = series_checks.check_steps(hours, values, step_limit).failed
    flagged |= series_checks.check_flat_lines(hours, values, flat_limit).failed
    counts = episodes_per_week(flagged, hours)[TRAINING_WEEKS if trained else 0 :]
    # Half of the budget is left for the soft flags.
    assert counts.mean(axis=(0, 1)).max() <= BUDGET / 2
    assert counts.mean() <= BUDGET / 4
    assert np.mean(counts.sum(axis=(1, 2)) <= BUDGET * len(values) * len(VARIABLES)) > 0.95


def test_a_sensor_that_is_stuck_in_the_replay_is_flagged(readings: tuple[np.ndarray, np.ndarray]) -> None:
    hours, values = readings
    stuck = values[:, :2000].copy()
    stuck[0, 500:700, 0] = 3.3
    failed = series_checks.check_flat_lines(hours[:2000], stuck, series_checks.COARSE_FLAT_HOURS).failed
    assert failed[0, 600:700, 0].all()
