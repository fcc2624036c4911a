from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.weatherglass.conftest import Model
from weatherglass.anomaly.detector import (
    CHECKS,
    KIND,
    SOFT_CHECKS,
    AnomalyDetector,
    CurrentReading,
    DetectorInput,
    ExpectedReading,
    expected_reading,
)
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.qc import series_checks
from weatherglass.records import (
    LEADS,
    VARIABLES,
    AggregatedFeatures,
    Anomaly,
    Method,
    Quality,
    Statistics,
    Wind,
    WindowFeatures,
)
from weatherglass.registry import artifact
from weatherglass.registry.arrays import load_arrays, save_arrays
from weatherglass.registry.artifact import ModelFileError

MINUTES = timedelta(minutes=15)


def window(time: datetime, values: tuple[float | None, ...], failed: str | None = None) -> WindowFeatures:
    blocks = {
        name: Statistics(mean=v, std=None, min=v, max=v, last=v, rate_per_hour=None, trend=None)
        for name, v in zip(VARIABLES, values, strict=True)
    }
    quality = {n: Quality.NOT_CHECKED if v is None else Quality.OK for n, v in zip(VARIABLES, values, strict=True)}
    if failed:
        quality[failed] = Quality.FAILED
    features = AggregatedFeatures(
        count=1,
        last_observation=time,
        wind=Wind(u=None, v=None, direction=None, steadiness=None),
        dew_point=None,
        quality=quality,
        **blocks,
    )
    end = time + timedelta(minutes=1)
    return WindowFeatures(
        station_id="s0", window_start=end - timedelta(minutes=5), window_end=end, aggregated_features=features
    )


NOW = datetime(2014, 5, 1, 12, tzinfo=UTC)
USUAL = (10.0, 60.0, 1005.0, 3.0)
NO_GRID = HourGrid((), np.datetime64("2014-05-01T00", "h"), np.empty((0, 0, 6), np.float32))


def readings(count: int, change: float = 0.3) -> list[CurrentReading]:
    """Readings every 15 minutes up to 15 minutes before now, each variable moving by `change`."""
    return [
        CurrentReading(NOW - MINUTES * k, tuple(v + change * ((k % 5) + 1) for v in USUAL)) for k in range(count, 0, -1)
    ]


def check_by_rules(
    values: tuple[float | None, ...] = USUAL,
    recent: list[CurrentReading] | None = None,
    expected: ExpectedReading | None = None,
    failed: str | None = None,
) -> Anomaly:
    recent = readings(4) if recent is None else recent
    item = DetectorInput(window(NOW, values, failed), recent, None, expected)
    return AnomalyDetector.rules_only().check(item, NO_GRID, None)


def test_an_ordinary_reading_is_not_an_anomaly_and_soft_checks_are_not_checked() -> None:
    anomaly = check_by_rules()
    assert not anomaly.is_anomaly
    assert anomaly.score == 0
    assert tuple(anomaly.checks) == CHECKS
    assert anomaly.checks["step"] is Quality.OK
    assert {anomaly.checks[name] for name in SOFT_CHECKS} == {Quality.NOT_CHECKED}
    assert anomaly.flags == []


@pytest.mark.parametrize(("variable", "jump"), [(0, 15.0), (1, -40.0), (2, 12.0), (3, 12.0)])
def test_a_jump_is_flagged_as_a_step_of_its_variable(variable: int, jump: float) -> None:
    values = list(USUAL)
    values[variable] += jump
    anomaly = check_by_rules(tuple(values))
    assert (anomaly.is_anomaly, anomaly.score, anomaly.checks["step"]) == (True, 1.0, Quality.FAILED)
    assert len(anomaly.reasons) == 1
    assert VARIABLES[variable].replace("_", " ") in anomaly.reasons[0]
    assert [(flag.variable, flag.check, flag.onset) for flag in anomaly.flags] == [(VARIABLES[variable], "step", NOW)]


