from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from weatherglass.launcher.latest_forecast import describe_latest_forecast
from weatherglass.records import Method, Prediction
from weatherglass.settings import Settings
from weatherglass.store import observations, predictions


def save(store: Engine, prediction: Prediction, minutes: int = 0) -> None:
    with store.begin() as connection:
        predictions.save(connection, [prediction], NOON + timedelta(minutes=minutes))


def with_pressure(first: float, sixth: float) -> Prediction:
    prediction = a_prediction()
    pressure = prediction.predictions.pressure
    # The leads in between and after are those of neither end.
    changed = [first, *[900.0] * 4, sixth, *[1100.0] * (len(pressure) - 6)]
    forecast = prediction.predictions.model_copy(update={"pressure": changed})
    return prediction.model_copy(update={"predictions": forecast})


def parts(settings: Settings) -> list[str]:
    text = describe_latest_forecast(settings)
    assert text is not None
    return text.split("; ")


def test_without_predictions_there_is_no_forecast(settings: Settings, store: Engine) -> None:
    assert describe_latest_forecast(settings) is None


def test_the_observation_comes_first_and_the_forecast_is_for_the_sixth_hour(settings: Settings, store: Engine) -> None:
    with store.begin() as connection:
        observations.save(connection, [an_observation(temperature=-1.26)], NOON)
    save(store, a_prediction(temperature=3.2))
    assert parts(settings) == [
        "New York: -1.3 °C at 2026-01-05T12:15:00Z",
        "in 6 h 3.8 °C (2.8 to 4.8)",
        "steady pressure",
        "model 7",
        "no anomaly",
    ]


@pytest.mark.parametrize("observed", ["nothing", "no temperature", "a later time"])
def test_without_an_observed_temperature_at_its_time_the_forecast_has_only_the_time(
    settings: Settings, store: Engine, observed: str
) -> None:
    later = an_observation(timestamp=an_observation().timestamp + timedelta(minutes=15))
    saved = {"nothing": [], "no temperature": [an_observation(temperature=None)], "a later time": [later]}[observed]
    with store.begin() as connection:
        observations.save(connection, saved, NOON)
    save(store, a_prediction())
    assert parts(settings)[:2] == ["New York: forecast of 2026-01-05T12:15:00Z", "in 6 h 3.8 °C (2.8 to 4.8)"]


def test_the_prediction_that_was_stored_last_counts(settings: Settings, store: Engine) -> None:
    save(store, a_prediction("boston", version="8"), minutes=1)
    save(store, a_prediction("new-york"), minutes=0)
    assert parts(settings)[0].startswith("Boston: ")
    assert "model 8" in parts(settings)


@pytest.mark.parametrize(
    ("first", "sixth", "tendency"),
    [
        (1013.0, 1013.4, "steady pressure"),
        (1013.0, 1012.6, "steady pressure"),
        (1013.0, 1013.5, "rising pressure"),
        (1013.0, 1012.5, "falling pressure"),
    ],
)
def test_a_pressure_change_of_half_a_hectopascal_is_a_tendency(
    settings: Settings, store: Engine, first: float, sixth: float, tendency: str
) -> None:
    save(store, with_pressure(first, sixth))
    assert [part for part in parts(settings) if part.endswith(" pressure")] == [tendency]


def test_the_method_and_the_reasons_of_an_anomaly_are_named(settings: Settings, store: Engine) -> None:
    save(store, a_prediction(failed=("range", "step"), method=Method.DAMPED_ANOMALY))
    assert parts(settings)[-3:] == ["by damped anomaly (model 7)", "range failed", "step failed"]
