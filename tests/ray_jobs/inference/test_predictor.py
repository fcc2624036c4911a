from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ray_jobs.inference.hour_buffer import SPAN_HOURS, HourBuffer
from ray_jobs.inference.model_manager import NO_MODEL, ActiveModels, ModelManager
from ray_jobs.inference.predictor import Predictor, in_challenger_share
from tests.conftest import make_settings
from tests.ray_jobs.windows import START, every, leading, window
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.records import Hour, Method, Prediction, Quality
from weatherglass.registry.registry import Registry
from weatherglass.stations import bundled_stations

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MODELS = ActiveModels(PersistenceForecaster(), "7", AnomalyDetector.rules_only(), None)


def hours_with(temperatures: dict[tuple[str, datetime], float]) -> HourBuffer:
    hours = HourBuffer(bundled_stations().__getitem__)
    for (station, time), temperature in temperatures.items():
        hours.put_computed(hour_of(station, time, temperature))
    return hours


def hour_of(station: str, time: datetime, temperature: float) -> Hour:
    return Hour(
        station_id=station,
        hour=time,
        count=1,
        temperature=temperature,
        humidity=50.0,
        pressure=1000.0,
        wind_u=3.0,
        wind_v=4.0,
    )


def predictor(hours: HourBuffer, share: float = 0.0) -> Predictor:
    return Predictor(hours, ModelManager(Registry(make_settings(Path("nowhere")))), share)


def predict_one(
    hours: HourBuffer, time: datetime, temperature: float = 5.0, models: ActiveModels = MODELS
) -> Prediction:
    [result] = predictor(hours).predict([leading("boston", time, temperature)], models)
    assert result.shadow is None
    return result.prediction


@pytest.mark.parametrize("minute", [0, 1, 15, 45, 59])
def test_valid_times_are_the_24_full_hours_after_the_reading(minute: int) -> None:
    prediction = predict_one(hours_with({("boston", START): 1.0}), START + minute * MINUTE)
    assert prediction.predictions.valid_times == [START + lead * HOUR for lead in range(1, 25)]
    assert prediction.predictions.temperature == [1.0] * 24


def test_an_older_base_hour_gives_fewer_valid_times() -> None:
    prediction = predict_one(hours_with({("boston", START): 1.0}), START + 2 * HOUR + 5 * MINUTE)
    assert prediction.predictions.valid_times == [START + lead * HOUR for lead in range(3, 25)]


@pytest.mark.parametrize("past", [{}, {("miami", START): 20.0}, {("boston", START - 9 * HOUR): 20.0}])
def test_without_a_recent_hour_the_reading_is_the_base(past: dict[tuple[str, datetime], float]) -> None:
    prediction = predict_one(hours_with(past), START + 20 * MINUTE, 5.0)
    assert prediction.predictions.temperature == [5.0] * 24
    assert prediction.predictions.valid_times[0] == START + HOUR


def test_an_hour_in_the_future_is_not_the_base() -> None:
    """At 12:45 the hour 13:00 already has a value, but is still forecast."""
    prediction = predict_one(hours_with({("boston", START): 1.0, ("boston", START + HOUR): 9.0}), START + 45 * MINUTE)
    assert prediction.predictions.valid_times[0] == START + HOUR
    assert prediction.predictions.temperature[0] == 1.0


def test_each_station_of_a_batch_gets_its_own_prediction_when_the_grid_moves() -> None:
    """The second reading is 30 hours ahead of the grid, which moves all columns."""
    hours = hours_with({("boston", START): 1.0, ("miami", START): 20.0})
    windows = [leading("boston", START + MINUTE), leading("miami", START + 30 * HOUR, 25.0), leading("denver", START)]
    predictions = {a.prediction.station_id: a.prediction for a in predictor(hours).predict(windows, MODELS)}
    assert {name: p.predictions.temperature[0] for name, p in predictions.items()} == {
        "boston": 1.0,
        "miami": 25.0,
        "denver": 5.0,
    }
    assert {name: p.timestamp for name, p in predictions.items()} == {
        w.station_id: w.aggregated_features.last_observation for w in windows
    }


def test_intervals_contain_the_values_and_the_version_is_set() -> None:
    prediction = predict_one(hours_with({("boston", START): 1.0}), START)
    assert prediction.predictions.model_version == "7"
    wide = prediction.confidence
    assert wide.level == 0.9
    [narrow] = wide.others
    assert narrow.level == 0.8
    for name in ("temperature", "humidity", "pressure", "wind_speed"):
        bounds = (wide.lower, narrow.lower, prediction.predictions, narrow.upper, wide.upper)
        paths = [getattr(values, name) for values in bounds]
        assert all(list(numbers) == sorted(numbers) for numbers in zip(*paths, strict=True))
        assert paths[0] != paths[1]


def _raises(*_: Any) -> None:
    raise FloatingPointError("test")


def _nan(*arguments: Any) -> Any:
    forecast = PersistenceForecaster().forecast(*arguments)
    return replace(forecast, values=np.full_like(forecast.values, np.nan))


