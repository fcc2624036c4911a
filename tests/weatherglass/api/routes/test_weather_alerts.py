"""Weather alert rules and weather alerts in the API."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, update

from tests.weatherglass.api.conftest import MALICIOUS, NOW
from tests.weatherglass.weather_alerts.rules import FAULT, FROST
from weatherglass.api.routes import weather_alert_backtest as backtest_route
from weatherglass.api.routes import weather_alerts as routes
from weatherglass.records import iso
from weatherglass.store import weather_alerts
from weatherglass.store.schema import weather_alert_rules

RULES = "/weather-alerts/rules"


@pytest.mark.parametrize(
    "rule",
    [
        FROST,
        FROST | {"name": MALICIOUS, "stations": None, "end_probability": 0.2},
        FROST | {"quiet_hours": {"start": "22:00", "end": "06:00", "time_zone": "Europe/Berlin"}},
        FAULT | {"min_readings": 5},
    ],
)
def test_a_rule_is_added_listed_and_deleted(client: TestClient, rule: dict[str, Any]) -> None:
    response = client.post(RULES, json=rule)
    assert response.status_code == 201
    added = response.json()
    assert {name: added["rule"][name] for name in rule} == rule
    assert (added["created_by"], added["created_at"], added["evaluated_at"]) == ("token holder", iso(NOW), None)
    assert client.get(RULES).json() == {"rules": [added], "unreadable": []}
    assert client.delete(f"{RULES}/{added['id']}").status_code == 204
    assert client.get(RULES).json() == {"rules": [], "unreadable": []}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"unit": "furlong"}, 422, "invalid_parameter"),
        ({"variable": "rain"}, 422, "invalid_parameter"),
        ({"threshold": None}, 422, "invalid_parameter"),
        ({"kind": "rain"}, 422, "invalid_parameter"),
        ({"quiet_hours": {"start": "22:00", "end": "06:00", "time_zone": "CEST"}}, 422, "invalid_parameter"),
        ({"stations": ["new-york", "atlantis"]}, 404, "unknown_station"),
    ],
)
def test_a_rule_with_an_unknown_unit_variable_zone_or_station_is_refused(
    client: TestClient, fields: dict[str, Any], status: int, code: str
) -> None:
    response = client.post(RULES, json=FROST | fields)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert client.get(RULES).json()["rules"] == []


def test_a_rule_cannot_be_added_or_deleted_by_a_page_of_another_site(client: TestClient) -> None:
    rule_id = client.post(RULES, json=FROST).json()["id"]
    origin = {"Origin": "https://elsewhere.example"}
    for response in (
        client.post(RULES, json=FROST, headers=origin),
        client.delete(f"{RULES}/{rule_id}", headers=origin),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert [rule["id"] for rule in client.get(RULES).json()["rules"]] == [rule_id]


def test_the_number_of_rules_is_limited(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_RULES", 2)
    statuses = [client.post(RULES, json=FROST).status_code for _ in range(3)]
    assert statuses == [201, 201, 409]
    client.delete(f"{RULES}/{client.get(RULES).json()['rules'][0]['id']}")
    assert client.post(RULES, json=FROST).status_code == 201


def test_a_rule_that_does_not_exist_cannot_be_deleted(client: TestClient) -> None:
    response = client.delete(f"{RULES}/9")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_rule")


def test_a_rule_that_cannot_be_read_is_named_and_can_be_deleted(client: TestClient, store: Engine) -> None:
    first, second = (client.post(RULES, json=FROST).json()["id"] for _ in range(2))
    with store.begin() as connection:
        rows = update(weather_alert_rules).where(weather_alert_rules.c.id == first)
        connection.execute(rows.values(definition={"kind": "rain"}))
    listed = client.get(RULES).json()
    assert ([rule["id"] for rule in listed["rules"]], listed["unreadable"]) == ([second], [first])
    assert client.delete(f"{RULES}/{first}").status_code == 204
    assert client.get(RULES).json()["unreadable"] == []


def test_alerts_are_listed_by_state_and_station(client: TestClient, store: Engine) -> None:
    rule_id = client.post(RULES, json=FROST).json()["id"]
    with store.begin() as connection:
        for number, station in enumerate(("boston", "new-york", "boston")):
            details = {"probability": 0.7}
            weather_alerts.open_alert(connection, rule_id + number, "Frost", station, details, NOW)
        (first, *_) = weather_alerts.open_alerts(connection).values()
        weather_alerts.end(connection, first.id, weather_alerts.EndReason.CLEARED, NOW)

    def listed(**query: Any) -> list[tuple[str, str | None]]:
        alerts = client.get("/weather-alerts", params=query).json()["alerts"]
        return [(alert["station_id"], alert["end_reason"]) for alert in alerts]

    assert listed() == [("boston", None), ("new-york", None), ("boston", "cleared")]
    assert listed(open=True) == [("boston", None), ("new-york", None)]
    assert listed(open=False) == [("boston", "cleared")]
    assert listed(station_id="new-york") == [("new-york", None)]
    page = client.get("/weather-alerts", params={"limit": 2}).json()
    rest = client.get("/weather-alerts", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [alert["id"] for alert in rest["alerts"]] == [first.id]
    assert (rest["alerts"][0]["since"], rest["next_cursor"]) == (iso(NOW), None)


BACKTEST = "/weather-alerts/backtest"


def test_a_back_test_counts_alerts_and_stores_nothing(client: TestClient) -> None:
    """Every hour, forecasts of `fill` are 0 to 9.6 °C, and the observations too."""
    response = client.post(BACKTEST, json=FROST | {"threshold": 3, "last_lead": 6}, params={"days": 2})
    assert response.status_code == 200
    result = response.json()
    assert (result["days"], result["stations"], result["not_evaluated"]) == (2, 1, 0)
    assert result["forecasts"] in (24, 25)
    assert result["fired"] == result["right"] + result["wrong"] + result["unknown"] == len(result["alerts"]) > 0
    assert {alert["station_id"] for alert in result["alerts"]} == {"new-york"}
    assert client.get(RULES).json()["rules"] == []
    assert client.post(BACKTEST, json=FROST | {"stations": None}).json()["stations"] == 3


def test_a_back_test_is_limited_in_size_and_runs_alone(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_route, "MAX_STATION_DAYS", 30)
    response = client.post(BACKTEST, json=FROST | {"stations": ["new-york", "boston"]})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_range")
    with backtest_route._running:
        response = client.post(BACKTEST, json=FROST)
    assert (response.status_code, response.json()["code"]) == (429, "too_many_requests")
    assert client.post(BACKTEST, json=FROST).status_code == 200


@pytest.mark.parametrize(
    ("rule", "status"), [(FAULT, 422), (FROST | {"unit": "furlong"}, 422), (FROST | {"stations": ["atlantis"]}, 404)]
)
def test_a_back_test_of_a_rule_that_cannot_be_added_is_refused(
    client: TestClient, rule: dict[str, Any], status: int
) -> None:
    assert client.post(BACKTEST, json=rule).status_code == status
