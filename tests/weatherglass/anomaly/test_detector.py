from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.weatherglass.conftest import Model
from weatherglass.anomaly.detector import CHECKS, SOFT, AnomalyDetector, Case, CurrentReading, Expected, expected_at
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES, AggregatedFeatures, Method, Quality, Statistics, Wind, WindowFeatures
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


def judged(values: tuple[float | None, ...] = USUAL, **given: object):
    case = {"recent": readings(4), "row": None, "expected": None, "failed": None, **given}
    made = Case(window(NOW, values, case["failed"]), case["recent"], case["row"], case["expected"])  # type: ignore[arg-type]
    return AnomalyDetector.rules_only().check(made, NO_GRID, None)


def test_an_ordinary_reading_is_no_anomaly_and_says_what_was_not_checked() -> None:
    anomaly = judged()
    assert not anomaly.is_anomaly
    assert anomaly.score == 0
    assert tuple(anomaly.checks) == CHECKS
    assert anomaly.checks["step"] is Quality.OK
    assert {anomaly.checks[name] for name in SOFT} == {Quality.NOT_CHECKED}
    assert anomaly.flags == []


@pytest.mark.parametrize(("variable", "jump"), [(0, 15.0), (1, -40.0), (2, 12.0), (3, 12.0)])
def test_a_jump_is_flagged_and_named(variable: int, jump: float) -> None:
    values = list(USUAL)
    values[variable] += jump
    anomaly = judged(tuple(values))
    assert (anomaly.is_anomaly, anomaly.score, anomaly.checks["step"]) == (True, 1.0, Quality.FAILED)
    assert len(anomaly.reasons) == 1
    assert VARIABLES[variable].replace("_", " ") in anomaly.reasons[0]
    assert "15 minutes" in anomaly.reasons[0]
    assert [(flag.variable, flag.check, flag.onset) for flag in anomaly.flags] == [(VARIABLES[variable], "step", NOW)]


def test_readings_far_apart_say_nothing_about_a_step() -> None:
    old = [CurrentReading(NOW - timedelta(hours=5), tuple(v + 20 for v in USUAL))]
    assert judged(recent=old).checks["step"] is Quality.NOT_CHECKED


def test_a_stuck_sensor_is_flagged_but_not_before_its_time() -> None:
    for hours, quality in ((5, Quality.OK), (7, Quality.FAILED)):
        stuck = [
            CurrentReading(NOW - MINUTES * k, (USUAL[0], *(v + k * 0.3 for v in USUAL[1:])))
            for k in range(hours * 4, 0, -1)
        ]
        anomaly = judged(recent=stuck)
        assert anomaly.checks["flat_line"] is quality
    assert "temperature has been 10.0 °C for 7 h" in anomaly.reasons[0]
    assert anomaly.flags[0].onset == NOW - timedelta(hours=7)


def test_heat_and_damp_beyond_anything_measured_contradict_each_other() -> None:
    recent = [CurrentReading(NOW - MINUTES * k, (41.0 + k * 0.3, 88.0 + k, 1005.0, 3.0)) for k in range(4, 0, -1)]
    anomaly = judged((41.0, 88.0, 1005.0, 3.0), recent=recent)
    assert anomaly.checks["consistency"] is Quality.FAILED
    assert {flag.variable for flag in anomaly.flags} == {"temperature", "humidity"}
    assert judged((41.0, 20.0, 1005.0, 3.0), recent=[]).checks["consistency"] is Quality.OK


def test_fog_and_calm_may_stand_still() -> None:
    still = (10.0, 99.0, 1005.0, 0.0)
    held = [CurrentReading(NOW - MINUTES * k, (10 + k * 0.3, 99.0, 1005 + k * 0.1, 0.0)) for k in range(30 * 4, 0, -1)]
    assert judged(still, recent=held).checks["flat_line"] is Quality.OK


def test_a_value_outside_the_physical_range_is_flagged_though_its_number_is_gone() -> None:
    anomaly = judged((None, *USUAL[1:]), failed="temperature")
    assert anomaly.checks["range"] is Quality.FAILED
    assert "temperature" in anomaly.reasons[0]


@pytest.mark.parametrize(
    ("check", "flagged", "words"),
    [
        ("range", "range", "-80 to 60"),
        ("climate", "range", "this month"),
        ("dew_point", "consistency", "dew point"),
        ("pressure_elevation", "range", "-80 to 60"),  # not a check of temperatures, so it was the range
    ],
)
def test_why_quality_control_left_a_value_out_is_said(check: str, flagged: str, words: str) -> None:
    made = window(NOW, (None, *USUAL[1:]), "temperature")
    made.aggregated_features.checks[check] = Quality.FAILED
    anomaly = AnomalyDetector.rules_only().check(Case(made, readings(4), None, None), NO_GRID, None)
    assert anomaly.is_anomaly
    assert {state for name, state in anomaly.checks.items() if name == flagged} == {Quality.FAILED}
    assert words in anomaly.reasons[0]


def test_the_distance_from_the_forecast_counts_in_half_widths() -> None:
    middle = np.array(USUAL)
    expected = Expected(middle, middle - 1, middle + 1)
    near, far = (judged((USUAL[0] + d, *USUAL[1:]), expected=expected) for d in (2.5, 3.5))
    assert (near.is_anomaly, far.is_anomaly) == (False, True)
    assert near.score < 0.5 < far.score
    assert "above its forecast" in far.reasons[0]


