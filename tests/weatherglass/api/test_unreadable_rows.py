"""Rows of older versions or other programs: no endpoint answers 500, and the rows of other stations are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, Table, update

from tests.weatherglass.api.endpoints import get_paths
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.records import VARIABLES
from weatherglass.store import schema

BROKEN, INTACT = "boston", "new-york"

Change = Callable[[dict[str, Any]], object]


DOCUMENTS: list[Any] = [None, 7, [], {}, "text", {"checks": None}, {"checks": {"range": 7}, "reasons": [7]}]


def ragged(document: dict[str, Any]) -> None:
    document["predictions"]["temperature"] = []


def empty(document: dict[str, Any]) -> None:
    for block in (document["predictions"], document["confidence"]["lower"], document["confidence"]["upper"]):
        block.update({name: [] for name in VARIABLES})
    document["predictions"]["valid_times"] = []


CHANGES: list[tuple[Table, str, Any]] = [
    *(
        (schema.predictions, name, value)
        for name in ("predictions", "anomaly", "confidence")
        for value in DOCUMENTS[1:]
    ),
    *((schema.features, "aggregated_features", value) for value in DOCUMENTS[1:]),
    (schema.predictions, "source", "nowhere"),
    (schema.observations, "source", "nowhere"),
    (schema.predictions, "timestamp", NOON.replace(year=8999)),
    (schema.observations, "timestamp", NOON.replace(year=8999)),
    (schema.observations, "timestamp", NOON.replace(year=1)),
    (schema.predictions, "method", "guess"),
    (schema.observations, "temperature", float("inf")),
]


def check(client: TestClient) -> None:
    answers = {path: client.get(path).status_code for path in get_paths(client.app, BROKEN)}
    assert {path: status for path, status in answers.items() if status == 500} == {}
    assert len(answers) > 10
    stations = {row["station"]["station_id"]: row for row in client.get("/stations").json()["stations"]}
    assert stations[INTACT]["ahead"]["temperature"]["least"] == pytest.approx(0.1)
    assert client.get(f"/predictions/{INTACT}").status_code == 200


@pytest.mark.parametrize(("table", "column", "value"), CHANGES)
def test_a_row_that_cannot_be_read_is_missing(
    client: TestClient, store: Engine, table: Table, column: str, value: Any
) -> None:
    rows = update(table).where(table.c.station_id == BROKEN)
    if column == "timestamp":
        rows = rows.where(table.c.timestamp == NOON)
    with store.begin() as connection:
        connection.execute(rows.values({column: value}))
    check(client)


@pytest.mark.parametrize("change", [ragged, empty])
def test_a_prediction_with_empty_or_ragged_lists_is_missing(client: TestClient, store: Engine, change: Change) -> None:
    document = a_prediction(BROKEN).model_dump(mode="json")
    change(document)
    columns = {name: document[name] for name in ("predictions", "confidence")}
    with store.begin() as connection:
        connection.execute(update(schema.predictions).where(schema.predictions.c.station_id == BROKEN).values(columns))
    check(client)
    stations = {row["station"]["station_id"]: row for row in client.get("/stations").json()["stations"]}
    assert (stations[BROKEN]["ahead"], stations[BROKEN]["newest"]["temperature"]) == (None, 0.0)
    assert client.get(f"/predictions/{BROKEN}").json()["code"] == "no_data_yet"