def test_steps_are_not_checked_across_long_gaps() -> None:
    old = [CurrentReading(NOW - timedelta(hours=5), tuple(v + 20 for v in USUAL))]
    assert check_by_rules(recent=old).checks["step"] is Quality.NOT_CHECKED


def test_a_stuck_sensor_is_flagged_only_after_the_limit() -> None:
    for hours, quality in ((11, Quality.OK), (13, Quality.FAILED)):
        stuck = [
            CurrentReading(NOW - MINUTES * k, (USUAL[0], *(v + k * 0.3 for v in USUAL[1:])))
            for k in range(hours * 4, 0, -1)
        ]
        anomaly = check_by_rules(recent=stuck)
        assert anomaly.checks["flat_line"] is quality
    assert anomaly.flags[0].variable == "temperature"
    assert anomaly.flags[0].onset == NOW - timedelta(hours=13)


def test_a_dew_point_above_the_record_fails_the_consistency_check() -> None:
    recent = [CurrentReading(NOW - MINUTES * k, (41.0 + k * 0.3, 88.0 + k, 1005.0, 3.0)) for k in range(4, 0, -1)]
    anomaly = check_by_rules((41.0, 88.0, 1005.0, 3.0), recent=recent)
    assert anomaly.checks["consistency"] is Quality.FAILED
    assert {flag.variable for flag in anomaly.flags} == {"temperature", "humidity"}
    assert check_by_rules((41.0, 20.0, 1005.0, 3.0), recent=[]).checks["consistency"] is Quality.OK


def test_constant_values_in_fog_and_calm_are_not_flagged() -> None:
    constant = (10.0, 99.0, 1005.0, 0.0)
    recent = [
        CurrentReading(NOW - MINUTES * k, (10 + k * 0.3, 99.0, 1005 + k * 0.1, 0.0)) for k in range(30 * 4, 0, -1)
    ]
    assert check_by_rules(constant, recent=recent).checks["flat_line"] is Quality.OK


def test_a_value_excluded_by_the_range_check_is_flagged() -> None:
    anomaly = check_by_rules((None, *USUAL[1:]), failed="temperature")
    assert anomaly.checks["range"] is Quality.FAILED
    assert [flag.variable for flag in anomaly.flags] == ["temperature"]


@pytest.mark.parametrize(
    ("check", "flagged"),
    [
        ("range", "range"),
        ("climate", "range"),
        ("dew_point", "consistency"),
        ("pressure_elevation", "range"),  # does not check temperatures, so the range check must have failed
    ],
)
def test_a_value_excluded_by_quality_control_is_flagged_under_its_check(check: str, flagged: str) -> None:
    leading = window(NOW, (None, *USUAL[1:]), "temperature")
    leading.aggregated_features.checks[check] = Quality.FAILED
    anomaly = AnomalyDetector.rules_only().check(DetectorInput(leading, readings(4), None, None), NO_GRID, None)
    assert anomaly.is_anomaly
    assert anomaly.checks[flagged] is Quality.FAILED
    assert [(flag.variable, flag.check) for flag in anomaly.flags] == [("temperature", flagged)]


def test_the_distance_from_the_forecast_is_measured_in_half_widths() -> None:
    middle = np.array(USUAL)
    expected = ExpectedReading(middle, middle - 1, middle + 1)
    near, far = (check_by_rules((USUAL[0] + d, *USUAL[1:]), expected=expected) for d in (2.5, 3.5))
    assert (near.is_anomaly, far.is_anomaly) == (False, True)
    assert near.score == pytest.approx((2.5 / 3) ** 2 / (1 + (2.5 / 3) ** 2), abs=1e-3)
    assert far.score == pytest.approx((3.5 / 3) ** 2 / (1 + (3.5 / 3) ** 2), abs=1e-3)
    assert [(flag.variable, flag.check) for flag in far.flags] == [("temperature", "forecast_residual")]


def test_a_reading_without_any_value_is_not_checked() -> None:
    assert set(check_by_rules((None,) * 4).checks.values()) == {Quality.NOT_CHECKED}


