"""The plan of the load, and its journal."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaProducer

from tests.chaos.journal import Entry, Journal, read_journal
from tests.chaos.load import EXTRA, Case, Clock, plan, publish
from tests.chaos.topic_reader import RAW, read_topic
from tests.conftest import TestBroker
from tests.waiting import LIMIT, until

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
STATIONS = tuple(f"chaos-{n}" for n in range(4))


@given(st.integers(0, 2**32), st.floats(1, 30))
def test_the_same_seed_gives_the_same_plan(seed: int, minutes: float) -> None:
    assert plan(seed, START, minutes, STATIONS) == plan(seed, START, minutes, STATIONS)


def test_another_seed_gives_another_plan() -> None:
    assert plan(1, START, 10, STATIONS) != plan(2, START, 10, STATIONS)


@given(st.integers(0, 2**32))
def test_messages_are_in_order_and_observed_before_they_are_sent(seed: int) -> None:
    steps = plan(seed, START, 20, STATIONS)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    for step in steps:
        if step.case is not Case.INVALID:
            assert datetime.fromisoformat(json.loads(step.value)["timestamp"]) < START + timedelta(seconds=step.at)


def test_a_long_plan_contains_all_cases() -> None:
    counts = Counter(step.case for step in plan(1, START, 240, STATIONS))
    assert set(counts) == {Case.REGULAR, *EXTRA}
    assert counts[Case.REGULAR] == 240 * len(STATIONS)


@given(st.integers(0, 2**32), st.floats(-7200, 7200))
def test_a_moved_clock_moves_the_times_only(seed: int, shift: float) -> None:
    clock = Clock(shift)
    for step in plan(seed, START, 3, STATIONS):
        moved = clock.apply(step.value)
        if step.case is Case.INVALID:
            assert moved == step.value
            continue
        before, after = json.loads(step.value), json.loads(moved)
        shown, made = (datetime.fromisoformat(content.pop("timestamp")) for content in (after, before))
        difference = shown - made
        assert clock.right(shown) == made
        assert abs(difference.total_seconds() - shift) <= 0.001
        assert after == before


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    entries = [Entry(RAW, "a", '{"x": "°"}', 0, 3), Entry(RAW, "b", "")]
    journal = Journal(tmp_path / "journal.jsonl")
    for entry in entries:
        journal.add(entry)
    journal.close()
    assert list(read_journal(tmp_path / "journal.jsonl")) == entries
    assert [entry.acknowledged for entry in entries] == [True, False]


def wait_for_leaders(servers: str) -> None:
    """The load sends each message only once, but new partitions refuse messages until they have a leader."""
    producer = KafkaProducer(bootstrap_servers=servers)
    for partition in until("the partitions", lambda: producer.partitions_for(RAW)):
        producer.send(RAW, b"{}", partition=partition).get(LIMIT)
    producer.close()


@pytest.mark.integration
def test_the_journal_has_what_is_on_the_topic_also_after_a_crash_of_the_broker(
    fresh_broker: TestBroker, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    now = datetime.now(UTC)
    steps = plan(1, now - timedelta(hours=1), 30, STATIONS)  # all are due
    first, second = steps[: len(steps) // 2], steps[len(steps) // 2 :]
    stop = threading.Event()
    wait_for_leaders(fresh_broker.bootstrap_servers)
    publish(fresh_broker.bootstrap_servers, first, now - timedelta(hours=1), journal, stop, Clock())
    before = list(read_journal(path))
    assert len(before) == len(first)
    assert any(entry.acknowledged for entry in before)
    publishing = threading.Thread(
        target=publish, args=[fresh_broker.bootstrap_servers, second, now - timedelta(hours=1), journal, stop, Clock()]
    )
    publishing.start()
    until("the next message", lambda: sum(1 for _ in read_journal(path)) > len(first))
    fresh_broker.stop(signal.SIGKILL)
    fresh_broker.start()
    publishing.join()
    journal.close()
    entries = list(read_journal(path))
    assert len(entries) == len(steps)
    stored = {(r.partition, r.offset): r for r in read_topic(fresh_broker.settings.kafka_port, RAW)}
    for entry in entries:
        if entry.acknowledged:
            record = stored[entry.partition, entry.offset]  # type: ignore[index]
            assert (record.key, record.value) == (entry.key.encode(), entry.value.encode())