@pytest.mark.parametrize("broken", [_raises, _nan])
def test_a_failing_model_is_replaced_by_the_baseline_and_the_prediction_is_marked(broken: Any) -> None:
    models = replace(MODELS, forecaster=SimpleNamespace(forecast=broken), detector=SimpleNamespace(check_many=_raises))
    prediction = predict_one(hours_with({("boston", START): 1.0}), START, models=models)
    assert prediction.predictions.method is Method.PERSISTENCE
    assert prediction.predictions.model_version == NO_MODEL
    assert prediction.anomaly.model_version is None


@pytest.mark.parametrize(
    ("seconds", "outcome"), [(4.9, "success"), (5.005, "success"), (5.02, "failure"), (60.0, "failure")]
)
def test_a_forecast_above_five_seconds_and_ten_milliseconds_per_row_counts_as_a_failure(
    seconds: float, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = []
    models = SimpleNamespace(
        record_failure=lambda slot, *_: recorded.append((slot, "failure")),
        record_success=lambda slot: recorded.append((slot, "success")),
    )
    clock = iter([0.0, seconds])
    monkeypatch.setattr("ray_jobs.inference.predictor.time", SimpleNamespace(monotonic=lambda: next(clock)))
    hours = hours_with({("boston", START): 1.0})
    [result] = Predictor(hours, models).predict([leading("boston", START)], MODELS)  # type: ignore[arg-type]
    assert result.prediction.predictions.model_version == "7"
    assert ("forecaster", outcome) in recorded


def test_a_batch_without_leading_windows_has_no_predictions_and_keeps_the_canary_batch() -> None:
    predictor_ = predictor(hours_with({("boston", START): 1.0}))
    assert len(predictor_.predict([leading("boston", START)], MODELS)) == 1
    canary = predictor_.canary
    assert predictor_.predict([], MODELS) == []
    assert predictor_.canary is canary


def test_the_detector_gets_the_earlier_readings_and_an_earlier_forecast() -> None:
    cases: list[Any] = []

    def spy(seen: list[Any], grid: Any, version: Any) -> Any:
        cases.extend(seen)
        return AnomalyDetector.rules_only().check_many(seen, grid, version)

    models = replace(MODELS, detector=SimpleNamespace(check_many=spy))
    pred = predictor(hours_with({("boston", START - 2 * HOUR): 1.0, ("boston", START): 8.0}))
    readings = [leading("boston", time, float(i)) for i, time in enumerate(every(15, 0.75, START - HOUR))]
    pred.add_readings(readings)
    for _ in range(2):  # a repeated batch
        cases.clear()
        now = window("boston", START + 6 * MINUTE, START + 5 * MINUTE, 3.0)
        pred.add_readings([now])
        [result] = pred.predict([now], models)
        assert [reading.values[0] for reading in cases[0].recent] == [0.0, 1.0, 2.0]
        assert cases[0].expected is not None
        assert cases[0].expected.values[0] == pytest.approx(1.0), "from 11:00, not from 12:00"
        assert result.prediction.anomaly.checks["range"] is Quality.OK


def test_a_batch_is_one_call_of_the_forecaster() -> None:
    """Two stations, one of which also needs the forecast from which the expected value is taken."""
    calls: list[tuple[list[int], list[int]]] = []

    def forecast(grid: Any, rows: Any, bases: Any) -> Any:
        calls.append((list(rows), list(bases)))
        return PersistenceForecaster().forecast(grid, rows, bases)

    models = replace(MODELS, forecaster=SimpleNamespace(forecast=forecast))
    hours = hours_with({("boston", START - HOUR): 1.0, ("boston", START): 2.0, ("miami", START): 20.0})
    results = predictor(hours).predict([leading("boston", START), leading("miami", START)], models)
    assert [result.prediction.station_id for result in results] == ["boston", "miami"]
    last = SPAN_HOURS - 1
    assert calls == [([0, 1, 0], [last, last, last - 1])]


@pytest.mark.parametrize(("age", "base"), [(2, START), (3, START + 3 * HOUR)])
def test_the_reading_is_the_base_if_the_newest_hour_is_more_than_two_hours_older(age: int, base: datetime) -> None:
    prediction = predict_one(hours_with({("boston", START): 1.0}), START + age * HOUR, 5.0)
    assert prediction.predictions.valid_times[-1] == base + 24 * HOUR
    assert prediction.predictions.temperature[0] == (1.0 if base == START else 5.0)


@pytest.mark.parametrize(("age", "temperatures"), [(6 * HOUR, [1.0]), (6 * HOUR + MINUTE, [])])
def test_earlier_readings_are_those_of_the_last_six_hours(age: timedelta, temperatures: list[float]) -> None:
    inputs: list[Any] = []

    def spy(batch: list[Any], grid: Any, version: Any) -> Any:
        inputs.extend(batch)
        return AnomalyDetector.rules_only().check_many(batch, grid, version)

    pred = predictor(hours_with({("boston", START): 1.0}))
    now = leading("boston", START, 2.0)
    pred.add_readings([leading("boston", START - age, 1.0), now])
    pred.predict([now], replace(MODELS, detector=SimpleNamespace(check_many=spy)))
    assert [reading.values[0] for reading in inputs[0].recent] == temperatures


@pytest.mark.parametrize(
    ("since", "base", "expected", "recent"),
    [
        (None, 4.0, 3.0, [1.0, 2.0]),
        (START - HOUR - 19 * MINUTE, 4.0, 3.0, [1.0, 2.0]),
        (START - 30 * MINUTE, 4.0, None, [2.0]),
        (START - 5 * MINUTE, 5.0, None, []),
    ],
    ids=["not moved", "before the hours", "before the newest hour", "after the hours"],
)
def test_forecasts_and_checks_use_nothing_from_before_a_station_was_moved(
    since: datetime | None, base: float, expected: float | None, recent: list[float]
) -> None:
    cases: list[Any] = []

    def spy(seen: list[Any], grid: Any, version: Any) -> Any:
        cases.extend(seen)
        return AnomalyDetector.rules_only().check_many(seen, grid, version)

    models = replace(MODELS, detector=SimpleNamespace(check_many=spy))
    known = dict(bundled_stations())
    hours = HourBuffer(known.__getitem__)
    for time, temperature in ((START - HOUR, 3.0), (START, 4.0)):
        hours.put_computed(hour_of("boston", time, temperature))
    pred = predictor(hours)
    readings = [leading("boston", START - age * MINUTE, value) for age, value in ((40, 1.0), (20, 2.0))]
    pred.add_readings(readings)
    pred.predict(readings[:1], models)  # issues forecasts for the first place
    cases.clear()
    known["boston"] = replace(known["boston"], latitude=43.0, since=since)
    [result] = pred.predict([leading("boston", START + 5 * MINUTE, 5.0)], models)
    assert result.prediction.predictions.temperature[0] == base
    assert [reading.values[0] for reading in cases[0].recent] == recent
    assert (cases[0].expected and cases[0].expected.values[0]) == expected


STATIONS = ("boston", "miami", "denver", "seattle", "chicago", "dallas", "atlanta", "phoenix")


class Warmer(PersistenceForecaster):
    """Persistence plus one degree."""

    def forecast(self, *arguments: Any) -> Any:
        forecast = super().forecast(*arguments)
        return replace(
            forecast,
            values=forecast.values + 1,
            lower={level: bound + 1 for level, bound in forecast.lower.items()},
            upper={level: bound + 1 for level, bound in forecast.upper.items()},
        )


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_challenger_is_published_for_its_share_of_stations_and_shadowed_for_the_others(share: float) -> None:
    models = replace(MODELS, challenger=Warmer(), challenger_version="8")
    hours = hours_with(dict.fromkeys([(station, START) for station in STATIONS], 1.0))
    results = predictor(hours, share).predict([leading(station, START) for station in STATIONS], models)
    chosen = {station for station in STATIONS if in_challenger_share(station, share)}
    assert len(chosen) in {0.0: [0], 0.5: range(1, len(STATIONS)), 1.0: [len(STATIONS)]}[share]
    for result in results:
        assert result.shadow is not None
        served, other = result.prediction.predictions, result.shadow.predictions
        by_challenger = result.prediction.station_id in chosen
        assert (served.model_version, other.model_version) == (("8", "7") if by_challenger else ("7", "8"))
        assert (served.temperature[0], other.temperature[0]) == ((2.0, 1.0) if by_challenger else (1.0, 2.0))
        assert result.shadow.timestamp == result.prediction.timestamp
    assert [a.prediction for a in predictor(hours, 0.0).predict([leading("boston", START)], MODELS)] == [
        predict_one(hours, START)
    ]


def test_a_failing_challenger_does_not_affect_the_predictions() -> None:
    models = replace(MODELS, challenger=SimpleNamespace(forecast=_raises), challenger_version="8")
    [result] = predictor(hours_with({("boston", START): 1.0}), 1.0).predict([leading("boston", START)], models)
    assert result.prediction.predictions.model_version == "7"
    assert result.shadow is None


def test_the_hash_depends_on_the_inputs_and_not_on_their_order() -> None:
    def hashed(temperatures: dict[tuple[str, datetime], float], reading: float = 5.0) -> str:
        [result] = predictor(hours_with(temperatures)).predict([leading("boston", START, reading)], MODELS)
        return result.inputs

    hours = {("boston", START): 1.0, ("miami", START): 20.0, ("miami", START - HOUR): 19.0}
    reference = hashed(hours)
    assert hashed(dict(reversed(hours.items()))) == reference
    assert hashed({**hours, ("miami", START - HOUR): 19.5}) != reference, "a past hour of a neighbour"
    assert hashed(hours, 6.0) != reference, "the reading"
    assert hashed({**hours, ("miami", START + HOUR): 19.5}) == reference, "an hour after the base hour is not an input"