def test_a_forecast_is_interpolated_between_its_valid_hours() -> None:
    values = np.random.default_rng(3).normal(size=(1, len(LEADS), len(VARIABLES)))
    lower, upper = ({level: values + sign * level for level in LEVELS} for sign in (-1, 1))
    base_hours = np.array([NOW.replace(tzinfo=None)], dtype="datetime64[h]")
    forecast = Forecast(("s0",), base_hours, values, lower, upper, (Method.MODEL,), np.array([72]))
    at_two = expected_reading(forecast, 0, NOW + timedelta(hours=2))
    between = expected_reading(forecast, 0, NOW + timedelta(hours=2, minutes=30))
    last = expected_reading(forecast, 0, NOW + timedelta(hours=24))
    assert at_two is not None
    assert between is not None
    assert last is not None
    np.testing.assert_allclose(at_two.values, forecast.values[0, 1])
    np.testing.assert_allclose(between.values, forecast.values[0, 1:3].mean(axis=0))
    np.testing.assert_allclose(last.upper, forecast.upper[0.9][0, 23])
    assert expected_reading(forecast, 0, NOW + timedelta(minutes=30)) is None
    assert expected_reading(forecast, 0, NOW + timedelta(hours=25)) is None


def input_at(model: Model, row: int, base: int, error: tuple[float, ...] = (0, 0, 0, 0)) -> DetectorInput:
    """The reading of a station at hour `base`, changed by `error`."""
    time = (model.grid.start + base).astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    values = model_variables(model.grid.values[row, base])[:4].astype(float) + error
    leading = window(time, tuple(values.tolist())).model_copy(
        update={"station_id": model.grid.stations[row].station_id}
    )
    return DetectorInput(leading, [], row, None)


def until(grid: HourGrid, base: int) -> HourGrid:
    """The grid up to and including hour `base`."""
    return HourGrid(grid.stations, grid.start, grid.values[:, : base + 1])


def test_a_saved_detector_flags_a_bias_and_reports_its_size(model: Model, tmp_path: Path) -> None:
    model.detector.save(tmp_path / "d")
    loaded = AnomalyDetector.load(tmp_path / "d")
    base = int(base_hours(model.split.test)[5])
    grid = until(model.grid, base)
    inputs = [input_at(model, 0, base), input_at(model, 1, base, (-15.0, 0, 0, 0)), input_at(model, 2, base)]
    anomalies = loaded.check_many(inputs, grid, "3")
    assert anomalies == model.detector.check_many(inputs, grid, "3")
    assert [anomaly.is_anomaly for anomaly in anomalies] == [False, True, False]
    flag = anomalies[1].flags[0]
    assert (flag.variable, flag.check) == ("temperature", "learned_score")
    assert 0.5 < flag.severity <= 1
    numbers = [float(number) for number in re.findall(r"([0-9.]+) °C", flag.reason)]
    assert numbers[1] == pytest.approx(15, abs=4)
    assert anomalies[1].checks["forecast_residual"] is anomalies[1].checks["learned_score"] is Quality.FAILED
    assert anomalies[1].model_version == "3"
    assert max(anomalies[0].score, anomalies[2].score) < 0.5


def test_an_unknown_station_is_compared_with_its_forecast(model: Model) -> None:
    unknown_station = replace(model.grid.stations[0], station_id="unknown")
    grid = HourGrid((unknown_station,), model.grid.start, model.grid.values[:1])
    reading = window(NOW, USUAL)
    middle = np.array([USUAL[0] + 50, *USUAL[1:]])
    expected = ExpectedReading(middle, middle - 1, middle + 1)
    inputs = [DetectorInput(reading, [], 0, expected), DetectorInput(reading, [], 0, None)]
    with_forecast, without = model.detector.check_many(inputs, grid, "3")
    assert [flag.check for flag in with_forecast.flags] == ["forecast_residual"]
    assert {without.checks[name] for name in SOFT_CHECKS} == {Quality.NOT_CHECKED}


