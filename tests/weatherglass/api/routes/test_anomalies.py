"""Anomalies, and users' verdicts on them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.weatherglass.api.conftest import NOW
from weatherglass.records import iso


def newest_id(client: TestClient) -> int:
    return client.get("/anomalies", params={"limit": 1}).json()["anomalies"][0]["id"]


def test_a_new_verdict_replaces_the_earlier_one(client: TestClient) -> None:
    anomaly_id = newest_id(client)
    for verdict in ("confirmed", "false_alarm"):
        response = client.post(f"/anomalies/{anomaly_id}/verdict", json={"verdict": verdict, "note": "<b>seen</b>"})
        assert response.status_code == 200
        assert response.json()["verdict"]["verdict"] == verdict
    saved = client.get("/anomalies", params={"verdict": "false_alarm"}).json()["anomalies"]
    assert [(row["id"], row["verdict"]["note"], row["verdict"]["at"]) for row in saved] == [
        (anomaly_id, "<b>seen</b>", iso(NOW))
    ]
    everything = client.get("/anomalies", params={"limit": 500}).json()["anomalies"]
    without_verdict = client.get("/anomalies", params={"verdict": "open", "limit": 500}).json()["anomalies"]
    assert {row["id"] for row in everything} - {row["id"] for row in without_verdict} == {anomaly_id}
    counts = client.get("/anomalies/counts").json()
    assert (counts["total"], counts["open"]) == (len(everything), len(everything) - 1)
    assert sum(count["count"] for count in counts["counts"]) == sum(len(row["kinds"]) for row in everything)


def test_min_score_is_inclusive(client: TestClient) -> None:
    assert client.get("/anomalies", params={"min_score": 0.9}).json()["anomalies"]
    assert client.get("/anomalies", params={"min_score": 0.91}).json()["anomalies"] == []


def test_a_verdict_on_an_unknown_anomaly_returns_404(client: TestClient) -> None:
    response = client.post("/anomalies/999999/verdict", json={"verdict": "confirmed"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_anomaly")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, b'{"verdict": "confirmed"}', 403),
        ({"Origin": "null"}, b'{"verdict": "confirmed"}', 403),
        ({"Origin": "http://testserver"}, b'{"verdict": "confirmed"}', 200),
        ({"Content-Type": "text/plain"}, b'{"verdict": "confirmed"}', 422),
        ({}, b'{"verdict": "maybe"}', 422),
        ({}, b'{"verdict": "confirmed", "by": "other"}', 422),
        ({}, b"not JSON", 422),
    ],
)
def test_a_verdict_requires_json_from_the_same_origin(
    client: TestClient, headers: dict[str, str], body: bytes, status: int
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    response = client.post(f"/anomalies/{newest_id(client)}/verdict", content=body, headers=sent)
    assert response.status_code == status
