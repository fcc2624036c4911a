"""Intervals that follow what came true: on made-up errors whose right width is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.synthetic_history import history
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.recalibration import (
    BOUNDS,
    DAYS,
    LEAST_DAYS,
    Recalibrated,
    factors,
    resized,
    scores,
    widths_from,
)
from weatherglass.records import LEADS, VARIABLES

START = np.datetime64("2026-01-01T00", "h")
NORMAL = {0.8: 1.2815515655, 0.9: 1.6448536270}
"""Quantiles of the absolute value of a normal error."""


def forecasts(days: int, times: dict[str, float], seed: int = 1) -> tuple[list[str], npt.NDArray, npt.NDArray]:
    """Stations, base hours and scores of a forecast in seven hours, its intervals right for errors of size 1."""
    rng = np.random.default_rng(seed)
    base = np.arange(START, START + 24 * days, 7)
    names = [name for name in times for _ in base]
    shape = (len(base), len(LEADS), len(VARIABLES))
    errors = np.concatenate([rng.normal(size=shape) * wrong for wrong in times.values()])
    values = np.full(errors.shape, 50.0)
    bounds = [{level: values + sign * NORMAL[level] for level in LEVELS} for sign in (-1, 1)]
    return names, np.tile(base, len(times)), scores(values, *bounds, values + errors)


def test_each_station_gets_the_width_of_its_own_errors() -> None:
    times = {"calm": 0.7, "usual": 1.0, "wild": 1.6}
    names, base, scored = forecasts(40, times)
    made = widths_from(names, base, scored, START + 24 * 41)
    for name, right in times.items():
        # Drawn a ninth of the way towards the common factor; the rest is chance.
        np.testing.assert_allclose(np.log(made[name]).mean(), np.log(right), atol=0.08)


def test_later_errors_are_held_by_the_share_that_the_level_says() -> None:
    times = {f"s{i}": wrong for i, wrong in enumerate(np.linspace(0.6, 1.9, 12))}
    early, late = forecasts(40, times, seed=2), forecasts(40, times, seed=3)
    by = factors(widths_from(*early, START + 24 * 41), late[0])
    untouched, inside = (late[2] <= 1).mean(axis=(0, 1)), (late[2] <= by).mean(axis=(0, 1))
    assert (np.abs(untouched - LEVELS).max(axis=0) > 0.05).all()
    assert (np.abs(inside - LEVELS) < 0.02).all()


def test_nothing_that_is_not_due_yet_is_known() -> None:
    names, base, scored = forecasts(30, {"a": 1.0, "b": 2.0})
    now = START + 24 * 20
    due = base[:, None] + np.array(LEADS) <= now
    future = scored.copy()
    future[~due] = 99
    before, after = (widths_from(names, base, known, now) for known in (scored, future))
    assert all(np.array_equal(before[name], after[name]) for name in ("a", "b"))


def test_what_is_long_ago_and_what_is_too_little_changes_nothing() -> None:
    names, base, scored = forecasts(10, {"a": 2.0})
    assert widths_from(names, base, scored, START + 24 * (DAYS + 30)) == {}
    assert widths_from(names, base, scored, START + 24 * LEAST_DAYS - 1) == {}
    assert widths_from([], base[:0], scored[:0], START) == {}


def test_a_station_with_few_days_is_taken_to_be_like_the_others() -> None:
    names, base, scored = forecasts(40, {**{f"s{i}": 1.0 for i in range(8)}, "new": 2.0})
    new = np.array(names) == "new"
    scored[new & (base < START + 24 * 38)] = np.nan
    made = widths_from(names, base, scored, START + 24 * 41)
    assert 1.1 < made["new"].mean() < 1.5


def test_absurd_errors_do_not_make_absurd_intervals() -> None:
    names, base, scored = forecasts(30, {"a": 100.0, "b": 0.001})
    made = widths_from(names, base, scored, START + 24 * 31)
    assert made["a"].max() == BOUNDS[1]
    assert made["b"].min() == BOUNDS[0]


def test_a_variable_without_truth_keeps_its_width() -> None:
    names, base, scored = forecasts(30, {"a": 2.0})
    scored[:, :, 2] = np.nan
    made = widths_from(names, base, scored, START + 24 * 31)["a"]
    assert (made[:, 2] == 1).all()
    assert (made[:, [0, 1, 3]] > 1.5).all()


def test_resized_intervals_stay_physical_ordered_and_about_the_same_values() -> None:
    values = np.array([[[10.0, 99.0, 1000.0, 0.5]] * len(LEADS)])
    lower = {level: np.maximum(values - 4 * level, [-np.inf, 0, 0, 0]) for level in LEVELS}
    upper = {level: np.minimum(values + 4 * level, [np.inf, 100, np.inf, np.inf]) for level in LEVELS}
    by = np.ones((1, len(LEADS), len(VARIABLES), len(LEVELS)))
    same = resized(values, lower, upper, by)
    for level in LEVELS:
        np.testing.assert_allclose(same[0][level], lower[level])
        np.testing.assert_allclose(same[1][level], upper[level])
    by[..., 0], by[..., 1] = 2.0, 0.5  # the narrower level would be the wider one
    low, high = resized(values, lower, upper, by)
    assert (low[0.9] <= low[0.8]).all()
    assert (high[0.9] >= high[0.8]).all()
    assert (high[0.9][..., 1] == 100).all()
    assert (low[0.8][..., 3] == 0).all()
    np.testing.assert_allclose(high[0.8][..., 0] - values[..., 0], 2 * 4 * 0.8)


@pytest.mark.parametrize("wider", [0.6, 1.7])
def test_a_recalibrated_forecaster_says_the_same_values_wider_or_narrower(wider: float) -> None:
    grid = history(days=20)
    plain = PersistenceForecaster()
    name = grid.stations[1].station_id
    sized = Recalibrated(plain, {name: np.full((len(LEADS), len(VARIABLES), len(LEVELS)), wider)})
    ours, theirs = (model.forecast(grid, [0, 1], [400, 400]) for model in (sized, plain))
    assert np.array_equal(ours.values, theirs.values)
    np.testing.assert_allclose(ours.upper[0.9][0], theirs.upper[0.9][0], rtol=1e-12)
    half, before = ((made.upper[0.9] - made.values)[1, :, [0, 2]] for made in (ours, theirs))
    np.testing.assert_allclose(half, before * wider, rtol=1e-9)
