from __future__ import annotations

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.weatherglass.api.conftest import MALICIOUS


def samples(client: TestClient) -> dict[tuple[str, frozenset], float]:  # type: ignore[type-arg]
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_requests_are_counted_by_route_and_not_by_station(client: TestClient) -> None:
    for station in ("new-york", "boston", "unknown-station", MALICIOUS.replace("/", "")):
        client.get(f"/predictions/{station}")
    found = samples(client)

    def count(status: str) -> float:
        labels = {"method": "GET", "route": "/predictions/{station_id}", "status": status}
        return found["weatherglass_requests_total", frozenset(labels.items())]

    assert (count("200"), count("404")) == (3, 1)
    seconds = {"method": "GET", "route": "/predictions/{station_id}"}
    assert found["weatherglass_request_seconds_count", frozenset(seconds.items())] == 4
    assert not [labels for _, labels in found if MALICIOUS[:8] in str(labels)]


def test_component_states_are_gauges(client: TestClient) -> None:
    found = samples(client)
    health = {component["name"]: component["state"] for component in client.get("/health").json()["components"]}
    values = {"ok": 0, "degraded": 1, "failing": 2}
    assert health
    for component, state in health.items():
        assert found["weatherglass_part_state", frozenset({("part", component)})] == values[state]
    assert found["weatherglass_alerts_open", frozenset({("severity", "warning")})] == 1
