"""The shortened axis of a grid with long gaps, compared with the complete axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.prepared_history import table
from tests.synthetic_history import history, stations
from weatherglass.anomaly import features as detector_features
from weatherglass.forecast import climatology, damped_anomaly
from weatherglass.forecast.features import PAST_HOURS, case_features, model_inputs
from weatherglass.history.grid import KEPT_GAP_HOURS, LONG_GAP_HOURS, HourGrid, shortened_gaps
from weatherglass.history.prepared import grid_from_table
from weatherglass.records import LEADS

FIRST, SECOND, THIRD = 40 * 24 + 5, 100, 30 * 24
GAPS = (9 * 365 * 24 + 7, LONG_GAP_HOURS + 1)


def complete() -> HourGrid:
    """Three records with two long gaps, on a regular axis."""
    parts = [FIRST, GAPS[0], SECOND, GAPS[1], THIRD]
    days = -(-(FIRST + SECOND + THIRD) // 24)
    values = history(count=2, days=days).values
    result = np.full((2, sum(parts), values.shape[2]), np.nan, np.float32)
    at = 0
    taken = 0
    for number, length in enumerate(parts):
        if number % 2 == 0:
            result[:, at : at + length] = values[:, taken : taken + length]
            taken += length
        at += length
    return HourGrid(stations(2), np.datetime64("2013-05-01T03", "h"), result)


def shortened(grid: HourGrid) -> HourGrid:
    """By an own loop: the hours of the complete axis that `gaps` does not leave out."""
    gaps = shortened_gaps(np.isfinite(grid.values).any(axis=(0, 2)))
    kept = []
    at = 0
    for position, count in (*gaps, (10**9, 0)):
        while at < grid.values.shape[1] and len(kept) < position:
            kept.append(at)
            at += 1
        at += count
    return HourGrid(grid.stations, grid.start, grid.values[:, kept], gaps)


COMPLETE = complete()
SHORT = shortened(COMPLETE)


def known_hours(grid: HourGrid) -> np.ndarray:
    return np.flatnonzero(np.isfinite(grid.values[0, :, 0]))


def test_every_value_keeps_its_hour_and_most_of_a_gap_is_left_out() -> None:
    for grid in (COMPLETE, SHORT):
        assert len(known_hours(grid)) == FIRST + SECOND + THIRD
    np.testing.assert_array_equal(SHORT.hours[known_hours(SHORT)], COMPLETE.hours[known_hours(COMPLETE)])
    np.testing.assert_array_equal(SHORT.values[:, known_hours(SHORT)], COMPLETE.values[:, known_hours(COMPLETE)])
    missing = SHORT.values.shape[1] - FIRST - SECOND - THIRD
    assert 2 * KEPT_GAP_HOURS <= missing < 2 * (KEPT_GAP_HOURS + 24)
    assert all(count % 24 == 0 for _, count in SHORT.gaps)
    assert (np.diff(SHORT.hours) >= np.timedelta64(1, "h")).all()


def test_positions_are_the_inverse_of_hours() -> None:
    outside = np.arange(-30, SHORT.values.shape[1] + 30)
    np.testing.assert_array_equal(SHORT.positions(SHORT.hours_at(outside)), outside)
    all_hours = COMPLETE.hours
    of_all = SHORT.values[:, SHORT.positions(all_hours)]
    np.testing.assert_array_equal(of_all, COMPLETE.values)
    assert SHORT.index(SHORT.hours[-1]) == SHORT.values.shape[1] - 1


@pytest.mark.parametrize("begin", [0, 10, FIRST + 3, FIRST + KEPT_GAP_HOURS, FIRST + KEPT_GAP_HOURS + 150])
@pytest.mark.parametrize("length", [1, 60, 900])
def test_a_part_has_the_hours_and_values_of_its_positions(begin: int, length: int) -> None:
    part = SHORT.part(begin, begin + length)
    np.testing.assert_array_equal(part.hours, SHORT.hours[begin : begin + length])
    np.testing.assert_array_equal(part.values, SHORT.values[:, begin : begin + length])
    np.testing.assert_array_equal(part.positions(part.hours), np.arange(part.values.shape[1]))


def test_records_are_the_parts_between_the_gaps() -> None:
    covered = np.zeros(SHORT.values.shape[1], bool)
    for record in SHORT.records:
        assert not covered[record].any()
        covered[record] = True
        values = np.flatnonzero(np.isfinite(SHORT.values[0, record, 0]))
        assert len(values) in (FIRST, SECOND, THIRD)
        assert len(values) <= record.stop - record.start <= len(values) + 24
    assert covered[known_hours(SHORT)].all()
    assert COMPLETE.records == (slice(0, COMPLETE.values.shape[1]),)


def test_a_gap_is_shortened_only_if_it_is_long() -> None:
    present = np.ones(3000, bool)
    present[1000 : 1000 + LONG_GAP_HOURS] = False
    assert shortened_gaps(present) == ()
    present[1000 + LONG_GAP_HOURS] = False
    ((position, count),) = shortened_gaps(present)
    assert (position, count) == (1000 + KEPT_GAP_HOURS // 2, (LONG_GAP_HOURS + 1 - KEPT_GAP_HOURS) // 24 * 24)
    assert shortened_gaps(np.zeros(5, bool)) == ()


def test_models_and_features_are_those_of_the_complete_axis() -> None:
    """Nothing that is computed across hours reaches over the hours that are kept of a gap."""
    normals = [climatology.fit(grid) for grid in (COMPLETE, SHORT)]
    np.testing.assert_allclose(normals[0].coefficients, normals[1].coefficients, rtol=1e-6)
    inputs = [model_inputs(grid, normals[0]) for grid in (COMPLETE, SHORT)]
    damping = [damped_anomaly.fit(each.anomalies) for each in inputs]
    np.testing.assert_allclose(damping[0].rho, damping[1].rho, rtol=1e-6)
    base = [known_hours(grid) for grid in (COMPLETE, SHORT)]
    last = [grid.values.shape[1] - 1 for grid in (COMPLETE, SHORT)]
    near = np.arange(len(base[0]))[np.r_[0:120, FIRST - 40 : FIRST + 60, FIRST + SECOND - 30 : FIRST + SECOND + 90]]
    cases = [
        case_features(each, damping[0], np.zeros(len(near), np.int64), at[near])
        for each, at in zip(inputs, base, strict=True)
    ]
    for name in ("base_features", "past", "newest_anomaly", "age", "damped", "normal", "base_normal", "solar_hour"):
        np.testing.assert_array_equal(getattr(cases[0], name), getattr(cases[1], name), err_msg=name)
    truths = []
    for grid, at, end in zip((COMPLETE, SHORT), base, last, strict=True):
        valid = at[near][:, None] + np.array(LEADS)
        truths.append(np.where(valid <= end, grid.values[0, np.minimum(valid, end), 0], np.nan))
    np.testing.assert_array_equal(*truths)


def test_the_kept_hours_are_more_than_any_model_reaches() -> None:
    assert PAST_HOURS + LEADS[-1] < KEPT_GAP_HOURS - 24
    assert KEPT_GAP_HOURS - 24 > detector_features.LOOK_BACK + 3


def test_a_history_with_nine_empty_years_needs_no_memory_for_them() -> None:
    early, late = table(50), table(30)
    late["hour"] += np.timedelta64(9 * 365, "D")
    grid = grid_from_table(pd.concat([early, late]), stations(1))
    assert grid.values.shape[1] < 80 + KEPT_GAP_HOURS + 24
    np.testing.assert_allclose(
        grid.values[0, known_hours(grid), 0], [*early["temperature"], *late["temperature"]], rtol=1e-6
    )
