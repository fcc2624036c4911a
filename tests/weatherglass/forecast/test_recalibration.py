"""Recalibration of forecasts whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.interval_factors import interval_factors
from weatherglass.forecast.recalibration import (
    Forecasts,
    RecalibratedForecaster,
    StationRecalibration,
    apply,
    estimate,
    recalibrate_daily,
)
from weatherglass.forecast.running_bias import CLASSES, running_bias
from weatherglass.records import LEADS, VARIABLES

START = np.datetime64("2026-01-01T00", "h")
SHAPE = (len(LEADS), len(VARIABLES))
NORMAL = {0.8: 1.2815515655, 0.9: 1.6448536270}
"""Quantiles of the absolute value of a normal error."""


def biased(shift: float, days: int = 70, seed: int = 1) -> tuple[list[str], np.ndarray, Forecasts, np.ndarray]:
    """Station ids, base hours, forecasts and observations of one station; the forecasts are too high by `shift`."""
    base = np.arange(START, START + 24 * days, 5)
    observed = 50 + np.random.default_rng(seed).normal(size=(len(base), *SHAPE))
    observed[..., VARIABLES.index("pressure")] += 950
    values = np.full(observed.shape, 50.0 + shift)
    values[..., VARIABLES.index("pressure")] += 950
    lower, upper = ({level: values + sign * NORMAL[level] for level in LEVELS} for sign in (-1, 1))
    return ["a"] * len(base), base, Forecasts(values, lower, upper), observed


def constant(bias: float, factor: float) -> StationRecalibration:
    return StationRecalibration(
        np.full((len(LEADS), CLASSES, len(VARIABLES)), bias), np.full((*SHAPE, len(LEVELS)), factor)
    )


def test_values_and_intervals_are_moved_by_the_bias_and_the_half_widths_scaled() -> None:
    _, base, forecasts, _ = biased(0.0)
    changed = apply({"a": constant(-1.5, 2.0)}, ["a", "b"], base[:2], Forecasts(*(_first(part) for part in forecasts)))
    np.testing.assert_allclose(changed.values[0], forecasts.values[0] + 1.5)
    for level in LEVELS:
        np.testing.assert_allclose(changed.upper[level][0], forecasts.values[0] + 1.5 + 2 * NORMAL[level])
        np.testing.assert_allclose(changed.lower[level][0], forecasts.values[0] + 1.5 - 2 * NORMAL[level])
        np.testing.assert_allclose(changed.upper[level][1], forecasts.upper[level][1])
    np.testing.assert_array_equal(changed.values[1], forecasts.values[1])


def _first(part: object) -> object:
    return {level: bound[:2] for level, bound in part.items()} if isinstance(part, dict) else part[:2]  # type: ignore[index]


def test_corrected_values_stay_physical() -> None:
    values = np.array([[[10.0, 99.5, 1000.0, 0.2]] * len(LEADS)])
    lower, upper = (dict.fromkeys(LEVELS, values + sign) for sign in (-1, 1))
    higher, lowered = (
        apply({"a": constant(bias, 1.0)}, ["a"], START + np.arange(1), Forecasts(values, lower, upper))
        for bias in (-2.0, 2.0)
    )
    assert (higher.values[0, 0].tolist(), lowered.values[0, 0].tolist()) == (
        [12.0, 100.0, 1002.0, 2.2],
        [8.0, 97.5, 998.0, 0.0],
    )
    for changed in (higher, lowered):
        assert all((changed.lower[level] <= changed.values).all() for level in LEVELS)
        assert all((changed.values <= changed.upper[level]).all() for level in LEVELS)


def test_the_factors_are_those_of_errors_corrected_by_the_bias_of_other_days() -> None:
    names, base, forecasts, observed = biased(4.0)
    now = START + 24 * 70
    entry = estimate(names, base, forecasts, observed, now)["a"]
    errors = forecasts.values - observed
    np.testing.assert_array_equal(entry.bias, running_bias(names, base, errors, now)["a"])
    assert entry.bias.mean() == pytest.approx(0.5 * 4 * 72 / 80, abs=0.1)  # 72 errors of a class within 60 days
    corrected = errors.copy()
    block = (base - np.datetime64("1970-01-01T00", "h")).astype(int) // 120 % 2
    for k in (0, 1):
        others = errors.copy()
        others[block == k] = np.nan
        left_out = running_bias(names, base, others, now)["a"]
        for i in np.flatnonzero(block == k):
            corrected[i] -= left_out[:, int(base[i].astype(int)) % 24 // 6]
    half_widths = [np.abs(corrected) / NORMAL[level] for level in LEVELS]
    expected = interval_factors(names, base, np.stack(half_widths, axis=-1).astype(np.float32), now)["a"]
    np.testing.assert_allclose(entry.factors, expected, rtol=1e-4)


def test_later_forecasts_have_half_of_the_bias_and_the_coverage_of_their_level() -> None:
    names, base, forecasts, observed = biased(3.0, days=120)
    served = recalibrate_daily(names, base, forecasts, observed)
    np.testing.assert_array_equal(served.values[:14], forecasts.values[:14])  # the first three days
    late = base >= START + 24 * 70
    assert (served.values - observed)[late].mean() == pytest.approx(3 - 1.5 * 72 / 80, abs=0.1)
    for level in LEVELS:
        inside = (observed >= served.lower[level]) & (observed <= served.upper[level])
        assert inside[late].mean() == pytest.approx(level, abs=0.04)


def test_a_day_is_recalibrated_by_the_errors_known_at_its_first_hour() -> None:
    names, base, forecasts, observed = biased(3.0, days=30)
    day = np.datetime64("2026-01-25")
    cases = base.astype("datetime64[D]") == day
    later = observed.copy()
    later[(base[:, None] + np.array(LEADS)) > day.astype("datetime64[h]")] += 100
    first, second = (recalibrate_daily(names, base, forecasts, truth) for truth in (observed, later))
    np.testing.assert_array_equal(first.values[cases], second.values[cases])
    assert (first.values[cases] < forecasts.values[cases]).any()
    assert not np.array_equal(first.values[base > day + 2], second.values[base > day + 2])


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_recalibrated_forecaster_changes_the_stations_of_the_recalibration_only(factor: float) -> None:
    grid = history(days=20)
    plain = PersistenceForecaster()
    recalibration = {grid.stations[1].station_id: constant(0.25, factor)}
    recalibrated, original = (
        forecaster.forecast(grid, [0, 1], [400, 400])
        for forecaster in (RecalibratedForecaster(plain, recalibration), plain)
    )
    assert np.array_equal(recalibrated.values[0], original.values[0])
    np.testing.assert_allclose(recalibrated.values[1, :, [0, 2]], original.values[1, :, [0, 2]] - 0.25, rtol=1e-12)
    np.testing.assert_allclose(recalibrated.upper[0.9][0], original.upper[0.9][0], rtol=1e-12)
    half, before = ((f.upper[0.9] - f.values)[1, :, [0, 2]] for f in (recalibrated, original))
    np.testing.assert_allclose(half, before * factor, rtol=1e-9)
    assert (recalibrated.methods, recalibrated.station_ids) == (original.methods, original.station_ids)
