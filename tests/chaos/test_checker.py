"""The checker finds nothing in a correct run, and every deliberate error."""

from __future__ import annotations

import ast
import copy
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import check_observations, checker
from tests.chaos.bugs import BUGS, data, exchange
from tests.chaos.checker import check
from tests.chaos.synthetic import Run, correct_run
from tests.chaos.topic_reader import FEATURES, HOURS, OFFSETS, PREDICTIONS, RAW, REJECTED
from tests.chaos.violations import Kind, Violation, counts

PRODUCT = ("weatherglass", "spark_jobs", "ray_jobs", "producer", "plugins", "dags")
LOST, WRONG_WINDOW, STORE_DIFFERS = Kind.LOST, Kind.WRONG_WINDOW, Kind.STORE_DIFFERS


@pytest.fixture(scope="module")
def run() -> Run:
    return correct_run()


def violations(run: Run) -> list[Violation]:
    return check(run.topics, run.store, run.journal)


def test_a_correct_run_has_no_violation(run: Run) -> None:
    assert violations(run) == []


def test_the_correct_run_contains_the_difficult_cases(run: Run) -> None:
    reasons = [record.header("reason") for record in run.topics[REJECTED]]
    assert {b"late", b"invalid_json"} <= set(reasons)
    assert reasons.count(b"late") > 1
    assert len(run.store["observations"]) < len(data(run, RAW))


def test_without_closed_windows_late_observations_are_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The correct run depends on the rule of lateness: one observation is late, one is in a part of its windows."""
    monkeypatch.setattr(check_observations, "CLOSING_DELAY", timedelta(days=1))
    assert {(one.kind, one.topic) for one in violations(run)} >= {(LOST, RAW), (WRONG_WINDOW, FEATURES)}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(run: Run, name: str) -> None:
    inject, kind, topic = BUGS[name]
    broken = Run(
        {topic: list(records) for topic, records in run.topics.items()}, copy.deepcopy(run.store), list(run.journal)
    )
    inject(broken)
    found = violations(broken)
    assert (kind, topic) in {(one.kind, one.topic) for one in found}
    assert counts(found)[kind.value] > 0


def test_an_aborted_attempt_before_a_transaction_is_not_a_violation(run: Run) -> None:
    """Inference repeats a batch whose transaction it had to abort, before or after it sent the offsets."""
    repeated = Run({topic: list(records) for topic, records in run.topics.items()}, run.store, list(run.journal))
    end = [r for r in run.topics[OFFSETS] if r.marker][9].time
    for offsets_too in (False, True):
        sent = end - 10 - (20 if offsets_too else 40)
        for topic in (HOURS, PREDICTIONS, *([OFFSETS] if offsets_too else [])):
            records = repeated.topics[topic]
            index, original = next((n, r) for n, r in enumerate(records) if r.marker is None and r.time >= end - 10)
            attempt = replace(original, time=sent + (5 if topic == OFFSETS else 0), visible=False)
            marker = replace(attempt, time=sent + 10, marker=False)
            records[index:index] = [attempt, marker]
    assert violations(repeated) == []


@pytest.mark.parametrize(("stored", "expected"), [("first", set()), ("last", set()), ("another", {STORE_DIFFERS})])
def test_records_of_a_station_on_two_partitions_have_no_order_in_the_store(
    run: Run, stored: str, expected: set[Kind]
) -> None:
    """When partitions are added, a station can move; then a revision is on another partition than its observation."""
    moved = Run(
        {topic: list(records) for topic, records in run.topics.items()}, copy.deepcopy(run.store), list(run.journal)
    )
    revision = next(r for r in data(moved, RAW) if (r.value or b"").find(b'"temperature": 1.5') > 0)
    entry = next(e for e in moved.journal if (e.partition, e.offset) == (revision.partition, revision.offset))
    exchange(moved, revision, partition=7, offset=0)
    moved.journal[moved.journal.index(entry)] = replace(entry, partition=7, offset=0)
    content = json.loads(revision.value or b"")
    time = datetime.fromisoformat(content["timestamp"])
    row = next(row for row in moved.store["observations"] if (row["station_id"], row["timestamp"]) == ("b", time))
    first = next(r for r in data(moved, RAW) if r.partition == 1 and content["timestamp"].encode() in (r.value or b""))
    values = {"first": json.loads(first.value or b"")["temperature"], "last": 1.5, "another": 7.0}
    row["temperature"] = values[stored]
    assert {one.kind for one in violations(moved)} == expected


def test_garbage_is_not_a_violation(run: Run) -> None:
    """Records that a fault put on the topics prove nothing about the pipeline, also if they are valid."""
    topics = {topic: list(records) for topic, records in run.topics.items()}
    for topic, record in [(topic, data(run, topic)[0]) for topic in (FEATURES, HOURS, PREDICTIONS, REJECTED)]:
        changed: dict[str, Any] = {"key": b"mutation-3", "offset": 990, "producer": -1, "transactional": False}
        value = (record.value or b"").replace(b'"a"', b'"x"').replace(b'"b"', b'"x"').replace(b'"c"', b'"x"')
        topics[topic].append(replace(record, **changed, value=value))
    assert check(topics, run.store, run.journal) == []


def test_the_checker_imports_nothing_of_the_pipeline() -> None:
    root = Path(checker.__file__).parents[2]
    waiting, seen = {"tests.chaos.checker", "tests.chaos.topic_reader", "tests.chaos.store_reader"}, set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        file = root / Path(*name.split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [one for one in names if one.split(".")[0] in PRODUCT], name
            assert not isinstance(node, ast.ImportFrom) or not node.level, name
            waiting |= {one for one in names if one.startswith("tests.")} - seen
    assert "tests.oracle" in seen
