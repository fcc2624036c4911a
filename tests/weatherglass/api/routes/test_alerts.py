"""Alerts and the metrics of the monitor in the API."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.conftest import MALICIOUS, NOW
from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import MONITOR
from weatherglass.alerts.sample import MetricSample
from weatherglass.api.routes.metric_history import COARSE_STEP
from weatherglass.jobs.folder import JobFolder
from weatherglass.monitor.metric_files import (
    MAX_SAMPLE_AGE,
    PROCESS_EXPIRY,
    read_request_counts,
    write_exposition,
    write_request_counts,
)
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.store import metric_history
from weatherglass.store.alerts import resolve, silenced


def test_an_alert_is_acknowledged_and_silenced_for_the_given_hours(client: TestClient, store: Engine) -> None:
    (alert,) = client.get("/alerts").json()["alerts"]
    assert (alert["message"], alert["details"], alert["acknowledged_by"]) == (MALICIOUS, {}, None)
    response = client.post(f"/alerts/{alert['id']}/acknowledge").json()
    assert (response["acknowledged_by"], response["acknowledged_at"]) == ("token holder", iso(NOW))
    response = client.post(f"/alerts/{alert['id']}/silence", json={"hours": 2}).json()
    assert response["silenced_until"] == iso(NOW + timedelta(hours=2))
    with store.connect() as connection:
        assert silenced(connection, NOW) == {(alert["rule"], alert["subject"])}
        assert silenced(connection, NOW + timedelta(hours=3)) == set()
    assert client.post(f"/alerts/{alert['id']}/silence", json={"hours": 0}).json()["silenced_until"] is None


def test_health_lists_open_alerts(client: TestClient, store: Engine) -> None:
    (alert,) = client.get("/alerts").json()["alerts"]
    health = client.get("/dashboard/health").json()
    (listed,) = health["alerts"]
    assert listed == {name: alert[name] for name in listed}
    with store.begin() as connection:
        resolve(connection, alert["rule"], alert["subject"], NOW)
    health = client.get("/dashboard/health").json()
    assert (health["alerts"], health["overall_state"]) == ([], health["state"])


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/alerts/9999/acknowledge", None, {}, 404, "unknown_alert"),
        ("/alerts/9999/silence", {"hours": 1}, {}, 404, "unknown_alert"),
        ("/alerts/1/silence", {"hours": -1}, {}, 422, "invalid_parameter"),
        ("/alerts/1/silence", {}, {}, 422, "invalid_parameter"),
        ("/alerts/1/acknowledge", None, {"Origin": "https://elsewhere.example"}, 403, "forbidden"),
        ("/alerts/1/silence", {"hours": 1}, {"Origin": "https://elsewhere.example"}, 403, "forbidden"),
    ],
)
def test_an_invalid_change_is_rejected_without_effect(
    client: TestClient, path: str, body: object, headers: dict[str, str], status: int, code: str
) -> None:
    response = client.post(path, json=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert client.get("/alerts").json()["alerts"][0]["acknowledged_by"] is None


def test_metrics_of_the_monitoring_job_expire(client: TestClient, settings: Settings) -> None:
    folder = JobFolder(settings.jobs_dir / MONITOR).path
    folder.mkdir(parents=True)
    sample = MetricSample(NOW)
    sample.put(m.STATION_SILENCE, 4.5, 'a "strange"\nname')
    write_exposition(folder, sample)
    file = folder / "metrics.prom"
    os.utime(file, (NOW.timestamp(), NOW.timestamp()))
    shown = client.get("/metrics").text
    assert 'weatherglass_station_silence_ratio{station="a \\"strange\\"\\nname"} 4.5' in shown
    old = (NOW - MAX_SAMPLE_AGE - timedelta(seconds=1)).timestamp()
    os.utime(file, (old, old))
    assert "station_silence" not in client.get("/metrics").text


def test_successful_requests_and_server_errors_are_counted_for_the_monitoring_job(
    client: TestClient, settings: Settings, store: Engine
) -> None:
    assert client.get("/stations").status_code == 200
    assert client.get("/nothing").status_code == 404  # a client error is not a failure of the API
    with store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE observations")
    for _ in range(3):
        assert client.get("/observations/new-york").status_code >= 500
    end = time.monotonic() + 60
    while (2, 3) not in read_request_counts(settings).values():
        assert time.monotonic() < end, read_request_counts(settings)
        client.portal.call(lambda: None)  # type: ignore[union-attr]
        time.sleep(0.05)


def test_metrics_history_returns_series_by_label(client: TestClient, store: Engine) -> None:
    with store.begin() as connection:
        for back in (3, 2, 1):
            values = {(m.PART_MEMORY.name, ("kafka",)): back * 1e6, (m.OBSERVATION_AGE.name, ()): float(back)}
            metric_history.save(connection, NOW - timedelta(hours=back), values)
    response = client.get("/metrics/history", params={"name": [m.PART_MEMORY.name, m.OBSERVATION_AGE.name]}).json()
    by_name = {series["name"]: series for series in response["series"]}
    memory = by_name[m.PART_MEMORY.name]
    assert (memory["labels"], memory["values"]) == ({"part": "kafka"}, [3e6, 2e6, 1e6])
    assert memory["times"][0] == iso(NOW - timedelta(hours=3))
    rejected = client.get("/metrics/history", params={"name": "password"})
    assert (rejected.status_code, rejected.json()["code"]) == (422, "unknown_metric")


def test_metrics_history_of_more_than_a_day_has_whole_hours(client: TestClient, store: Engine) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    gauge, counter = (m.PART_MEMORY.name, ("kafka",)), (m.NETWORK.name, ("received",))
    with store.begin() as connection:
        for number in range(13):  # the twelve steps of the first hour and one step of the incomplete hour
            at = hour - timedelta(minutes=5 * (11 - number))
            metric_history.save(connection, at, {gauge: float(number), counter: 10.0})
    parameters = {"name": [gauge[0], counter[0]], "from": iso(hour - timedelta(days=2)), "to": iso(hour + COARSE_STEP)}
    response = client.get("/metrics/history", params=parameters).json()
    assert response["stretch_seconds"] == 3600
    values = {series["name"]: (series["times"], series["values"]) for series in response["series"]}
    assert values == {gauge[0]: ([iso(hour)], [sum(range(12)) / 12]), counter[0]: ([iso(hour)], [120.0])}


def test_files_of_ended_api_processes_are_deleted(settings: Settings) -> None:
    folder = settings.state_dir / "api"
    folder.mkdir(parents=True)
    ages = {"requests-1.json": PROCESS_EXPIRY + timedelta(minutes=1), "requests-2.json": timedelta(minutes=1)}
    for name, age in ages.items():
        (folder / name).write_text('{"ok": 5, "errors": 0}')
        then = time.time() - age.total_seconds()
        os.utime(folder / name, (then, then))
    write_request_counts(settings, 1, 0)
    assert sorted(read_request_counts(settings).values()) == [(1, 0), (5, 0)]
    assert not (folder / "requests-1.json").exists()


def test_processes_with_the_same_id_in_two_containers_have_their_own_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for container, ok in (("airflow-api", 2), ("api", 3)):
        monkeypatch.setattr(socket, "gethostname", lambda name=container: name)
        write_request_counts(settings, ok, 0)
    assert sorted(read_request_counts(settings).values()) == [(2, 0), (3, 0)]
