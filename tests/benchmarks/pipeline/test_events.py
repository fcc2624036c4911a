"""Times of observations and predictions, from records as they are on the topics."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from benchmarks.pipeline.events import EventRecorder
from weatherglass.settings import Settings
from weatherglass.topics import Topics

TOPICS = Topics("trial-")
OBSERVATION = b'{"station_id": "sim-00001", "timestamp": "2026-01-05T12:00:00.250Z", "temperature": 4.0}'


def record(topic: str, value: bytes, produced_at: bytes) -> Any:
    return SimpleNamespace(topic=topic, value=value, headers=[("produced_at", produced_at)])


def recorder(monkeypatch: Any) -> EventRecorder:
    monkeypatch.setattr("benchmarks.pipeline.events.RecordReader", lambda *_: None)
    return EventRecorder(Settings(topic_prefix="trial-"))


def test_the_first_time_counts(monkeypatch: Any) -> None:
    events = recorder(monkeypatch)
    observed = record(TOPICS.raw, OBSERVATION, b"2026-01-05T12:00:00.500Z")
    again = record(TOPICS.raw, OBSERVATION, b"2026-01-05T12:00:07Z")
    predicted = record(TOPICS.predictions, OBSERVATION, b"2026-01-05T12:00:01Z")
    events.add([observed, predicted], now=1767614401.75)
    events.add([again, predicted], now=1767614409.0)
    key = ("sim-00001", datetime(2026, 1, 5, 12, 0, 0, 250_000, UTC))
    assert events.produced == {key: 1767614400.5}
    assert events.readable == {key: 1767614401.75}


def test_a_recorder_that_did_not_start_can_be_closed(monkeypatch: Any) -> None:
    """The error of the start is the one that is reported."""
    closed = []
    reader = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr("benchmarks.pipeline.events.RecordReader", lambda *_: reader)
    EventRecorder(Settings(topic_prefix="trial-")).close()
    assert closed
