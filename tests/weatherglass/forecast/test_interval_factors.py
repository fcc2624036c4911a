"""Recalibration on synthetic errors whose correct interval width is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from weatherglass.forecast.error_window import MIN_DAYS, WINDOW_DAYS
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.interval_factors import (
    FACTOR_RANGE,
    interval_factors,
    normalized_errors,
    scale_intervals,
    stack_factors,
)
from weatherglass.records import LEADS, VARIABLES

START = np.datetime64("2026-01-01T00", "h")
NORMAL = {0.8: 1.2815515655, 0.9: 1.6448536270}
"""Quantiles of the absolute value of a normal error."""


def forecasts(days: int, scales: dict[str, float], seed: int = 1) -> tuple[list[str], npt.NDArray, npt.NDArray]:
    """Stations, base hours and normalized errors of a forecast every 7 h; the intervals fit errors of scale 1."""
    rng = np.random.default_rng(seed)
    base = np.arange(START, START + 24 * days, 7)
    names = [name for name in scales for _ in base]
    shape = (len(base), len(LEADS), len(VARIABLES))
    errors = np.concatenate([rng.normal(size=shape) * scale for scale in scales.values()])
    values = np.full(errors.shape, 50.0)
    lower, upper = ({level: values + sign * NORMAL[level] for level in LEVELS} for sign in (-1, 1))
    return names, np.tile(base, len(scales)), normalized_errors(values, lower, upper, values + errors)


def test_errors_are_divided_by_the_half_width_and_at_least_by_a_thousandth() -> None:
    values = np.zeros((2, 1, 1))
    lower, upper = {0.8: values - 2, 0.9: values - 4}, {0.8: values + 2, 0.9: values + 1}
    lower[0.8][1] = upper[0.8][1] = 0
    errors = normalized_errors(values, lower, upper, np.array([-3.0, 0.5]).reshape(2, 1, 1))
    np.testing.assert_allclose(errors[:, 0, 0], [[1.5, 0.75], [500.0, 0.125]], rtol=1e-6)
    assert np.isnan(normalized_errors(values, lower, upper, np.full((2, 1, 1), np.nan))).all()


def test_factors_of_constant_errors_are_the_closed_form() -> None:
    """All errors are 2 half-widths over d days: 2^(d / (d + 14)) for all stations, the rest to the power d / (d + 5).

    The age of an error runs from 0 h (due now) to 240 h, which are ages of 0 to 10 days: 11 different days.
    """
    base = np.arange(START, START + 24 * 10)
    errors = np.full((len(base), len(LEADS), len(VARIABLES), len(LEVELS)), 2.0, np.float32)
    now = START + 24 * 10 + 1
    factors = interval_factors(["a"] * len(base), base, errors, now)
    assert set(factors) == {"a"}
    # Lead 1: valid times from 1 h to 240 h after the start, ages from 1 to 240 h. Lead 24: from 24 h on, so ages up to
    # 217 h are known, 10 different days.
    for lead, days in ((1, 11), (24, 10)):
        common = 2 ** (days / (days + 14))
        own_days = 11  # of all leads together
        # The station's own factor is a quantile over all leads; those with the larger remainder determine it.
        remainder = max(2 / 2 ** (11 / 25), 2 / 2 ** (10 / 24))
        expected = common * remainder ** (own_days / (own_days + 5))
        np.testing.assert_allclose(factors["a"][lead - 1], expected, rtol=1e-6)


@pytest.mark.parametrize("lead", [1, 2, 11, 24])
def test_each_lead_gets_the_width_of_its_own_errors(lead: int) -> None:
    """The errors of one lead are twice as wide as those of the other 23, which determine the station's own factor."""
    names, base, errors = forecasts(40, {f"s{i}": 1.0 for i in range(12)})
    errors[:, lead - 1] *= 2
    factors = np.stack(list(interval_factors(names, base, errors, START + 24 * 41).values()))
    prior = 2 ** (40 / (40 + 14))
    np.testing.assert_allclose(factors[:, lead - 1].mean(axis=0), prior, rtol=0.1)
    np.testing.assert_allclose(np.delete(factors, lead - 1, axis=1).mean(axis=(0, 1)), 1, rtol=0.1)


def test_recent_errors_weigh_more_by_a_half_life_of_20_days() -> None:
    """Errors of 60 days: 3 in the oldest days, then 1.

    With the weights 0.5^(age / 20 days), the oldest 18 of 60 days have (2^-2.1 - 2^-3) / (1 - 2^-3) = 12 % of the
    weight, so only the level 0.9 needs them; the oldest 30 days have 26 %, so both levels need them.
    """
    base = np.arange(START, START + 24 * 60)
    errors = np.ones((len(base), len(LEADS), len(VARIABLES), len(LEVELS)), np.float32)
    errors[: 24 * 18] = 3.0
    factors = interval_factors(["a"] * len(base), base, errors, START + 24 * 60)["a"]
    np.testing.assert_allclose(factors[..., 0], 1.0, rtol=1e-6)
    assert (factors[..., 1] > 2).all()
    errors[: 24 * 30] = 3.0
    factors = interval_factors(["a"] * len(base), base, errors, START + 24 * 60)["a"]
    assert (factors > 2).all()


def test_each_station_gets_the_width_of_its_own_errors() -> None:
    scales = {"low": 0.7, "usual": 1.0, "high": 1.6}
    names, base, errors = forecasts(40, scales)
    factors = interval_factors(names, base, errors, START + 24 * 41)
    for name, scale in scales.items():
        # The factor is drawn towards the common one by a ninth; the remaining deviation is sampling error.
        np.testing.assert_allclose(np.log(factors[name]).mean(), np.log(scale), atol=0.08)


