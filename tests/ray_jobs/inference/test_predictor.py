from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ray_jobs.inference.hour_buffer import HourBuffer
from ray_jobs.inference.model_manager import NO_MODEL, ActiveModels, ModelManager
from ray_jobs.inference.predictor import Predictor, in_challenger_share
from tests.conftest import make_settings
from tests.ray_jobs.windows import START, every, leading, window
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.records import Hour, Method, Prediction, Quality
from weatherglass.registry.registry import Registry
from weatherglass.stations import known_stations

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MODELS = ActiveModels(PersistenceForecaster(), "7", AnomalyDetector.rules_only(), None)


def known(temperatures: dict[tuple[str, datetime], float]) -> HourBuffer:
    hours = HourBuffer(known_stations().__getitem__)
    for (station, time), temperature in temperatures.items():
        hours.put_computed(
            Hour(
                station_id=station,
                hour=time,
                count=1,
                temperature=temperature,
                humidity=50.0,
                pressure=1000.0,
                wind_u=3.0,
                wind_v=4.0,
            )
        )
    return hours


def answering(hours: HourBuffer, share: float = 0.0) -> Predictor:
    return Predictor(hours, ModelManager(Registry(make_settings(Path("nowhere")))), share)


def one(hours: HourBuffer, time: datetime, temperature: float = 5.0, models: ActiveModels = MODELS) -> Prediction:
    [answer] = answering(hours).predict([leading("boston", time, temperature)], models)
    assert answer.shadow is None
    return answer.prediction


@pytest.mark.parametrize("minute", [0, 1, 15, 45, 59])
def test_valid_times_are_the_full_hours_after_the_reading(minute: int) -> None:
    made = one(known({("boston", START): 1.0}), START + minute * MINUTE)
    assert made.predictions.valid_times == [START + lead * HOUR for lead in range(1, 25)]
    assert made.predictions.temperature == [1.0] * 24


def test_an_older_base_hour_leaves_fewer_hours_ahead() -> None:
    made = one(known({("boston", START): 1.0}), START + 2 * HOUR + 5 * MINUTE)
    assert made.predictions.valid_times == [START + lead * HOUR for lead in range(3, 25)]


@pytest.mark.parametrize("past", [{}, {("miami", START): 20.0}, {("boston", START - 9 * HOUR): 20.0}])
def test_without_a_recent_hour_the_present_reading_is_the_base(past: dict[tuple[str, datetime], float]) -> None:
    made = one(known(past), START + 20 * MINUTE, 5.0)
    assert made.predictions.temperature == [5.0] * 24
    assert made.predictions.valid_times[0] == START + HOUR


def test_the_hour_in_progress_is_not_the_base_before_it_has_come() -> None:
    """At 12:45 hour 13 has a first value, but 13:00 is still ahead and is forecast."""
    made = one(known({("boston", START): 1.0, ("boston", START + HOUR): 9.0}), START + 45 * MINUTE)
    assert made.predictions.valid_times[0] == START + HOUR
    assert made.predictions.temperature[0] == 1.0


def test_stations_of_one_batch_get_their_own_answers_though_the_grid_moves_on() -> None:
    """The second reading is hours ahead of all that is known, so room is made while the first has its place."""
    hours = known({("boston", START): 1.0, ("miami", START): 20.0})
    windows = [leading("boston", START + MINUTE), leading("miami", START + 30 * HOUR, 25.0), leading("denver", START)]
    made = {a.prediction.station_id: a.prediction for a in answering(hours).predict(windows, MODELS)}
    assert {name: p.predictions.temperature[0] for name, p in made.items()} == {
        "boston": 1.0,
        "miami": 25.0,
        "denver": 5.0,
    }
    assert {name: p.timestamp for name, p in made.items()} == {
        w.station_id: w.aggregated_features.last_observation for w in windows
    }


def test_intervals_hold_the_values_and_the_version_is_told() -> None:
    made = one(known({("boston", START): 1.0}), START)
    assert made.predictions.model_version == "7"
    wide = made.confidence
    assert wide.level == 0.9
    [narrow] = wide.others
    assert narrow.level == 0.8
    for name in ("temperature", "humidity", "pressure", "wind_speed"):
        bounds = (wide.lower, narrow.lower, made.predictions, narrow.upper, wide.upper)
        paths = [getattr(one, name) for one in bounds]
        assert all(list(numbers) == sorted(numbers) for numbers in zip(*paths, strict=True))
        assert paths[0] != paths[1]


def _raises(*_: Any) -> None:
    raise FloatingPointError("no forecast today")


def _nan(*arguments: Any) -> Any:
    forecast = PersistenceForecaster().forecast(*arguments)
    return replace(forecast, values=np.full_like(forecast.values, np.nan))


