"""The store against small topics."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chaos.check_observations import arrivals
from tests.chaos.check_store import check_store
from tests.chaos.synthetic import Run
from tests.chaos.topic_reader import FEATURES, PREDICTIONS
from tests.chaos.violations import Kind

END = datetime(2026, 1, 5, 12, 1, tzinfo=UTC)


def kinds(run: Run) -> list[Kind]:
    return [one.kind for one in check_store(run.store, run.topics, arrivals(run.topics))]


def window(count: int, last: str = "2026-01-05T12:00:30Z") -> dict[str, Any]:
    features = {"last_observation": last, "count": count}
    return {"station_id": "a", "window_end": END.isoformat(), "aggregated_features": features}


@pytest.mark.parametrize(("stored", "expected"), [(1, [Kind.STORE_DIFFERS]), (2, [])])
def test_the_last_record_of_a_window_is_stored(stored: int, expected: list[Kind]) -> None:
    run = Run()
    for count in (1, 2):
        run.append(FEATURES, "a", window(count), 0)
    run.store["features"] = [{**window(stored), "window_end": END}]
    assert kinds(run) == expected


def test_a_window_that_is_not_leading_is_not_stored() -> None:
    run = Run()
    run.append(FEATURES, "a", window(1, "2026-01-05T11:59:59Z"), 0)
    assert kinds(run) == []


@pytest.mark.parametrize(("visible", "expected"), [(True, [Kind.STORE_DIFFERS]), (False, [])])
def test_an_aborted_prediction_is_not_stored(visible: bool, expected: list[Kind]) -> None:
    run = Run()
    content = {"station_id": "a", "timestamp": END.isoformat()}
    run.append(PREDICTIONS, "a", content, 0, transactional=True, visible=visible)
    assert kinds(run) == expected


def test_garbage_decides_for_its_own_identity_only() -> None:
    run = Run()
    for station in ("x", "y"):
        key = b"mutation-1" if station == "x" else b"y"
        run.append(PREDICTIONS, key, json.dumps({"station_id": station, "timestamp": END.isoformat()}), 0)
    assert [one.station for one in check_store(run.store, run.topics, arrivals(run.topics))] == ["y"]
