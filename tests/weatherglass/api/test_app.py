"""The API with a filled store."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from tests.weatherglass.api.conftest import MALICIOUS, NOW, clock
from tests.weatherglass.store.samples import NOON
from weatherglass.api.app import create_app
from weatherglass.records import LEADS, UNITS, VARIABLES, iso
from weatherglass.settings import Settings
from weatherglass.store import observations, predictions

MALICIOUS_STATION = MALICIOUS.replace("/", "")
ROUTES = ("/stations", "/predictions/new-york", "/anomalies", "/observations/new-york", "/openapi.json", "/docs")


def problem(response) -> dict:  # type: ignore[no-untyped-def, type-arg]
    """The problem document of an error response, after checking the members that every document has."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert re.fullmatch("[a-z_]+", body["code"])
    assert body["title"]
    assert body["detail"]
    return body


def test_latest_prediction_equals_the_stored_one(client: TestClient, store: Engine) -> None:
    response = client.get("/predictions/new-york").json()
    with store.connect() as connection:
        stored = predictions.latest(connection, "new-york")
    assert stored is not None
    assert response["timestamp"] == iso(NOON)
    assert response["age_seconds"] == 120
    assert (response["model_version"], response["method"], response["live"]) == ("7", "model", True)
    assert response["units"] == UNITS
    assert len(response["leads"]) == len(LEADS)
    for index, lead in enumerate(response["leads"]):
        assert datetime.fromisoformat(lead["valid_time"]) == stored.prediction.predictions.valid_times[index]
        for name in VARIABLES:
            assert lead[name]["value"] == getattr(stored.prediction.predictions, name)[index]
            assert lead[name]["lower"] <= lead[name]["value"] <= lead[name]["upper"]
    assert response["anomaly"] == json.loads(stored.prediction.anomaly.model_dump_json())


def test_replayed_data_is_not_live(client: TestClient) -> None:
    assert client.get("/predictions/boston").json()["source"] == "replay"
    assert [client.get(f"/{kind}/boston").json()["live"] for kind in ("predictions", "observations")] == [False] * 2


def test_stations_lists_observed_stations_with_their_newest_observation(client: TestClient) -> None:
    response = client.get("/stations").json()
    by_id = {row["station"]["station_id"]: row for row in response["stations"]}
    assert set(by_id) == {"new-york", "boston", MALICIOUS_STATION}
    assert (by_id["boston"]["age_seconds"], by_id["boston"]["arrived_seconds"]) == (120, 117)
    assert by_id["new-york"]["station"]["country"] == "United States"
    assert by_id["new-york"]["newest"]["timestamp"] == iso(NOON)
    assert by_id[MALICIOUS_STATION]["station"]["latitude"] is None
    assert [row["is_anomaly"] for row in by_id.values()].count(True) == 1


def test_observations_returns_the_requested_range(client: TestClient, store: Engine) -> None:
    start, end = NOON - timedelta(hours=2), NOON - timedelta(hours=1)
    response = client.get("/observations/new-york", params={"from": iso(start), "to": iso(end)}).json()
    with store.connect() as connection:
        expected = observations.history(connection, "new-york", start, end)
    assert [row["timestamp"] for row in response["observations"]] == [
        iso(row.observation.timestamp) for row in expected
    ]
    assert len(expected) == 4


def test_observations_returns_the_last_24_hours_by_default(client: TestClient) -> None:
    rows = client.get("/observations/new-york").json()["observations"]
    assert rows[-1]["timestamp"] == iso(NOON)
    assert datetime.fromisoformat(rows[0]["timestamp"]) >= NOW - timedelta(days=1)


