"""Scores of the anomaly detector in the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sklearn.metrics import precision_recall_fscore_support
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
        (row["truth"], row["kind"]): (row["hits"], row["misses"], row["precision"], row["recall"], row["f1"])
        for row in response["detection"]
    }
    assert found == {
        ("injected", None): (4, 8, 4 / 6, 4 / 12, pytest.approx(2 / (6 / 4 + 12 / 4))),
        ("injected", "drift"): (0, 6, None, 0.0, None),
        ("injected", "spike"): (4, 2, None, 4 / 6, None),
        ("verdict", None): (6, 0, 6 / 8, None, None),
    }


def test_f1_equals_scikit_learns(client: TestClient, store: Engine) -> None:
    counts = {"hits": 7, "misses": 3, "false_alarms": 2}
    with store.begin() as connection:
        row = {"version": "3", "day": NOON.date(), "truth": "injected", "kind": "spike", **counts}
        detection_scores.replace_detection_scores(connection, NOON.date(), [row])
    found = client.get("/anomalies/detection").json()["detection"][0]
    faulty, flagged = [1] * 10 + [0] * 2, [1] * 7 + [0] * 3 + [1] * 2
    expected = precision_recall_fscore_support(faulty, flagged, average="binary")[:3]
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(expected)


def test_f1_is_zero_without_hits_and_unknown_without_flags(client: TestClient, store: Engine) -> None:
    days = [NOON.date(), NOON.date() - timedelta(days=1)]
    for version, day, alarms in (("1", days[0], 2), ("2", days[1], 0)):
        row = {"version": version, "day": day, "truth": "injected", "kind": "spike", "hits": 0, "misses": 3}
        with store.begin() as connection:
            detection_scores.replace_detection_scores(connection, day, [row | {"false_alarms": alarms}])
    found = client.get("/anomalies/detection").json()["detection"]
    assert {row["version"]: row["f1"] for row in found if row["kind"] is None} == {"1": 0.0, "2": None}


def test_detection_is_empty_without_scores(client: TestClient) -> None:
    assert client.get("/anomalies/detection").json()["detection"] == []
