"""Scores of the anomaly detector in the API."""

from __future__ import annotations

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON
from weatherglass.store import detection_scores


def test_precision_is_for_all_kinds_and_recall_also_for_each_kind(client: TestClient, store: Engine) -> None:
    days = [NOON.date() - timedelta(days=ago) for ago in (0, 1, 40)]
    counts = (("injected", "spike", 2, 1, 0), ("injected", "drift", 0, 3, 0), ("injected", "", 0, 0, 1))
    with store.begin() as connection:
        for day in days:
            rows = [
                {
                    "version": "3",
                    "day": day,
                    "truth": truth,
                    "kind": kind,
                    "hits": hits,
                    "misses": misses,
                    "false_alarms": alarms,
                }
                for truth, kind, hits, misses, alarms in (*counts, ("verdict", "", 3, 0, 1))
            ]
            detection_scores.replace_detection_scores(connection, day, rows)
    response = client.get("/anomalies/detection", params={"days": 30}).json()
    found = {
        (row["truth"], row["kind"]): (row["hits"], row["misses"], row["precision"], row["recall"])
        for row in response["detection"]
    }
    assert found == {
        ("injected", None): (4, 8, 4 / 6, 4 / 12),
        ("injected", "drift"): (0, 6, None, 0.0),
        ("injected", "spike"): (4, 2, None, 4 / 6),
        ("verdict", None): (6, 0, 6 / 8, None),
    }


def test_detection_is_empty_without_scores(client: TestClient) -> None:
    assert client.get("/anomalies/detection").json()["detection"] == []
