"""Recovery times, and the result as table and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.recovery import recovery
from tests.chaos.report import (
    SHOWN_VIOLATIONS,
    Injected,
    Result,
    append_recovery,
    read_recoveries,
    recovery_table,
    table,
    write,
)
from tests.chaos.schedule import Fault
from tests.chaos.schedule import Kind as FaultKind
from tests.chaos.violations import Kind, Violation

LOST = Violation(Kind.LOST, "weather-raw", "detail", 1, 27, "station", "2026-01-05T12:00:00+00:00")
FAULTS = (
    Injected(Fault(30.0, 0.0, FaultKind.KILL, "kafka"), 12.34),
    Injected(Fault(90.0, 5.5, FaultKind.STOP, "ray"), None),
    Injected(Fault(150.0, 0.0, FaultKind.KILL, "gone"), None, "no process gone"),
)


def result(violations: tuple[Violation, ...] = (), lags: dict[str, int] | None = None, problem: str = "") -> Result:
    return Result(7, 30.0, 900, 3, FAULTS, lags or {"group topic": 0}, violations, problem)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_recovery_is_the_first_prediction_of_a_newer_observation() -> None:
    seen = [(101.0, at(99.0)), (107.5, at(102.0)), (105.0, at(101.0))]
    assert recovery(seen, 100.0, 200.0) == 5.0


def test_predictions_after_the_next_fault_do_not_count() -> None:
    assert recovery([(201.0, at(150.0))], 100.0, 200.0) is None
    assert recovery([], 100.0, 200.0) is None


def test_a_result_is_correct_only_without_any_finding() -> None:
    assert result().is_correct
    assert not result((LOST,)).is_correct
    assert not result(lags={"group topic": 1}).is_correct
    assert not result(problem="not healthy").is_correct


def test_the_table_has_every_fault_and_the_first_violations() -> None:
    lines = table(result((LOST,) * (SHOWN_VIOLATIONS + 5), {"group topic": 4}, "not healthy")).splitlines()
    for line, injected in zip(lines[1:], FAULTS, strict=False):
        assert line.split()[-2:] == [injected.fault.kind, injected.fault.target]
    assert "12.3" in lines[1]
    text = "\n".join(lines)
    assert text.count(LOST.detail) == SHOWN_VIOLATIONS
    assert f"{Kind.LOST} {SHOWN_VIOLATIONS + 5}" in text
    assert "not healthy" in text
    assert "group topic" in text


def test_recovery_times_of_several_runs_are_collected_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "recovery.jsonl"
    assert read_recoveries(file) == {}
    for one in (*FAULTS, Injected(Fault(900.0, 0.0, FaultKind.KILL, "kafka"), 5.0)):
        append_recovery(one, file)
    times = read_recoveries(file)
    # Skipped faults have no recovery time.
    assert times == {(FaultKind.KILL, "kafka"): [12.34, 5.0], (FaultKind.STOP, "ray"): [None]}
    _, _, kafka, ray = recovery_table(times).splitlines()
    assert [cell.strip() for cell in kafka.split("|")[1:-1]] == ["`kill kafka`", "5, 12"]
    assert [cell.strip() for cell in ray.split("|")[1:-1]] == ["`stop ray`", "-"]


@pytest.mark.parametrize("violations", [(), (LOST,)])
def test_the_file_has_everything(tmp_path: Path, violations: tuple[Violation, ...]) -> None:
    write(result(violations), tmp_path / "chaos.json")
    content = json.loads((tmp_path / "chaos.json").read_text())
    assert content["correct"] is not bool(violations)
    assert content["seed"] == 7
    assert content["counts"][Kind.LOST] == len(violations)
    assert [one["recovered"] for one in content["faults"]] == [12.34, None, None]
    assert content["faults"][0]["fault"] == {"start": 30.0, "duration": 0.0, "kind": "kill", "target": "kafka"}
    assert [Violation(**one) for one in content["violations"]] == list(violations)