def test_a_batch_with_readings_of_several_hours_gives_the_same_results_as_single_readings(model: Model) -> None:
    base = int(base_hours(model.split.test)[5])
    grid = until(model.grid, base)
    inputs = [input_at(model, 0, base - 2), input_at(model, 1, base, (9.0, 0, 0, 0))]
    assert model.detector.check_many(inputs, grid, None) == [model.detector.check(item, grid, None) for item in inputs]


def test_a_damaged_detector_and_a_model_of_another_kind_cannot_be_loaded(model: Model, tmp_path: Path) -> None:
    model.detector.save(tmp_path / "d")
    with pytest.raises(ModelFileError, match="anomaly-detector"):
        BoostedForecaster.load(tmp_path / "d")
    (tmp_path / "d" / "classifier.txt").write_text("tree")
    with pytest.raises(ModelFileError, match=r"classifier\.txt"):
        AnomalyDetector.load(tmp_path / "d")


def test_an_impossible_step_limit_of_a_saved_detector_is_reduced(model: Model, tmp_path: Path) -> None:
    model.detector.save(tmp_path)
    arrays, about = load_arrays(tmp_path / "arrays.npz"), artifact.verify(tmp_path, KIND)
    trained = arrays["step_limit"].copy()
    arrays["step_limit"][0, 2] = 214.0
    save_arrays(tmp_path / "arrays.npz", arrays)
    artifact.write_manifest(tmp_path, KIND, about)
    learned = AnomalyDetector.load(tmp_path).learned
    assert learned is not None
    trained[0, 2] = series_checks.LARGEST_STEP[2]
    np.testing.assert_array_equal(learned.statistics.step_limit, trained)


def test_every_array_of_a_detector_must_have_its_type_shape_and_range(model: Model, tmp_path: Path) -> None:
    model.detector.save(tmp_path)
    original, about = load_arrays(tmp_path / "arrays.npz"), artifact.verify(tmp_path, KIND)

    def rejects(arrays: dict[str, np.ndarray]) -> None:
        save_arrays(tmp_path / "arrays.npz", arrays)
        artifact.write_manifest(tmp_path, KIND, about)
        with pytest.raises(ModelFileError) as raised:
            AnomalyDetector.load(tmp_path)
        assert raised.value.path == tmp_path / "arrays.npz"

    for name, array in original.items():
        rejects({other: values for other, values in original.items() if other != name})
        rejects({**original, name: array.astype(np.complex128)})
        rejects({**original, name: array[..., None]})
        rejects({**original, name: array[..., :0]})
    indices = ("expected.neighbours", "nearest", "forest.feature", "forest.left", "forest.right")
    for name in indices:
        for value in (-2, 1_000_000):
            rejects({**original, name: np.full_like(original[name], value)})
    save_arrays(tmp_path / "arrays.npz", original)
    artifact.write_manifest(tmp_path, KIND, about)
    AnomalyDetector.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(stations=[]),
        lambda about: about.update(stations=["a", 1, "c"]),
        lambda about: about.pop("features"),
        lambda about: about["features"].reverse(),
        lambda about: about["views"].reverse(),
    ],
)
def test_invalid_metadata_of_a_detector_is_an_error(
    model: Model, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    model.detector.save(tmp_path)
    about = artifact.verify(tmp_path, KIND)
    change(about)
    artifact.write_manifest(tmp_path, KIND, about)
    with pytest.raises(ModelFileError):
        AnomalyDetector.load(tmp_path)


def test_the_isolation_forest_scores_equal_those_of_scikit_learn() -> None:
    from sklearn.ensemble import IsolationForest

    from weatherglass.anomaly import isolation_forest

    rows = np.random.default_rng(0).normal(size=(1000, 6)).astype(np.float32)
    reference = IsolationForest(
        n_estimators=isolation_forest.TREES, max_samples=isolation_forest.SAMPLES, random_state=5
    ).fit(rows)
    np.testing.assert_allclose(isolation_forest.fit(rows, 5).score(rows), -reference.score_samples(rows), atol=1e-12)
