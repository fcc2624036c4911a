from __future__ import annotations

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON, a_guidance
from weatherglass.store import guidance

HOUR = timedelta(hours=1)


def test_the_newest_run_of_each_model_is_returned_with_its_marks(client: TestClient, store: Engine) -> None:
    newest = a_guidance(temperature=5.0, simulated=True, observed_only_by_model=True)
    other = a_guidance(model="gfs_seamless", run=NOON - 3 * HOUR)
    with store.begin() as connection:
        guidance.save(connection, [a_guidance(run=NOON - HOUR), newest, other, a_guidance("boston")], NOON)
    content = client.get("/guidance/new-york").json()
    first, second = content["models"]
    assert (first["model"], first["run"], first["simulated"], first["observed_only_by_model"]) == (
        "best_match",
        "2026-01-05T12:15:00Z",
        True,
        True,
    )
    assert first["values"] == newest.values.model_dump(mode="json")
    assert (second["model"], second["simulated"]) == ("gfs_seamless", False)
    assert content["units"]["wind_speed"] == "m/s"


def test_a_run_that_was_received_later_is_not_known_yet(client: TestClient, store: Engine) -> None:
    runs = [a_guidance(run=NOON - HOUR), a_guidance(run=NOON - 2 * HOUR, fetched_at=NOON)]
    with store.begin() as connection:
        guidance.save(connection, [*runs, a_guidance()], NOON)
    content = client.get("/guidance/new-york", params={"known_at": "2026-01-05T12:14:59Z"}).json()
    assert [item["run"] for item in content["models"]] == ["2026-01-05T11:15:00Z"]


def test_a_station_without_guidance_is_a_problem(client: TestClient) -> None:
    response = client.get("/guidance/new-york")
    assert (response.status_code, response.json()["code"]) == (404, "no_data_yet")
    assert client.get("/guidance/nowhere").json()["code"] == "unknown_station"
