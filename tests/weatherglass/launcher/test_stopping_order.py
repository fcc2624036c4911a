"""The order and the signals of a stop, with simulated processes."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import make_settings
from weatherglass.launcher import stopping
from weatherglass.launcher.airflow import MIGRATION, PROCESSES
from weatherglass.launcher.processes import LAUNCHER
from weatherglass.settings import Settings

UNRECORDED = 900
"""The id of a process of the state folder without a record."""


@dataclass
class Machine:
    """Recorded processes, a launcher and one without a record; `ignored` are the signals that a process ignores."""

    pids: dict[str, int]
    ignored: dict[str, set[int]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    signals: list[tuple[str, signal.Signals]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = {*self.pids.values(), UNRECORDED}

    def send(self, pid: int, number: signal.Signals) -> None:
        name = next((name for name, known in self.pids.items() if known == pid), "unrecorded")
        self.signals.append((name, number))
        if number not in self.ignored.get(name, ()):
            self.running.discard(pid)

    def sent_to(self, name: str) -> list[signal.Signals]:
        return [number for receiver, number in self.signals if receiver == name]

    def installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        records = [
            SimpleNamespace(name=name, pid=pid, alive=lambda pid=pid: pid in self.running)
            for name, pid in self.pids.items()
        ]
        removed: set[str] = set()
        fake = SimpleNamespace(
            all=lambda: [record for record in records if record.name not in removed],
            read=lambda name: next((record for record in records if record.name == name), None),
            remove=removed.add,
        )

        def processes(found: Iterable[int]) -> list[SimpleNamespace]:
            return [SimpleNamespace(pid=pid) for pid in found if pid in self.running]

        def send_all(number: signal.Signals, found: Iterable[SimpleNamespace]) -> None:
            for process in found:
                self.send(process.pid, number)

        monkeypatch.setattr(stopping, "ProcessRecords", lambda settings: fake)
        monkeypatch.setattr(stopping, "launched_processes", lambda settings: processes([*self.running]))
        monkeypatch.setattr(stopping, "session_processes", lambda found: processes(record.pid for record in found))
        monkeypatch.setattr(stopping, "signal_processes", send_all)
        monkeypatch.setattr(stopping.os, "kill", self.send)
        for limit in ("JOBS_SECONDS", "SERVICES_SECONDS", "BROKER_SECONDS", "KILL_SECONDS"):
            monkeypatch.setattr(stopping, limit, 0.0)


AIRFLOW = (*PROCESSES, MIGRATION)
SERVICES = ("ray", "replay", "job-host")


def machine(*names: str) -> Machine:
    return Machine({name: number for number, name in enumerate(names, start=100)})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state")


def test_airflow_is_stopped_before_the_services_and_the_broker_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = machine("kafka", LAUNCHER, *SERVICES, *AIRFLOW)
    stopped.installed(monkeypatch)
    assert stopping.stop_everything(settings, lambda _: None)
    assert stopped.signals == [
        *((name, signal.SIGINT) for name in AIRFLOW),
        *((name, signal.SIGTERM) for name in (*SERVICES, "kafka")),
        ("unrecorded", signal.SIGKILL),
    ]
    assert stopped.running == {stopped.pids[LAUNCHER]}


def test_what_ignores_its_signal_is_killed_with_its_group_and_the_broker_only_at_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = machine("kafka", "scheduler", "ray")
    stopped.ignored = {"scheduler": {signal.SIGINT}, "ray": {signal.SIGTERM}, "kafka": {signal.SIGTERM}}
    stopped.installed(monkeypatch)
    assert stopping.stop_everything(settings, lambda _: None)
    *others, last, before_last = stopped.signals
    assert others == [
        ("scheduler", signal.SIGINT),
        ("scheduler", signal.SIGKILL),
        ("ray", signal.SIGTERM),
        ("ray", signal.SIGKILL),
        ("kafka", signal.SIGTERM),
    ]
    assert {last, before_last} == {("kafka", signal.SIGKILL), ("unrecorded", signal.SIGKILL)}
    assert stopped.running == set()


def test_a_process_that_cannot_be_killed_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = machine("ray", LAUNCHER)
    stopped.ignored = {"ray": {signal.SIGTERM, signal.SIGKILL}}
    stopped.installed(monkeypatch)
    assert not stopping.stop_everything(settings, lambda _: None)
    assert stopped.sent_to(LAUNCHER) == []


def test_only_folders_of_jobs_that_were_started_are_listed(settings: Settings) -> None:
    assert stopping.job_folders(settings) == []
    for name in ("sink", "monitor", "never-started"):
        (settings.jobs_dir / name).mkdir(parents=True)
    for name in ("sink", "monitor"):
        (settings.jobs_dir / name / "process.json").write_text("{}")
    assert [folder.name for folder in stopping.job_folders(settings)] == ["monitor", "sink"]
