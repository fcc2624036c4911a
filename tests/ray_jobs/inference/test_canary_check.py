"""Each defect of a forecast and each limit of the canary check, just inside and just outside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ray_jobs.inference import canary_check
from ray_jobs.inference.canary_check import (
    CanaryBatch,
    CanaryFailure,
    DetectorCheck,
    ForecasterCheck,
    ModelRejected,
    check_detector,
    check_forecaster,
    check_guidance,
    find_defect,
)
from tests.ray_jobs.windows import START, leading
from tests.synthetic_history import history
from weatherglass.anomaly.detector import AnomalyDetector, DetectorInput
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import LEVELS, Forecast, Forecaster
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.recent_errors import REGRESSORS
from weatherglass.history.grid import HourGrid
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, VARIABLES

GRID = history(days=60)
CANARY = CanaryBatch(GRID, [0, 1, 2], [500, 500, 600])
MIDDLE = (10.0, 50.0, 1000.0, 5.0)
"""Forecast of the fixed forecasters below, by variable."""
HALF_WIDTHS = (2.0, 8.0, 4.0, 1.0)
"""Half-widths of their 90 % interval."""


@dataclass(frozen=True)
class Fixed(Forecaster):
    """Forecasts `MIDDLE` plus `shift` (broadcast to n, leads, variables) with intervals of `half_widths` at 90 %."""

    shift: npt.ArrayLike = 0.0
    half_widths: npt.ArrayLike = HALF_WIDTHS

    def forecast(self, grid: HourGrid, rows: Any, base: Any) -> Forecast:
        persistence = PersistenceForecaster().forecast(grid, rows, base)
        values = np.broadcast_to(np.array(MIDDLE), persistence.values.shape) + np.asarray(self.shift)
        half = np.broadcast_to(np.asarray(self.half_widths, float), values.shape)
        lower, upper = ({0.8: values + side * half / 2, 0.9: values + side * half} for side in (-1, 1))
        return replace(persistence, values=values, lower=lower, upper=upper)


class Modified(PersistenceForecaster):
    """Persistence whose values are all NaN."""

    def forecast(self, *arguments: Any) -> Forecast:
        forecast = super().forecast(*arguments)
        return replace(forecast, values=forecast.values * np.nan)


def shifted(variable: str, by: float) -> Fixed:
    return Fixed(np.where(np.array(VARIABLES) == variable, by, 0.0))


def defect_of(forecast: Forecast) -> CanaryFailure | None:
    defect = find_defect(forecast)
    return None if defect is None else defect.reason


@pytest.fixture
def forecast() -> Forecast:
    return Fixed().forecast(GRID, [0, 1], [500, 600])


def test_a_sound_forecast_has_no_defect(forecast: Forecast) -> None:
    assert find_defect(forecast) is None
    assert find_defect(PersistenceForecaster().forecast(GRID, [], [])) is None


@pytest.mark.parametrize("field", ["values", "lower", "upper"])
def test_an_array_of_another_shape_is_a_defect(forecast: Forecast, field: str) -> None:
    short = forecast.values[:, : len(LEADS) - 1]
    value = short if field == "values" else {**getattr(forecast, field), 0.8: short}
    assert defect_of(replace(forecast, **{field: value})) is CanaryFailure.WRONG_SHAPE


@pytest.mark.parametrize("field", ["values", "lower", "upper"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_a_defect(forecast: Forecast, field: str, bad: float) -> None:
    array = forecast.values.copy() if field == "values" else getattr(forecast, field)[0.8].copy()
    array[1, 3, 2] = bad
    value = array if field == "values" else {**getattr(forecast, field), 0.8: array}
    assert defect_of(replace(forecast, **{field: value})) is CanaryFailure.NOT_FINITE


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("field", "side"), [("lower", 1), ("upper", -1)])
def test_one_bound_beyond_the_value_is_a_defect_and_one_equal_to_it_is_not(
    forecast: Forecast, level: float, field: str, side: int
) -> None:
    def with_bound(offset: float) -> Forecast:
        bound = getattr(forecast, field)[level].copy()
        bound[1, 3, 2] = forecast.values[1, 3, 2] + offset
        return replace(forecast, **{field: {**getattr(forecast, field), level: bound}})

    assert defect_of(with_bound(0.0)) is None
    assert defect_of(with_bound(side * 1e-9)) is CanaryFailure.OUTSIDE_INTERVAL


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("end", ["low", "high"])
def test_one_value_beyond_the_physical_limit_is_a_defect_and_one_at_the_limit_is_not(
    forecast: Forecast, variable: str, end: str
) -> None:
    limit, side = getattr(RANGE_LIMITS[variable], end), 1 if end == "high" else -1
    wide = {level: np.full_like(forecast.values, 1e4) for level in LEVELS}

    def with_value(value: float) -> Forecast:
        values = forecast.values.copy()
        values[0, 5, VARIABLES.index(variable)] = value
        lower = {level: -bound for level, bound in wide.items()}
        return replace(forecast, values=values, lower=lower, upper=wide)

    assert defect_of(with_value(limit)) is None
    beyond = find_defect(with_value(limit + side * 0.01))
    assert beyond is not None
    assert beyond.reason is CanaryFailure.OUT_OF_RANGE
    assert variable in beyond.detail


@pytest.mark.parametrize("level", LEVELS)
def test_bounds_beyond_the_physical_limit_are_not_a_defect(forecast: Forecast, level: float) -> None:
    lower = {**forecast.lower, level: forecast.lower[level] - 1e4}
    assert defect_of(replace(forecast, lower=lower)) is None


def test_the_distance_is_that_of_the_worst_variable_in_half_widths() -> None:
    check = check_forecaster(Fixed([1.0, -6.0, 1.0, 0.25]), Fixed(), CANARY)
    assert (check.forecasts, check.distance) == (3, pytest.approx(6 / 8))


def test_the_distance_is_the_mean_over_rows_and_leads_divided_by_the_mean_half_width() -> None:
    """Station 1 is 3 °C off at every other lead; half-widths 1, 2 and 6 °C have a mean of 3."""
    shift = np.zeros((3, len(LEADS), len(VARIABLES)))
    shift[1, ::2, 0] = -3.0
    half_widths = np.ones((3, len(LEADS), len(VARIABLES)))
    half_widths[..., 0] = np.array([1.0, 2.0, 6.0])[:, None]
    check = check_forecaster(Fixed(shift), Fixed(half_widths=half_widths), CANARY)
    assert check.distance == pytest.approx(3 / 2 / 3 / 3)


def test_half_widths_are_those_of_the_active_model() -> None:
    narrow, wide = Fixed([1.0, 0, 0, 0], half_widths=0.5), Fixed(half_widths=2.0)
    assert check_forecaster(narrow, wide, CANARY).distance == pytest.approx(0.5)


@pytest.mark.parametrize(("variable", "half_width"), list(zip(VARIABLES, HALF_WIDTHS, strict=True)))
def test_a_distance_of_one_half_width_passes_and_a_larger_one_is_rejected(variable: str, half_width: float) -> None:
    assert check_forecaster(shifted(variable, half_width), Fixed(), CANARY).distance == 1.0
    with pytest.raises(ModelRejected, match=variable.replace("_", " ")) as rejected:
        check_forecaster(shifted(variable, half_width * 1.001), Fixed(), CANARY)
    assert rejected.value.reason is CanaryFailure.TOO_DISTANT


def test_an_interval_of_no_width_counts_as_a_millionth() -> None:
    active = Fixed(half_widths=0.0)
    assert check_forecaster(Fixed([0.5e-6, 0, 0, 0]), active, CANARY).distance == pytest.approx(0.5, rel=1e-3)


def test_the_distance_from_persistence_is_not_checked() -> None:
    assert check_forecaster(shifted("pressure", 30.0), PersistenceForecaster(), CANARY).distance is None


def test_a_forecast_with_a_defect_is_rejected() -> None:
    with pytest.raises(ModelRejected) as rejected:
        check_forecaster(Modified(), Fixed(), CANARY)
    assert rejected.value.reason is CanaryFailure.NOT_FINITE


def clock(monkeypatch: pytest.MonkeyPatch, *durations: float) -> None:
    """A clock by which the calls take these seconds, one after the other."""
    ticks = iter([tick for duration in durations for tick in (100.0, 100.0 + duration)])
    monkeypatch.setattr(canary_check, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


@pytest.mark.parametrize("durations", [(2.0,), (2.5, 2.0), (9.0, 2.5, 1.5)])
def test_the_first_attempt_within_two_seconds_counts(
    monkeypatch: pytest.MonkeyPatch, durations: tuple[float, ...]
) -> None:
    clock(monkeypatch, *durations)
    assert check_forecaster(Fixed(), Fixed(), CANARY).seconds == durations[-1]


def test_three_attempts_of_more_than_two_seconds_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 3.0, 2.25, 4.0)
    with pytest.raises(ModelRejected, match=r"2\.2 s") as rejected:
        check_forecaster(Fixed(), Fixed(), CANARY)
    assert rejected.value.reason is CanaryFailure.TOO_SLOW


def flagging(count: int) -> Any:
    """A detector that flags the first `count` readings."""
    rules = AnomalyDetector.rules_only()

    def check_many(*arguments: Any) -> Any:
        found = rules.check_many(*arguments)
        return [one.model_copy(update={"is_anomaly": index < count}) for index, one in enumerate(found)]

    return SimpleNamespace(check_many=check_many)


def with_readings(count: int) -> CanaryBatch:
    readings = [leading("boston", START + timedelta(minutes=minute)) for minute in range(count)]
    return replace(CANARY, readings=[DetectorInput(reading, (), 0, None) for reading in readings])


@pytest.mark.parametrize(
    ("readings", "flagged", "active", "passes"),
    [(4, 2, 0, True), (4, 3, 0, False), (4, 3, 1, True), (6, 3, 0, True), (6, 4, 0, False), (3, 3, 0, True)],
)
def test_half_of_at_least_four_readings_may_be_flagged_in_addition(
    readings: int, flagged: int, active: int, passes: bool
) -> None:
    canary = with_readings(readings)
    if passes:
        check = check_detector(flagging(flagged), flagging(active), canary)
        assert (check.flagged, check.readings) == (flagged, readings)
    else:
        with pytest.raises(ModelRejected) as rejected:
            check_detector(flagging(flagged), flagging(active), canary)
        assert rejected.value.reason is CanaryFailure.TOO_MANY_FLAGS


def test_the_exception_of_a_detector_propagates() -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check_detector(SimpleNamespace(check_many=fail), flagging(0), with_readings(1))  # type: ignore[arg-type]


def test_the_canary_of_a_grid_is_every_station_at_the_last_hour() -> None:
    canary = CanaryBatch.of_grid(GRID)
    assert canary is not None
    assert (list(canary.rows), list(canary.bases)) == ([0, 1, 2], [60 * 24 - 1] * 3)
    assert CanaryBatch.of_grid(None) is None
    assert CanaryBatch.of_grid(HourGrid((), GRID.start, GRID.values[:0])) is None


def test_summaries_contain_the_figures() -> None:
    """For the log: counts, milliseconds and the distance."""
    assert {"3", "1750", "0.25"} <= set(str(ForecasterCheck(3, 1.7504, 0.25)).replace(",", "").split())
    assert {"3", "12"} <= set(str(ForecasterCheck(3, 0.0124, None)).split())
    assert {"2", "5", "1750"} <= set(str(DetectorCheck(2, 5, 1.7504)).split())


def with_slope(regressor: str, slope: float, leads: slice = slice(None)) -> GuidanceCombination:
    coefficients = np.zeros((len(LEADS), len(VARIABLES), len(REGRESSORS) + 1))
    coefficients[..., :-1] = 0.7
    coefficients[leads, :, REGRESSORS.index(regressor)] = slope
    factors = np.ones((len(LEADS), len(VARIABLES), len(LEVELS)))
    return GuidanceCombination(coefficients, factors, np.ones(len(VARIABLES)), False)


@pytest.mark.parametrize("slope", [-0.3, 0.0, 1.0, 1.3])
@pytest.mark.parametrize("regressor", REGRESSORS)
def test_guidance_with_usual_slopes_passes(regressor: str, slope: float) -> None:
    assert check_guidance(with_slope(regressor, slope), None, CANARY).forecasts == len(CANARY.rows)


@pytest.mark.parametrize("leads", [slice(None), slice(7, 8)])
@pytest.mark.parametrize("slope", [-1.0, 5.0])
@pytest.mark.parametrize("regressor", REGRESSORS)
def test_guidance_with_a_wrong_slope_is_rejected(regressor: str, slope: float, leads: slice) -> None:
    with pytest.raises(ModelRejected) as rejected:
        check_guidance(with_slope(regressor, slope, leads), None, CANARY)
    assert rejected.value.reason is CanaryFailure.WRONG_SLOPE
