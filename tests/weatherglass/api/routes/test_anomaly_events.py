"""Anomaly events, and users' verdicts on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.conftest import NOW
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.record_headers import Origin
from weatherglass.records import iso
from weatherglass.store import predictions

KIEL = {"station_id": "kiel"}
ONSET = NOON - timedelta(hours=10)


@pytest.fixture(autouse=True)
def stuck_sensor(store: Engine) -> None:
    """Six flagged readings of a sensor, then a pause, then two more."""
    with store.begin() as connection:
        for minutes in (0, 15, 30, 45, 60, 75, 300, 315):
            reading = a_prediction("kiel", ONSET + timedelta(minutes=minutes), ("flat_line",))
            predictions.save(connection, [reading], NOON, Origin.REPLAY)


def events(client: TestClient, **query: Any) -> Any:
    response = client.get("/anomalies/events", params={**KIEL, **query})
    assert response.status_code == 200
    return response.json()


def test_consecutive_flags_are_one_event(client: TestClient) -> None:
    found = events(client)
    assert (found["total"], found["readings"], found["open"]) == (2, 8, 2)
    assert [(event["onset"], event["end"], event["readings"]) for event in found["events"]] == [
        (iso(ONSET + timedelta(minutes=300)), iso(ONSET + timedelta(minutes=315)), 2),
        (iso(ONSET), iso(ONSET + timedelta(minutes=75)), 6),
    ]


def test_events_hold_the_same_observations_as_the_list_of_anomalies(client: TestClient) -> None:
    found = client.get("/anomalies/events", params={"limit": 500}).json()
    anomalies = client.get("/anomalies", params={"limit": 500}).json()["anomalies"]
    assert sum(event["readings"] for event in found["events"]) == found["readings"] == len(anomalies)
    assert {event["id"] for event in found["events"]} <= {anomaly["id"] for anomaly in anomalies}


def test_filters_and_limit(client: TestClient) -> None:
    assert len(events(client, limit=1)["events"]) == 1
    assert events(client, limit=1)["total"] == 2
    assert events(client, kind="step")["events"] == []
    assert events(client, min_score=0.91)["events"] == []
    assert [event["readings"] for event in events(client, until=iso(ONSET + timedelta(minutes=30)))["events"]] == [2]


def test_a_verdict_holds_for_all_observations_of_an_event_and_no_others(client: TestClient) -> None:
    later, first = events(client)["events"]
    response = client.post(f"/anomalies/events/{first['id']}/verdict", json={"verdict": "confirmed"})
    assert response.json() == first | {"verdict": response.json()["verdict"]}
    assert response.json()["verdict"] == {"verdict": "confirmed", "by": "token holder", "at": iso(NOW), "note": ""}
    confirmed = client.get("/anomalies", params={"verdict": "confirmed"}).json()["anomalies"]
    assert {row["station_id"] for row in confirmed} == {"kiel"}
    assert len(confirmed) == first["readings"]
    assert [event["id"] for event in events(client, verdict="confirmed")["events"]] == [first["id"]]
    assert [event["id"] for event in events(client, verdict="open")["events"]] == [later["id"]]


def test_an_event_has_no_verdict_while_those_on_its_observations_differ(client: TestClient) -> None:
    event = events(client)["events"][0]
    client.post(f"/anomalies/events/{event['id']}/verdict", json={"verdict": "confirmed"})
    client.post(f"/anomalies/{event['id']}/verdict", json={"verdict": "false_alarm"})
    assert events(client)["events"][0]["verdict"] is None


@pytest.mark.parametrize(("until", "shown"), [(5, (1, 3, 4)), (4, (1, 3))])
def test_a_verdict_holds_for_the_observations_shown_although_events_are_concurrent(
    client: TestClient, store: Engine, until: int, shown: tuple[int, ...]
) -> None:
    times = [ONSET + timedelta(minutes=15 * step) for step in range(6)]
    with store.begin() as connection:
        for time, failed in zip(times, (["range"], ["step"], ["range"], ["range", "step"], ["range"]), strict=False):
            predictions.save(connection, [a_prediction("boston", time, tuple(failed))], NOON, Origin.REPLAY)
    period = {"since": iso(ONSET), "until": iso(times[until])}
    listed = client.get("/anomalies/events", params={"station_id": "boston", **period}).json()["events"]
    (event,) = [event for event in listed if event["onset"] == iso(times[1])]
    url = f"/anomalies/events/{event['id']}/verdict"
    response = client.post(url, json={"verdict": "confirmed"}, params=period)
    assert response.json() == event | {"verdict": response.json()["verdict"]}
    confirmed = client.get("/anomalies", params={"verdict": "confirmed", "station_id": "boston"}).json()["anomalies"]
    assert {row["timestamp"] for row in confirmed} == {iso(times[step]) for step in shown}


def test_an_event_older_than_the_newest_observations_is_found_with_the_end_of_its_period(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = events(client)["events"][-1]
    monkeypatch.setattr("weatherglass.api.routes.anomaly_events.MAX_COUNTED", 6)
    url = f"/anomalies/events/{first['id']}/verdict"
    response = client.post(url, json={"verdict": "confirmed"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_anomaly")
    period = {"until": iso(ONSET + timedelta(minutes=76))}
    assert client.post(url, json={"verdict": "confirmed"}, params=period).json()["readings"] == first["readings"]


def test_a_verdict_on_an_unknown_event_returns_404(client: TestClient) -> None:
    response = client.post("/anomalies/events/999999/verdict", json={"verdict": "confirmed"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_anomaly")