@pytest.mark.parametrize("broken", [_raises, _nan])
def test_a_model_that_fails_in_service_is_answered_for_and_the_answer_says_so(broken: Any) -> None:
    models = replace(MODELS, forecaster=SimpleNamespace(forecast=broken), detector=SimpleNamespace(check_many=_raises))
    made = one(known({("boston", START): 1.0}), START, models=models)
    assert made.predictions.method is Method.PERSISTENCE
    assert made.predictions.model_version == NO_MODEL
    assert made.anomaly.model_version is None


def test_readings_are_judged_by_those_before_them_and_by_an_earlier_forecast() -> None:
    cases: list[Any] = []

    def spy(seen: list[Any], grid: Any, version: Any) -> Any:
        cases.extend(seen)
        return AnomalyDetector.rules_only().check_many(seen, grid, version)

    models = replace(MODELS, detector=SimpleNamespace(check_many=spy))
    answers = answering(known({("boston", START - 2 * HOUR): 1.0, ("boston", START): 8.0}))
    readings = [leading("boston", time, float(i)) for i, time in enumerate(every(15, 0.75, START - HOUR))]
    answers.add_readings(readings)
    for _ in range(2):  # a batch that is tried again
        cases.clear()
        now = window("boston", START + 6 * MINUTE, START + 5 * MINUTE, 3.0)
        answers.add_readings([now])
        [made] = answers.predict([now], models)
        assert [reading.values[0] for reading in cases[0].recent] == [0.0, 1.0, 2.0]
        assert cases[0].expected is not None
        assert cases[0].expected.values[0] == pytest.approx(1.0), "not from the hour it is in"
        assert made.prediction.anomaly.checks["range"] is Quality.OK


STATIONS = ("boston", "miami", "denver", "seattle", "chicago", "dallas", "atlanta", "phoenix")


class Warmer(PersistenceForecaster):
    """Persistence and a degree."""

    def forecast(self, *arguments: Any) -> Any:
        made = super().forecast(*arguments)
        return replace(
            made,
            values=made.values + 1,
            lower={level: bound + 1 for level, bound in made.lower.items()},
            upper={level: bound + 1 for level, bound in made.upper.items()},
        )


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_challenger_answers_for_its_share_of_stations_and_runs_in_shadow_on_the_others(share: float) -> None:
    models = replace(MODELS, challenger=Warmer(), challenger_version="8")
    hours = known(dict.fromkeys([(station, START) for station in STATIONS], 1.0))
    answers = answering(hours, share).predict([leading(station, START) for station in STATIONS], models)
    chosen = {station for station in STATIONS if in_challenger_share(station, share)}
    assert len(chosen) in {0.0: [0], 0.5: range(1, len(STATIONS)), 1.0: [len(STATIONS)]}[share]
    for answer in answers:
        assert answer.shadow is not None
        served, other = answer.prediction.predictions, answer.shadow.predictions
        by_challenger = answer.prediction.station_id in chosen
        assert (served.model_version, other.model_version) == (("8", "7") if by_challenger else ("7", "8"))
        assert (served.temperature[0], other.temperature[0]) == ((2.0, 1.0) if by_challenger else (1.0, 2.0))
        assert answer.shadow.timestamp == answer.prediction.timestamp
    assert [a.prediction for a in answering(hours, 0.0).predict([leading("boston", START)], MODELS)] == [
        one(hours, START)
    ], "without a challenger nothing changes"


def test_a_challenger_that_fails_leaves_the_answers_as_they_are() -> None:
    models = replace(MODELS, challenger=SimpleNamespace(forecast=_raises), challenger_version="8")
    [answer] = answering(known({("boston", START): 1.0}), 1.0).predict([leading("boston", START)], models)
    assert answer.prediction.predictions.model_version == "7"
    assert answer.shadow is None


def test_the_hash_tells_inputs_apart_and_not_the_order_in_which_they_came() -> None:
    def hashed(temperatures: dict[tuple[str, datetime], float], reading: float = 5.0) -> str:
        [answer] = answering(known(temperatures)).predict([leading("boston", START, reading)], MODELS)
        return answer.inputs

    hours = {("boston", START): 1.0, ("miami", START): 20.0, ("miami", START - HOUR): 19.0}
    usual = hashed(hours)
    assert hashed(dict(reversed(hours.items()))) == usual
    assert hashed({**hours, ("miami", START - HOUR): 19.5}) != usual, "a neighbour counts"
    assert hashed(hours, 6.0) != usual, "so does the reading"
    assert hashed({**hours, ("miami", START + HOUR): 19.5}) == usual, "what came after the base hour does not"
