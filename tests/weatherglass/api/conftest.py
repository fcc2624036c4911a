from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.conftest import make_settings
from tests.weatherglass.store.samples import NOON, a_prediction, a_window, an_observation
from weatherglass.api.app import create_app
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings
from weatherglass.store import alerts, latest_windows, observations, predictions
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

NOW = NOON + timedelta(minutes=2)
MALICIOUS = "<script>alert('x')</script>' OR 1=1 --"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state")


def fill(store: Engine) -> None:
    """Save a day of observations of three stations, one with a malicious name, and flag every fifth observation."""
    with store.begin() as connection:
        for number, (station, origin) in enumerate(
            [("new-york", Origin.OPEN_METEO), ("boston", Origin.REPLAY), (MALICIOUS.replace("/", ""), None)]
        ):
            times = [NOON - timedelta(minutes=15 * step) for step in range(96)]
            readings = [an_observation(station, time, temperature=step / 10) for step, time in enumerate(times)]
            forecasts = [
                a_prediction(station, time, ("step",) if step % 5 == number else (), temperature=step / 10)
                for step, time in enumerate(times)
            ]
            observations.save(connection, readings, NOON + timedelta(seconds=3), origin)
            predictions.save(connection, forecasts, NOON + timedelta(seconds=4), origin)
            latest_windows.save(connection, [a_window(NOON, station)], NOON + timedelta(seconds=4))
        alerts.raise_alert(connection, alerts.Alert("drift", MALICIOUS, alerts.Severity.WARNING, MALICIOUS), NOON)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled database file. Tests copy it, which is faster than filling one for each of them."""
    settings = make_settings(tmp_path_factory.mktemp("filled"))
    migrate(settings.store_url)
    engine = open_store(settings.store_url)
    fill(engine)
    engine.dispose()
    return settings.state_dir / "weatherglass.db"


@pytest.fixture
def store(settings: Settings, filled: Path) -> Iterator[Engine]:
    settings.state_dir.mkdir(exist_ok=True)
    shutil.copyfile(filled, settings.state_dir / filled.name)
    engine = open_store(settings.store_url)
    yield engine
    engine.dispose()


def clock() -> datetime:
    return NOW


@pytest.fixture
def client(settings: Settings, store: Engine) -> Iterator[TestClient]:
    with TestClient(create_app(settings, clock=clock), raise_server_exceptions=False) as client:
        yield client
