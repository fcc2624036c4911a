"""Injected faults over HTTP: what differs from the true replay is what the labels say, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import requests

from producer.open_meteo_schema import API_NAMES
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import ReplayData, load_data
from producer.replay.faults import ReplayFaults
from producer.replay.labels import fetch_labels
from producer.replay.server import ReplayServer
from weatherglass.history.sources.nycflights13 import stations
from weatherglass.records import VARIABLES
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.store.detection_scores import InjectedFault

NOW = datetime(2026, 7, 25, 12, 22, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DAYS = 7
SHARE = 0.15
PLACES = {name: ",".join(str(getattr(station, name)) for station in stations()) for name in ("latitude", "longitude")}
ALL = ",".join(API_NAMES[name] for name in VARIABLES)

Asked = Callable[..., Any]


@pytest.fixture(scope="module")
def data() -> ReplayData:
    return load_data(Settings())


@contextmanager
def served(data: ReplayData, share: float, now: datetime = NOW) -> Iterator[Settings]:
    faults = ReplayFaults(data, share) if share else None
    clock = ReplayClock(NOW - timedelta(days=20), NOW - timedelta(days=21), 60)
    server = ReplayServer(LOOPBACK, 0, Replay(data, clock, faults), lambda: now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Settings(replay_port=server.server_port, replay_faults=share)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(settings: Settings, path: str, **query: str) -> Any:
    found = requests.get(f"{settings.replay_url}{path}", params={**PLACES, **query}, timeout=60)
    assert found.ok, found.text
    return found.json()


def readings(settings: Settings) -> np.ndarray:
    """(stations, quarters, 4) of the last days, NaN where missing; the last is the present one."""
    steps = str(DAYS * 96)
    found = answer(
        settings, "/v1/forecast", minutely_15=ALL, past_minutely_15=steps, forecast_minutely_15="1",
        wind_speed_unit="ms",
    )  # fmt: skip
    columns = [[one["minutely_15"][API_NAMES[name]] for name in VARIABLES] for one in found]
    return np.array(columns, float).transpose(0, 2, 1)


def labelled(labels: list[InjectedFault], shape: tuple[int, ...]) -> np.ndarray:
    present = NOW.replace(minute=15)
    marked = np.zeros(shape, bool)
    rows = {station.station_id: row for row, station in enumerate(stations())}
    for label in labels:
        for step in range(shape[1]):
            time = present - (shape[1] - 1 - step) * QUARTER
            if label.start <= time <= label.end:
                marked[rows[label.station_id], step, [VARIABLES.index(name) for name in label.variables]] = True
    return marked


def test_what_differs_from_the_truth_is_labelled_and_the_archive_is_true(data: ReplayData) -> None:
    days = {"hourly": ALL, "start_date": "2026-07-10", "end_date": "2026-07-20"}
    with served(data, 0.0) as honest:
        true, archive = readings(honest), answer(honest, "/v1/archive", **days)
        assert fetch_labels(honest) == []
    with served(data, SHARE) as settings:
        told, labels = readings(settings), fetch_labels(settings)
        assert answer(settings, "/v1/archive", **days) == archive
        assert answer(settings, "/health")["faults"] == SHARE
    differs = ~((told == true) | (np.isnan(told) & np.isnan(true)))
    marked = labelled(labels, true.shape)
    assert differs.any()
    assert not (differs & ~marked).any()
    assert (np.isnan(told) == np.isnan(true)).all()
    assert differs.sum() > 0.5 * (marked & np.isfinite(true)).sum(), "a stuck or late value may be the true one"
    assert {label.end <= NOW for label in labels} == {True}


def test_a_reading_stays_what_it_was_after_a_restart_and_its_label_begins_where_it_began(data: ReplayData) -> None:
    found: list[tuple[np.ndarray, dict[tuple[str, str, datetime], datetime]]] = []
    for _ in range(2):
        with served(data, SHARE) as settings:
            labels = {(one.station_id, one.variable, one.start): one.end for one in fetch_labels(settings)}
            found.append((readings(settings), labels))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    with served(data, SHARE, NOW - timedelta(days=2)) as settings:
        earlier = {(one.station_id, one.variable, one.start): one.end for one in fetch_labels(settings)}
    both = earlier.keys() & found[0][1].keys()
    assert both
    assert {key for key in earlier if earlier[key] >= NOW - timedelta(days=DAYS)} <= both, "none begins elsewhere"
    assert all(found[0][1][key] >= earlier[key] for key in both)


def test_the_quarters_of_a_stretch_are_those_that_are_asked_for_one_by_one(data: ReplayData) -> None:
    first = data.start + timedelta(days=40)
    many = data.quarter_hours(first, 48)
    for station in range(len(data.stations)):
        for step in range(4 * 48):
            np.testing.assert_allclose(many[station, step], data.values_at(station, first + step * QUARTER), atol=0.011)
    ends = data.quarter_hours(data.start - timedelta(hours=2), 4)
    assert np.isnan(ends[:, :8]).all()


def test_a_month_outside_the_data_has_no_faults(data: ReplayData) -> None:
    faults = ReplayFaults(data, SHARE)
    nothing = np.full(5, np.nan)
    assert np.isnan(faults.disturbed(0, datetime(2014, 3, 5, tzinfo=UTC), nothing)).all()
