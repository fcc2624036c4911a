from __future__ import annotations

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON, a_guidance, a_prediction
from weatherglass.records import UsedGuidance, UsedRun
from weatherglass.store import guidance, predictions

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
    before = client.get("/guidance/new-york", params={"known_at": "2026-01-05T11:14:59Z"})
    assert (before.status_code, before.json()["models"]) == (200, [])


def test_a_station_without_guidance_is_a_problem(client: TestClient) -> None:
    response = client.get("/guidance/new-york")
    assert (response.status_code, response.json()["code"]) == (404, "no_data_yet")
    assert client.get("/guidance/nowhere").json()["code"] == "unknown_station"


def test_the_latest_prediction_says_which_guidance_it_used(client: TestClient, store: Engine) -> None:
    assert client.get("/predictions/new-york").json()["guidance"] is None
    run = UsedRun(model="best_match", run=NOON - HOUR)
    used = UsedGuidance(model_version="2", runs=[run], variables=["temperature"], simulated=True)
    made = a_prediction()
    values = made.predictions.model_copy(update={"guidance": used})
    with store.begin() as connection:
        predictions.save(connection, [made.model_copy(update={"predictions": values})], NOON)
    assert client.get("/predictions/new-york").json()["guidance"] == {
        "model_version": "2",
        "runs": [{"model": "best_match", "run": "2026-01-05T11:15:00Z"}],
        "variables": ["temperature"],
        "simulated": True,
    }
