"""Past forecasts: paging, filters, CSV and Parquet."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet
from sqlalchemy import Engine

from tests.weatherglass.api.conftest import MALICIOUS
from tests.weatherglass.store.samples import NOON
from weatherglass.api.routes.history import lead_hours
from weatherglass.records import LEADS, VARIABLES, iso
from weatherglass.store.past_forecasts import past_forecasts

PATH = "/predictions/new-york/history"
RANGE = {"from": iso(NOON - timedelta(hours=6)), "to": iso(NOON)}
EMPTY_RANGE = {"from": iso(NOON - timedelta(days=500)), "to": iso(NOON - timedelta(days=499))}
EARLIER = NOON - timedelta(minutes=30)
PARQUET = "application/vnd.apache.parquet"


def pages(client: TestClient, query: dict[str, object]) -> list[dict]:  # type: ignore[type-arg]
    forecasts, cursor = [], None
    while True:
        page = client.get(PATH, params={**query, **({"cursor": cursor} if cursor else {})}).json()
        forecasts += page["forecasts"]
        cursor = page["next_cursor"]
        if cursor is None:
            return forecasts


def test_pages_together_contain_all_stored_forecasts(client: TestClient, store: Engine) -> None:
    with store.connect() as connection:
        expected = past_forecasts(connection, "new-york", NOON - timedelta(hours=6), NOON, 1000)
    found = pages(client, {**RANGE, "limit": 5})
    assert len(expected) == 24
    assert [row["timestamp"] for row in found] == [iso(e.timestamp) for e in expected for _ in LEADS]
    of_store = [e.predictions[name][i] for e in expected for i in range(24) for name in VARIABLES]
    assert [row[name]["value"] for row in found for name in VARIABLES] == of_store


def test_history_can_be_limited_to_one_lead_and_variable(client: TestClient) -> None:
    rows = client.get(PATH, params={**RANGE, "lead": 6, "variable": "pressure"}).json()["forecasts"]
    assert len(rows) == 24
    for row in rows:
        assert row["lead"] == 6
        ahead = datetime.fromisoformat(row["valid_time"]) - datetime.fromisoformat(row["timestamp"])
        assert timedelta(hours=5) < ahead <= timedelta(hours=6)
        assert row["pressure"]["lower"] < row["pressure"]["value"] < row["pressure"]["upper"]
        assert row["temperature"] is None


def test_csv_contains_the_same_values_as_json(client: TestClient) -> None:
    rows = client.get(PATH, params={**RANGE, "limit": 3}).json()
    response = client.get(PATH, params={**RANGE, "limit": 3}, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["next-cursor"] == rows["next_cursor"]
    table = list(csv.DictReader(io.StringIO(response.text)))
    assert [float(row["temperature_upper"]) for row in table] == [r["temperature"]["upper"] for r in rows["forecasts"]]
    assert [row["valid_time"] for row in table] == [row["valid_time"] for row in rows["forecasts"]]


def test_parquet_contains_the_same_values_as_json(client: TestClient) -> None:
    rows = client.get(PATH, params={**RANGE, "limit": 3}).json()
    response = client.get(PATH, params={**RANGE, "limit": 3}, headers={"Accept": PARQUET})
    assert response.headers["content-type"] == PARQUET
    assert response.headers["next-cursor"] == rows["next_cursor"]
    table = parquet.read_table(io.BytesIO(response.content))
    assert table.column("temperature_upper").to_pylist() == [r["temperature"]["upper"] for r in rows["forecasts"]]
    times = [datetime.fromisoformat(row["valid_time"]) for row in rows["forecasts"]]
    assert table.column("valid_time").to_pylist() == times
    assert str(table.schema.field("valid_time").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize("path", ["/observations/new-york", "/anomalies", PATH + "?variable=humidity"])
def test_the_types_of_parquet_do_not_depend_on_the_rows(client: TestClient, store: Engine, path: str) -> None:
    """Without rows, or with columns that are null in all rows, the types are the same."""

    def schema(**period: str) -> dict[str, str]:
        response = client.get(path, params=period, headers={"Accept": PARQUET})
        assert response.status_code == 200, response.text
        return {field.name: str(field.type) for field in parquet.read_schema(io.BytesIO(response.content))}

    from tests.weatherglass.store.samples import a_prediction, an_observation
    from weatherglass.store import observations, predictions

    with store.begin() as connection:
        observations.save(connection, [an_observation(timestamp=EARLIER, temperature=None, wind_gust=None)], NOON)
        predictions.save(connection, [a_prediction(failed=("step",))], NOON)
    period = {"since": RANGE["from"]} if path == "/anomalies" else RANGE
    none = {"since": iso(NOON + timedelta(days=1))} if path == "/anomalies" else EMPTY_RANGE
    assert schema(**period) == schema(**none)
    assert "null" not in schema(**period).values()
    assert {"timestamp[us, tz=UTC]", "double", "string"} <= set(schema(**period).values())


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (f"{PARQUET}, application/json", PARQUET),
        (f"application/json, {PARQUET}", "application/json"),
        (f"text/html, {PARQUET};q=0.1, text/csv", PARQUET),
        ("*/*", "application/json"),
    ],
)
def test_the_first_known_media_type_is_used(client: TestClient, accept: str, content_type: str) -> None:
    response = client.get(PATH, params=RANGE, headers={"Accept": accept})
    assert response.headers["content-type"] == content_type


@pytest.mark.parametrize("path", ["/observations/{}", "/predictions/{}/history", "/anomalies?station_id={}"])
def test_csv_escapes_spreadsheet_formulas(client: TestClient, store: Engine, path: str) -> None:
    from tests.weatherglass.store.samples import a_prediction, an_observation
    from weatherglass.store import observations, predictions

    name = '=HYPERLINK("https://elsewhere.example")'
    with store.begin() as connection:
        observations.save(connection, [an_observation(name.replace("/", "|"))], NOON)
        predictions.save(connection, [a_prediction(name.replace("/", "|"), failed=("step",))], NOON)
    response = client.get(path.format(name.replace("/", "|")), headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert rows
    assert all(row["station_id"].startswith("'=") for row in rows)


def test_history_accepts_a_station_id_with_html(client: TestClient) -> None:
    station = MALICIOUS.replace("/", "")
    assert client.get(f"/predictions/{station}/history").json()["station_id"] == station


@pytest.mark.parametrize(
    ("minutes", "hours", "lead"), [(0, 1, 1), (1, 1, 1), (15, 1, 1), (59, 1, 1), (0, 24, 24), (15, 24, 24), (15, 2, 2)]
)
def test_lead_is_rounded_up_to_full_hours(minutes: int, hours: int, lead: int) -> None:
    hour = NOON.replace(minute=0)
    assert lead_hours(hour + timedelta(minutes=minutes), hour + timedelta(hours=hours)) == lead
