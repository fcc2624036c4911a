from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON, an_observation
from weatherglass.records import iso
from weatherglass.store import observations

RANGE = f"?from={iso(NOON - timedelta(hours=2))}&to={iso(NOON + timedelta(hours=2))}"


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/vnd.apache.parquet"])
def test_an_unchanged_response_returns_304(client: TestClient, store: Engine, accept: str) -> None:
    path = f"/observations/new-york{RANGE}"
    first = client.get(path, headers={"Accept": accept})
    again = client.get(path, headers={"Accept": accept, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    with store.begin() as connection:
        observations.save(connection, [an_observation(timestamp=NOON + timedelta(minutes=15))], NOON)
    assert client.get(path, headers={"Accept": accept, "If-None-Match": first.headers["etag"]}).status_code == 200


def test_errors_and_html_pages_have_no_etag(client: TestClient) -> None:
    assert "etag" not in client.get("/predictions/unknown-station").headers
    assert "etag" not in client.get("/docs").headers


def test_long_responses_are_compressed(client: TestClient) -> None:
    response = client.get("/predictions/new-york", headers={"Accept-Encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["leads"]) == 24
