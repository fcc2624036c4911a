"""Injected faults over HTTP: exactly the labelled values differ from the replay without faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from producer.open_meteo_schema import API_NAMES
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import ReplayData, load_data
from producer.replay.faults import ReplayFaults
from producer.replay.labels import fetch_labels
from producer.replay.server import ReplayServer
from weatherglass.anomaly.fault_injection import inject_share
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


@pytest.fixture(scope="module")
def data() -> ReplayData:
    return load_data(Settings())


@contextmanager
def running_server(data: ReplayData, share: float, now: datetime = NOW) -> Iterator[Settings]:
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


def get(settings: Settings, path: str, **query: str) -> Any:
    response = requests.get(f"{settings.replay_url}{path}", params={**PLACES, **query}, timeout=60)
    assert response.ok, response.text
    return response.json()


def readings(settings: Settings) -> np.ndarray:
    """Readings (stations, quarters, 4) of the last days up to the present; NaN where missing."""
    steps = str(DAYS * 96)
    stations_json = get(
        settings, "/v1/forecast", minutely_15=ALL, past_minutely_15=steps, forecast_minutely_15="1",
        wind_speed_unit="ms",
    )  # fmt: skip
    columns = [[one["minutely_15"][API_NAMES[name]] for name in VARIABLES] for one in stations_json]
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


def test_only_labelled_readings_differ_and_the_archive_has_no_faults(data: ReplayData) -> None:
    days = {"hourly": ALL, "start_date": "2026-07-10", "end_date": "2026-07-20"}
    with running_server(data, 0.0) as without_faults:
        true, archive = readings(without_faults), get(without_faults, "/v1/archive", **days)
        assert fetch_labels(without_faults) == []
        assert get(without_faults, "/health")["faults"] == 0
    with running_server(data, SHARE) as settings:
        disturbed, labels = readings(settings), fetch_labels(settings)
        assert get(settings, "/v1/archive", **days) == archive
        assert get(settings, "/health")["faults"] == SHARE
    differs = ~((disturbed == true) | (np.isnan(disturbed) & np.isnan(true)))
    marked = labelled(labels, true.shape)
    assert differs.any()
    assert not (differs & ~marked).any()
    assert (np.isnan(disturbed) == np.isnan(true)).all()
    assert differs.sum() > 0.5 * (marked & np.isfinite(true)).sum(), "a stuck or shifted value may equal the true one"
    assert {label.end <= NOW for label in labels} == {True}


def test_readings_and_labels_are_the_same_after_a_restart_and_later(data: ReplayData) -> None:
    runs: list[tuple[np.ndarray, dict[tuple[str, str, datetime], datetime]]] = []
    for _ in range(2):
        with running_server(data, SHARE) as settings:
            labels = {(one.station_id, one.variable, one.start): one.end for one in fetch_labels(settings)}
            runs.append((readings(settings), labels))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    with running_server(data, SHARE, NOW - timedelta(days=2)) as settings:
        earlier = {(one.station_id, one.variable, one.start): one.end for one in fetch_labels(settings)}
    both = earlier.keys() & runs[0][1].keys()
    assert both
    assert {key for key in earlier if earlier[key] >= NOW - timedelta(days=DAYS)} <= both
    assert all(runs[0][1][key] >= earlier[key] for key in both)


def test_labels_of_a_period_start_with_their_fault_and_end_with_the_period(data: ReplayData) -> None:
    faults = ReplayFaults(data, SHARE)
    first, last = datetime(2026, 7, 5, tzinfo=UTC), datetime(2026, 7, 20, tzinfo=UTC)
    inside = [label for label in faults.shown(first, last) if first < label.start and label.end < last]
    assert inside
    for label in inside:
        key = (label.station_id, label.variable, label.kind, label.start)

        def shown(since: datetime, until: datetime, key: tuple[object, ...] = key) -> list[datetime]:
            """Ends of the labels of this fault."""
            labels = faults.shown(since, until)
            return [one.end for one in labels if (one.station_id, one.variable, one.kind, one.start) == key]

        assert shown(first, label.start - QUARTER) == []
        assert shown(first, label.start) == [label.start]
        assert shown(label.end, label.end) == [label.end]
        assert shown(label.end, label.end + QUARTER) == [label.end]
        assert shown(label.end + QUARTER, last) == []


def test_quarter_hours_of_a_period_equal_those_requested_one_by_one(data: ReplayData) -> None:
    first = data.start + timedelta(days=40)
    many = data.quarter_hours(first, 48)
    for station in range(len(data.stations)):
        for step in range(4 * 48):
            np.testing.assert_allclose(many[station, step], data.values_at(station, first + step * QUARTER), atol=0.011)
    ends = data.quarter_hours(data.start - timedelta(hours=2), 4)
    assert np.isnan(ends[:, :8]).all()


def test_the_spread_of_a_month_is_that_of_the_anomalies_from_its_mean_day(
    data: ReplayData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: pandas, grouped by the time of day; July of the data has 31 days."""
    spreads: list[np.ndarray] = []

    def inject(true: np.ndarray, spread: np.ndarray, *arguments: Any) -> Any:
        spreads.append(spread)
        return inject_share(true, spread, *arguments)

    monkeypatch.setattr("producer.replay.faults.inject_share", inject)
    first = datetime(2013, 7, 1, tzinfo=UTC)
    ReplayFaults(data, SHARE).disturbed(0, first, np.zeros(5))
    month = pd.date_range(first, datetime(2013, 8, 1, tzinfo=UTC), freq="15min", inclusive="left")
    for row in range(len(data.stations)):
        values = pd.DataFrame([data.values_at(row, time) for time in month], index=month).iloc[:, : len(VARIABLES)]
        anomalies = values - values.groupby(month.time).transform("mean")
        expected = np.sqrt((anomalies**2).mean())
        np.testing.assert_allclose(spreads[0][row], expected, rtol=1e-4)


def test_a_month_outside_the_data_has_no_faults(data: ReplayData) -> None:
    faults = ReplayFaults(data, SHARE)
    nothing = np.full(5, np.nan)
    assert np.isnan(faults.disturbed(0, datetime(2014, 3, 5, tzinfo=UTC), nothing)).all()