def test_pages_of_anomalies_together_contain_all_anomalies(client: TestClient) -> None:
    everything = client.get("/anomalies", params={"limit": 500}).json()
    assert everything["next_cursor"] is None
    assert all(row["kinds"] == ["step"] and row["reasons"] for row in everything["anomalies"])
    pages, cursor = [], None
    while True:
        query = {"limit": 7, **({"cursor": cursor} if cursor else {})}
        page = client.get("/anomalies", params=query).json()
        pages += page["anomalies"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == everything["anomalies"]


def test_anomalies_applies_the_filters(client: TestClient) -> None:
    since = iso(NOON - timedelta(hours=3))
    rows = client.get("/anomalies", params={"station_id": "boston", "since": since, "kind": "step"}).json()
    assert {row["station_id"] for row in rows["anomalies"]} == {"boston"}
    assert all(row["timestamp"] >= since for row in rows["anomalies"])
    assert client.get("/anomalies", params={"kind": "range"}).json()["anomalies"] == []


@pytest.mark.parametrize("kind", ["predictions", "observations"])
def test_an_unknown_station_returns_404_with_similar_ids(client: TestClient, kind: str) -> None:
    response = client.get(f"/{kind}/new-yrok")
    assert (response.status_code, problem(response)["code"]) == (404, "unknown_station")
    assert "new-york" in problem(response)["near"]


@pytest.mark.parametrize("kind", ["predictions", "observations"])
def test_a_station_without_data_returns_404_with_the_poll_interval(
    client: TestClient, settings: Settings, kind: str
) -> None:
    response = client.get(f"/{kind}/chicago")
    assert (response.status_code, problem(response)["code"]) == (404, "no_data_yet")
    expected = settings.poll_minutes * 60
    assert (int(response.headers["Retry-After"]), problem(response)["expected_within_seconds"]) == (expected, expected)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/anomalies?limit=0", "limit"),
        ("/anomalies?limit=501", "limit"),
        ("/anomalies?limit=many", "limit"),
        ("/anomalies?cursor=99999999999999999999999", "cursor"),
        ("/anomalies?since=yesterday", "since"),
        ("/anomalies?since=2026-01-05T12:00:00", "since"),
        ("/anomalies?since=0001-01-01T00:00:00%2B14:00", "since"),
        ("/anomalies?kind=%22%27;--", "kind"),
        ("/anomalies?station_id=%00", "station_id"),
        ("/observations/new-york?to=9999-12-31T23:59:59-14:00", "to"),
        ("/predictions/a%00b", "station_id"),
        ("/predictions/" + "x" * 101, "station_id"),
    ],
)
def test_an_invalid_parameter_returns_422_with_its_name(client: TestClient, path: str, parameter: str) -> None:
    response = client.get(path)
    assert (response.status_code, problem(response)["code"]) == (422, "invalid_parameter")
    assert parameter in [fault["parameter"] for fault in problem(response)["errors"]]


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-05T12:00:00Z", "2026-01-05T11:00:00Z"), ("2025-01-05T12:00:00Z", "2026-01-05T12:00:00Z")],
    ids=["backwards", "too long"],
)
def test_an_invalid_range_returns_422(client: TestClient, start: str, end: str) -> None:
    response = client.get("/observations/new-york", params={"from": start, "to": end})
    assert (response.status_code, problem(response)["code"]) == (422, "invalid_range")
    assert start in problem(response)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/dashboard/nowhere", 404, "not_found"),
        ("POST", "/stations", 405, "method_not_allowed"),
        ("GET", "/models/compare", 404, "no_model_yet"),
        ("GET", "/models/compare?first=99", 404, "unknown_version"),
    ],
)
def test_other_errors_are_problem_documents(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    document = problem(client.request(method, path))
    assert (document["status"], document["code"]) == (status, code)


def test_an_unexpected_error_returns_500_without_its_message(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(observations, "latest_all", fail)
    response = client.get("/observations")
    assert (response.status_code, problem(response)["code"]) == (500, "internal_error")
    assert "secret" not in response.text


@pytest.mark.parametrize("path", ["/stations", "/predictions/unknown-station", "/anomalies", "/observations/new-york"])
def test_an_unavailable_store_returns_503_without_sql(client: TestClient, store: Engine, path: str) -> None:
    with store.begin() as connection:
        for table in ("observations", "predictions"):
            connection.execute(text(f"ALTER TABLE {table} RENAME TO {table}_gone"))
    response = client.get(path)
    assert (response.status_code, problem(response)["code"]) == (503, "store_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert "no such table" not in response.text


def test_a_corrupt_store_file_returns_503(settings: Settings) -> None:
    settings.state_dir.mkdir(parents=True)
    (settings.state_dir / "weatherglass.db").write_bytes(b"not a database" * 100)
    with TestClient(create_app(settings, clock=clock), raise_server_exceptions=False) as client:
        assert problem(client.get("/stations"))["code"] == "store_unavailable"


@pytest.mark.parametrize("path", ["/stations", "/anomalies", f"/predictions/{MALICIOUS_STATION}"])
def test_malicious_station_names_are_returned_as_json_strings(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert MALICIOUS_STATION in json.dumps(response.json(), ensure_ascii=False)


def test_sql_injection_in_a_station_id_matches_nothing(client: TestClient) -> None:
    assert problem(client.get("/predictions/x' OR '1'='1"))["code"] == "unknown_station"
    assert client.get("/anomalies", params={"station_id": "x' OR '1'='1"}).json()["anomalies"] == []


@pytest.mark.parametrize("path", [*ROUTES, "/nowhere", "/anomalies?limit=0"])
def test_every_response_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_other_origins_are_not_allowed(client: TestClient) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for path in ROUTES:
        allowed = [name for name in client.options(path, headers=asked).headers if name.startswith("access-control-")]
        assert allowed == [], path


def test_changes_need_an_unsafe_method(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    changing = [path for path, methods in paths.items() if methods.keys() & {"post", "put", "patch", "delete"}]
    assert changing
    for path in changing:
        if "get" not in paths[path]:
            address = re.sub(r"\{\w+\}", "1", path)
            assert client.get(address).status_code == 405, path
            assert client.head(address).status_code == 405, path


@pytest.mark.parametrize(
    "path", [*ROUTES, "/nowhere", "/anomalies?limit=0", "/dashboard", "/dashboard/static/shell.js"]
)
def test_responses_name_their_content_type(client: TestClient, path: str) -> None:
    content_type = client.get(path).headers["content-type"]
    kind, _, parameters = content_type.partition(";")
    # The encoding of JSON is UTF-8 by definition (RFC 8259), and its media type has no parameter for it.
    assert kind.endswith("json") or "charset=utf-8" in parameters.lower(), content_type


def test_health_returns_503_with_a_detail_for_each_component(client: TestClient) -> None:
    response = client.get("/health")
    assert response.status_code == 503
    components = {component["name"]: component for component in response.json()["components"]}
    expected = {"kafka", "ray", "job_host", "stream_features", "store", "observations", "predictions"}
    assert expected <= set(components)
    assert all(component["detail"] for component in components.values())
    assert components["store"]["state"] == "ok"


class PageLinks(HTMLParser):
    """Collects the elements of a page that load resources, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.resources: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in ("script", "link", "img", "iframe"):
            self.resources.append(tag)
        if tag == "a" and attributes.get("href"):
            self.links.append(str(attributes["href"]))


def test_documentation_lists_every_route_and_loads_no_resources(client: TestClient) -> None:
    page = client.get("/docs").text
    parsed = PageLinks()
    parsed.feed(page)
    assert parsed.resources == []
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "`" not in page
    assert all(client.get(link).status_code in (200, 404, 503) for link in parsed.links)