def test_later_errors_have_the_coverage_of_the_level() -> None:
    scales = {f"s{i}": scale for i, scale in enumerate(np.linspace(0.6, 1.9, 12))}
    early, late = forecasts(40, scales, seed=2), forecasts(40, scales, seed=3)
    factors = stack_factors(interval_factors(*early, START + 24 * 41), late[0])
    unchanged, recalibrated = (late[2] <= 1).mean(axis=(0, 1)), (late[2] <= factors).mean(axis=(0, 1))
    assert (np.abs(unchanged - LEVELS).max(axis=0) > 0.05).all()
    assert (np.abs(recalibrated - LEVELS) < 0.02).all()


def test_errors_after_now_have_no_influence() -> None:
    names, base, errors = forecasts(30, {"a": 1.0, "b": 2.0})
    now = START + 24 * 20
    due = base[:, None] + np.array(LEADS) <= now
    future = errors.copy()
    future[~due] = 99
    before, after = (interval_factors(names, base, known, now) for known in (errors, future))
    assert all(np.array_equal(before[name], after[name]) for name in ("a", "b"))


def test_errors_that_are_too_old_or_too_few_give_no_factors() -> None:
    names, base, errors = forecasts(10, {"a": 2.0})
    assert interval_factors(names, base, errors, START + 24 * (WINDOW_DAYS + 30)) == {}
    assert interval_factors(names, base, errors, START + 24 * MIN_DAYS) == {}
    assert set(interval_factors(names, base, errors, START + 24 * MIN_DAYS + 1)) == {"a"}
    assert interval_factors([], base[:0], errors[:0], START) == {}


def test_an_error_of_60_days_ago_is_no_longer_used() -> None:
    base = np.array([START, START + 24 * 30])
    now = START + 1 + 24 * WINDOW_DAYS  # the valid time of the first forecast's lead 1 is 60 days ago
    errors = np.ones((2, len(LEADS), len(VARIABLES), len(LEVELS)), np.float32)
    changed = errors.copy()
    changed[0, 0] = 99
    before, after = (interval_factors(["a", "a"], base, e, now)["a"] for e in (errors, changed))
    np.testing.assert_array_equal(before, after)
    later = interval_factors(["a", "a"], base, changed, now - 1)["a"]
    assert not np.array_equal(before, later)


def test_a_station_with_few_days_is_drawn_towards_the_others() -> None:
    names, base, errors = forecasts(40, {**{f"s{i}": 1.0 for i in range(8)}, "new": 2.0})
    new = np.array(names) == "new"
    errors[new & (base < START + 24 * 38)] = np.nan
    factors = interval_factors(names, base, errors, START + 24 * 41)
    assert 1.1 < factors["new"].mean() < 1.5


def test_factors_are_limited() -> None:
    names, base, errors = forecasts(30, {"a": 100.0, "b": 0.001})
    factors = interval_factors(names, base, errors, START + 24 * 31)
    assert factors["a"].max() == FACTOR_RANGE[1]
    assert factors["b"].min() == FACTOR_RANGE[0]


def test_a_variable_without_observations_has_factor_1() -> None:
    names, base, errors = forecasts(30, {"a": 2.0})
    errors[:, :, 2] = np.nan
    factors = interval_factors(names, base, errors, START + 24 * 31)["a"]
    assert (factors[:, 2] == 1).all()
    assert (factors[:, [0, 1, 3]] > 1.5).all()


def test_a_missing_station_has_factor_1() -> None:
    factors = {"a": np.full((len(LEADS), len(VARIABLES), len(LEVELS)), 1.5)}
    stacked = stack_factors(factors, ["b", "a"])
    np.testing.assert_array_equal(stacked[:, 0, 0, 0], [1.0, 1.5])
    assert stack_factors(factors, []).shape == (0, len(LEADS), len(VARIABLES), len(LEVELS))


def test_scaled_intervals_stay_physical_and_ordered() -> None:
    values = np.array([[[10.0, 99.0, 1000.0, 0.5]] * len(LEADS)])
    lower = {level: np.maximum(values - 4 * level, [-np.inf, 0, 0, 0]) for level in LEVELS}
    upper = {level: np.minimum(values + 4 * level, [np.inf, 100, np.inf, np.inf]) for level in LEVELS}
    factors = np.ones((1, len(LEADS), len(VARIABLES), len(LEVELS)))
    none = np.zeros(values.shape)
    same = scale_intervals(values, lower, upper, factors, none)
    for level in LEVELS:
        np.testing.assert_allclose(same[0][level], lower[level])
        np.testing.assert_allclose(same[1][level], upper[level])
    factors[..., 0], factors[..., 1] = 2.0, 0.5  # would make the 80 % interval the wider one
    low, high = scale_intervals(values, lower, upper, factors, none)
    np.testing.assert_array_equal(low[0.9], low[0.8])
    np.testing.assert_array_equal(high[0.9], high[0.8])
    assert (high[0.9][..., 1] == 100).all()
    assert (low[0.8][..., 3] == 0).all()
    np.testing.assert_allclose(high[0.8][..., 0] - values[..., 0], 2 * 4 * 0.8)
    lowered = scale_intervals(values, lower, upper, factors, np.full(values.shape, 0.25))
    np.testing.assert_allclose(high[0.9][..., 0] - lowered[1][0.9][..., 0], 0.25)
    np.testing.assert_allclose(low[0.9][..., 0] - lowered[0][0.9][..., 0], 0.25)
    assert (lowered[0][0.8][..., 3] == 0).all()
