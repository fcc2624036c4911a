"""The vectorised rules against a plain reading of their definitions, one value after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weatherglass.anomaly import rule_limits
from weatherglass.qc import series_checks

SERIES = st.lists(
    st.tuples(st.sampled_from([0.1, 0.25, 1.0, 4.0]), st.sampled_from([None, 10.0, 10.0, 10.5, 40.0])),
    min_size=1,
    max_size=40,
)


def arrays(series: list[tuple[float, float | None]]) -> tuple[np.ndarray, np.ndarray]:
    times = np.cumsum([gap for gap, _ in series])
    column = np.array([np.nan if value is None else value for _, value in series])
    return times, np.column_stack([column] * 4)


@given(SERIES)
@settings(deadline=None)
def test_steps_are_changes_since_the_last_known_value(series: list[tuple[float, float | None]]) -> None:
    times, values = arrays(series)
    made = series_checks.steps(times, values)
    last: tuple[float, float] | None = None
    for i, (time, value) in enumerate(zip(times, values[:, 0], strict=True)):
        fails = False
        if last and np.isfinite(value) and time - last[0] <= series_checks.GAP_HOURS:
            allowed = series_checks.STEP_PER_HOUR[0] * max(0.5, (time - last[0]) ** 0.5)
            fails = abs(value - last[1]) > allowed
        assert made.failed[i, 0] == fails
        if np.isfinite(value):
            last = (time, value)


@given(SERIES)
@settings(deadline=None)
def test_flat_stretches_are_runs_of_one_value_without_a_gap(series: list[tuple[float, float | None]]) -> None:
    times, values = arrays(series)
    made = series_checks.flats(times, values)
    since = last = None
    for i, (time, value) in enumerate(zip(times, values[:, 0], strict=True)):
        if not np.isfinite(value):
            continue
        if last is None or last[1] != value or time - last[0] > series_checks.GAP_HOURS:
            since = time
        last = (time, value)
        assert made.hours[i, 0] == time - since


def test_a_station_that_keeps_breaking_a_rule_gets_a_wider_limit_and_others_keep_the_published_one() -> None:
    rng = np.random.default_rng(0)
    values = (np.array([10.0, 60.0, 1000.0, 4.0]) + rng.normal(size=(2, 24 * 70, 4)) * 0.5).astype(np.float32)
    values[1, ::50, 2] += 40.0
    step, flat = rule_limits.fit(values, budget=0.1)
    np.testing.assert_allclose(step[0], series_checks.STEP_PER_HOUR)
    np.testing.assert_allclose(flat, np.broadcast_to(series_checks.FLAT_HOURS, flat.shape))
    assert step[1, 2] > 39
    times = np.arange(values.shape[1], dtype=float)[None]
    assert series_checks.steps(times, values, step).failed[1, :, 2].sum() <= 1
