"""The scores of `/verification` compared with raw guidance."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON
from weatherglass.store import guidance_verification

TODAY = NOON.date()
YESTERDAY = TODAY - timedelta(days=1)


def a_row(day: date, lead: int, n: int, own: float, raw: float, **changed: Any) -> dict[str, Any]:
    usual = {"version": "7", "station_id": "boston", "model": "best_match", "simulated": False}
    usual |= {"variable": "temperature"}
    return {**usual, "day": day, "lead": lead, "n": n, "mae_compared": own, "mae_guidance": raw, **changed}


@pytest.fixture
def scored(store: Engine) -> None:
    with store.begin() as connection:
        rows = [a_row(YESTERDAY, 6, 30, 1.0, 2.0), a_row(YESTERDAY, 7, 30, 3.0, 2.0)]
        guidance_verification.replace_day(connection, YESTERDAY, rows)
        rows = [
            a_row(TODAY, 6, 10, 2.0, 2.0, station_id="new-york"),
            a_row(TODAY, 6, 5, 0.5, 0.0, variable="humidity", model="gfs_seamless", simulated=True, version="8"),
        ]
        guidance_verification.replace_day(connection, TODAY, rows)


def compared(client: TestClient, **params: Any) -> list[dict[str, Any]]:
    response = client.get("/verification", params=params)
    assert response.status_code == 200
    items: list[dict[str, Any]] = response.json()["guidance"]
    return items


@pytest.mark.usefixtures("scored")
def test_the_skill_by_lead_is_that_of_the_weighted_errors(client: TestClient) -> None:
    six, seven, simulated = compared(client, by="lead")
    assert (six["lead"], six["n"], six["unit"], six["simulated"]) == (6, 40, "°C", False)
    assert (six["mae_compared"], six["mae_guidance"]) == pytest.approx((1.25, 2.0))
    assert six["skill_guidance"] == pytest.approx(0.375)
    assert seven["skill_guidance"] == pytest.approx(-0.5)
    assert (simulated["model"], simulated["simulated"], simulated["version"]) == ("gfs_seamless", True, "8")
    assert simulated["skill_guidance"] is None, "an error of 0 has no ratio"


@pytest.mark.usefixtures("scored")
def test_the_comparison_has_the_groups_and_filters_of_the_other_scores(client: TestClient) -> None:
    by_day = compared(client, by="day", variable="temperature")
    assert [(item["day"], item["lead"], item["n"]) for item in by_day] == [
        (YESTERDAY.isoformat(), None, 60),
        (TODAY.isoformat(), None, 10),
    ]
    assert [item["n"] for item in compared(client, by="all", station_id="boston", version="7")] == [60]
    assert [item["variable"] for item in compared(client, by="all", version="8")] == ["humidity"]
    assert [item["n"] for item in compared(client, by="all", days=1, variable="temperature")] == [70]


def test_without_guidance_there_is_no_comparison(client: TestClient) -> None:
    assert compared(client) == []