def test_a_reading_without_any_value_is_not_checked() -> None:
    assert set(judged((None,) * 4).checks.values()) == {Quality.NOT_CHECKED}


def test_expected_lies_between_the_valid_hours() -> None:
    values = np.random.default_rng(3).normal(size=(1, len(LEADS), len(VARIABLES)))
    lower, upper = ({level: values + sign * level for level in LEVELS} for sign in (-1, 1))
    base_hours = np.array([NOW.replace(tzinfo=None)], dtype="datetime64[h]")
    forecast = Forecast(("s0",), base_hours, values, lower, upper, (Method.MODEL,), np.array([72]))
    at_two = expected_at(forecast, 0, NOW + timedelta(hours=2))
    between = expected_at(forecast, 0, NOW + timedelta(hours=2, minutes=30))
    last = expected_at(forecast, 0, NOW + timedelta(hours=24))
    assert at_two is not None
    assert between is not None
    assert last is not None
    np.testing.assert_allclose(at_two.values, forecast.values[0, 1])
    np.testing.assert_allclose(between.values, forecast.values[0, 1:3].mean(axis=0))
    np.testing.assert_allclose(last.upper, forecast.upper[0.9][0, 23])
    assert expected_at(forecast, 0, NOW + timedelta(minutes=30)) is None
    assert expected_at(forecast, 0, NOW + timedelta(hours=25)) is None


def case_of(model: Model, row: int, base: int, wrong: tuple[float, ...] = (0, 0, 0, 0)) -> Case:
    """The reading of a station at hour `base`, changed by `wrong`."""
    time = (model.grid.start + base).astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    values = model_variables(model.grid.values[row, base])[:4].astype(float) + wrong
    made = window(time, tuple(values.tolist())).model_copy(update={"station_id": model.grid.stations[row].station_id})
    return Case(made, [], row, None)


def until(grid: HourGrid, base: int) -> HourGrid:
    """What is known when the reading of hour `base` comes in."""
    return HourGrid(grid.stations, grid.start, grid.values[:, : base + 1])


def test_a_trained_detector_survives_saving_and_finds_a_bias_with_its_size_and_neighbours(
    model: Model, tmp_path: Path
) -> None:
    model.detector.save(tmp_path / "d")
    again = AnomalyDetector.load(tmp_path / "d")
    base = int(base_hours(model.parts.test)[5])
    grid = until(model.grid, base)
    cases = [case_of(model, 0, base), case_of(model, 1, base, (-15.0, 0, 0, 0)), case_of(model, 2, base)]
    found = again.check_many(cases, grid, "3")
    assert found == model.detector.check_many(cases, grid, "3")
    assert [one.is_anomaly for one in found] == [False, True, False]
    flag = found[1].flags[0]
    assert (flag.variable, flag.check) == ("temperature", "learnt_score")
    assert 0.5 < flag.severity <= 1
    off = float(re.search(r"is ([0-9.]+) °C below", flag.reason).group(1))  # type: ignore[union-attr]
    assert off == pytest.approx(15, abs=4)
    assert found[1].checks["forecast_residual"] is found[1].checks["learnt_score"] is Quality.FAILED
    assert found[1].model_version == "3"
    assert max(found[0].score, found[2].score) < 0.5


def test_a_station_never_seen_is_judged_by_its_forecast(model: Model) -> None:
    stranger = replace(model.grid.stations[0], station_id="stranger")
    grid = HourGrid((stranger,), model.grid.start, model.grid.values[:1])
    reading = window(NOW, USUAL)
    middle = np.array([USUAL[0] + 50, *USUAL[1:]])
    cases = [Case(reading, [], 0, Expected(middle, middle - 1, middle + 1)), Case(reading, [], 0, None)]
    known, unknown = model.detector.check_many(cases, grid, "3")
    assert [flag.check for flag in known.flags] == ["forecast_residual"]
    assert {unknown.checks[name] for name in SOFT} == {Quality.NOT_CHECKED}


def test_what_is_judged_alone_is_judged_the_same_in_a_batch_with_others_of_another_hour(model: Model) -> None:
    base = int(base_hours(model.parts.test)[5])
    grid = until(model.grid, base)
    cases = [case_of(model, 0, base - 2), case_of(model, 1, base, (9.0, 0, 0, 0))]
    assert model.detector.check_many(cases, grid, None) == [model.detector.check(case, grid, None) for case in cases]


def test_a_damaged_detector_is_refused_and_so_is_one_for_a_forecaster(model: Model, tmp_path: Path) -> None:
    model.detector.save(tmp_path / "d")
    with pytest.raises(ModelFileError, match="anomaly-detector"):
        BoostedForecaster.load(tmp_path / "d")
    (tmp_path / "d" / "combiner.txt").write_text("tree")
    with pytest.raises(ModelFileError, match=r"combiner\.txt"):
        AnomalyDetector.load(tmp_path / "d")


def test_the_plain_arrays_score_as_scikit_learn_does() -> None:
    from sklearn.ensemble import IsolationForest

    from weatherglass.anomaly import isolation_forest

    rows = np.random.default_rng(0).normal(size=(1000, 6)).astype(np.float32)
    theirs = IsolationForest(
        n_estimators=isolation_forest.TREES, max_samples=isolation_forest.SAMPLES, random_state=5
    ).fit(rows)
    np.testing.assert_allclose(isolation_forest.fit(rows, 5).score(rows), -theirs.score_samples(rows), atol=1e-12)
