"""Throughput of the pipeline over an hour and over a week."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.conftest import NOW
from tests.weatherglass.store.samples import an_observation
from weatherglass.api.app import create_app
from weatherglass.api.resources import component_of
from weatherglass.api.routes.system import CACHE_LIFETIME
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings
from weatherglass.store import observations


def test_throughput_of_a_week_is_cached_and_of_an_hour_is_not(settings: Settings, store: Engine) -> None:
    now = [NOW]
    with TestClient(create_app(settings, clock=lambda: now[0])) as client:

        def stored(hours: int) -> int:
            response = client.get("/system", params={"hours": hours})
            assert response.status_code == 200
            return sum(step["observations"] for step in response.json()["flow"])

        before = stored(1), stored(168)
        with store.begin() as connection:
            new = an_observation("kiel", NOW - timedelta(minutes=1))
            observations.save(connection, [new], NOW - timedelta(seconds=1), Origin.REPLAY)
        assert (stored(1), stored(168)) == (before[0] + 1, before[1])
        now[0] += CACHE_LIFETIME
        assert stored(168) == before[1] + 1


@pytest.mark.parametrize(("hours", "status"), [(-1, 422), (0, 422), (0.24, 422), (0.25, 200), (168, 200), (168.1, 422)])
def test_the_time_range_is_from_a_quarter_of_an_hour_to_a_week(
    settings: Settings, store: Engine, hours: float, status: int
) -> None:
    with TestClient(create_app(settings, clock=lambda: NOW)) as client:
        assert client.get("/system", params={"hours": hours}).status_code == status


def test_the_time_range_is_an_hour_unless_another_is_given(settings: Settings, store: Engine) -> None:
    with TestClient(create_app(settings, clock=lambda: NOW)) as client:
        default, hour = (client.get("/system", params=params).json() for params in ({}, {"hours": 1}))
    assert default["step_seconds"] * len(default["flow"]) == 3600
    assert default["flow"] == hour["flow"]


@pytest.mark.parametrize(
    ("command_line", "component"),
    [
        ("python -m weatherglass.jobs.host /state/.weatherglass", "job host"),
        ("python -u -m weatherglass.launcher up", "launcher"),
        ("python -m weatherglass.monitor /state/.weatherglass/jobs/monitor_pipeline", "monitor"),
        ("python -m weatherglass.sink /state/.weatherglass/jobs/store_predictions", "sink"),
        ("python -m weatherglass.api", "api"),
        ("python -m weatherglass.api.station_listener", "listener for consoles"),
        ("python -m ray_jobs.serve_predictions /state", "ray jobs"),
        ("java -cp /jars kafka.Kafka server.properties", "kafka"),
        ("java org.apache.spark.deploy.SparkSubmit spark_jobs/window_features.py", "spark"),
        ("ray::Predictor.predict", "ray actors and tasks"),
        ("sleep 5", "other"),
    ],
)
def test_component_of_a_command_line(command_line: str, component: str) -> None:
    assert component_of(command_line) == component
