"""The course of a run, with faults and a load that do nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos import __main__ as chaos
from tests.chaos.injector import NoTarget
from tests.chaos.load import Clock
from tests.chaos.report import Injected, Result
from tests.chaos.schedule import Fault, Kind
from tests.chaos.violations import Kind as ViolationKind
from tests.chaos.violations import Violation

FAULTS = [Fault(0, 0, Kind.KILL, "kafka"), Fault(0, 0, Kind.STOP, "gone"), Fault(0, 0, Kind.RESET, "")]
LOST = Violation(ViolationKind.LOST, "weather-raw", "detail")


@pytest.fixture
def execute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Injected]]:
    """`_execute` with a load function and predictions of the future."""
    newer = datetime.now(UTC) + timedelta(hours=1)
    watch = SimpleNamespace(seen=[(0.0, newer)], close=lambda: None)
    monkeypatch.setattr(chaos, "PredictionWatch", lambda *_: watch)

    def run(load: Callable[..., None], record: Callable[[Injected], None] = lambda _: None) -> list[Injected]:
        monkeypatch.setattr(chaos, "publish", load)
        journal = tmp_path / "journal.jsonl"
        return chaos._execute(_Injector(), FAULTS, journal, 1, 1, Clock(), record)  # type: ignore[arg-type]

    return run


class _Injector:
    servers = ""

    def inject(self, fault: Fault) -> None:
        if fault.target == "gone":
            raise NoTarget("gone")


def test_a_fault_without_target_is_skipped_and_the_others_are_injected(execute: Any) -> None:
    found = execute(lambda *_: None)
    assert [one.fault for one in found] == FAULTS
    assert [bool(one.skipped) for one in found] == [False, True, False]
    assert [one.recovered is None for one in found] == [False, True, False]


def test_each_fault_is_recorded_when_the_next_begins(execute: Any) -> None:
    recorded: list[Injected] = []
    assert execute(lambda *_: None, recorded.append) == recorded


def test_only_selected_faults_that_are_missing_and_fit_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "recovery.jsonl"
    names = ["kafka", "ray", "job/stream_features", "job/stream_features/python", "launcher"]
    measurement = chaos.Measurement(2, ["kill kafka", "* job/*"], file)
    faults = measurement.faults(names, 60)
    expected = [(Kind.KILL, "kafka"), (Kind.KILL, names[2]), (Kind.STOP, names[2])] * 2
    assert [(fault.kind, fault.target) for fault in faults] == expected
    assert measurement.faults(names, (faults[2].start + chaos.MEASURED_SECONDS) / 60) == faults[:3]
    for fault in faults[:-1]:
        measurement.record(Injected(fault, 1.0))
    assert [(fault.kind, fault.target) for fault in measurement.faults(names, 60)] == expected[-1:]


def test_the_table_is_printed_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recovery.jsonl"
    chaos.Measurement(1, ["*"], file).record(Injected(FAULTS[0], 5.0))
    assert chaos.main(["--table", "--times", str(file)]) == 0
    assert "| `kill kafka` | 5 |" in capsys.readouterr().out


def test_a_load_that_fails_fails_the_run(execute: Any) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no broker")

    with pytest.raises(RuntimeError):
        execute(fail)


def test_lags_are_zero_twice_before_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "LAG_POLL_SECONDS", 0)
    lags = iter([{"a": 1}, {"a": 0}, {"a": 2}, {"a": 0}, {"a": 0}])
    assert chaos._wait_for_lags(SimpleNamespace(lags=lambda: next(lags))) == {"a": 0}  # type: ignore[arg-type]
    assert list(lags) == []


def test_a_lag_that_stays_is_returned_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "LAG_SECONDS", -1)
    assert chaos._wait_for_lags(SimpleNamespace(lags=lambda: {"a": 1})) == {"a": 1}  # type: ignore[arg-type]


@pytest.mark.parametrize(("violations", "status"), [((), 0), ((LOST,), 1)])
def test_exit_status_and_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, violations: tuple[Violation, ...], status: int
) -> None:
    folders: list[Path] = []

    def run(seed: int, minutes: float, folder: Path, *_: object) -> Result:
        folders.append(folder)
        return Result(seed, minutes, 1, 0, (), {}, violations)

    monkeypatch.setattr(chaos, "run", run)
    monkeypatch.setattr(chaos.tempfile, "tempdir", str(tmp_path))
    output = tmp_path / "new" / "chaos.json"
    assert chaos.main(["--minutes", "1", "--output", str(output)]) == status
    assert output.exists()
    assert [folder.exists() for folder in folders] == [bool(status)], "kept for the search of the cause"
