"""Faults on real processes and a real proxy, without a stack."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.injector import EVERY_CLIENT, INFERENCE_CLIENT, PROXY_FAULTS, SHIFTS, Injector, NoTarget
from tests.chaos.load import Clock
from tests.chaos.proxy import Faults, Proxy
from tests.chaos.schedule import Fault, Kind, schedule
from tests.waiting import until
from weatherglass.jobs.processes import identity


@pytest.fixture
def process(tmp_path: Path) -> Iterator[psutil.Process]:
    """A process that the state folder records as `kafka`."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "run").mkdir()
    for name in ("kafka", "launcher"):
        content = {"name": name, "pid": child.pid, "identity": identity(child.pid)}
        (tmp_path / "run" / f"{name}.json").write_text(json.dumps(content))
    yield psutil.Process(child.pid)
    child.kill()
    child.communicate()


@pytest.fixture
def restarts() -> list[str]:
    return []


@pytest.fixture
def injector(tmp_path: Path, restarts: list[str]) -> Iterator[Injector]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        yield Injector(1, "", tmp_path, proxy, Clock(), lambda: restarts.append("launcher"))
        proxy.close()


def test_kill(injector: Injector, process: psutil.Process, restarts: list[str]) -> None:
    injector.inject(Fault(0, 0, Kind.KILL, "kafka"))
    until("the end", lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert restarts == []


def test_a_killed_launcher_is_started_again(injector: Injector, process: psutil.Process, restarts: list[str]) -> None:
    injector.inject(Fault(0, 0, Kind.KILL, "launcher"))
    assert restarts == ["launcher"]


def test_stop_and_continue(injector: Injector, process: psutil.Process) -> None:
    running = threading.Thread(target=injector.inject, args=[Fault(0, 600, Kind.STOP, "kafka")])
    running.start()
    until("the stop", lambda: process.status() == psutil.STATUS_STOPPED)
    injector.end_wait()
    running.join()
    until("the continuation", lambda: process.status() != psutil.STATUS_STOPPED)


@pytest.mark.parametrize("kind", PROXY_FAULTS)
def test_faults_of_the_proxy_begin_and_end(injector: Injector, kind: Kind) -> None:
    running = threading.Thread(target=injector.inject, args=[Fault(0, 600, kind, INFERENCE_CLIENT)])
    running.start()
    until("the fault", lambda: injector.proxy.faults == PROXY_FAULTS[kind])
    assert injector.proxy.prefix == INFERENCE_CLIENT
    injector.end_wait()
    running.join()
    assert injector.proxy.faults == Faults()


def test_reset(injector: Injector) -> None:
    client = socket.create_connection(("127.0.0.1", injector.proxy.port), 60)

    def is_reset() -> bool:
        injector.inject(Fault(0, 0, Kind.RESET, EVERY_CLIENT))
        return injector.proxy.injected["reset"] == 1

    until("the connection", is_reset)
    with pytest.raises(ConnectionError):
        client.recv(1)


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_clock_is_moved_and_set_back(injector: Injector, shift: str) -> None:
    running = threading.Thread(target=injector.inject, args=[Fault(0, 600, Kind.CLOCK, shift)])
    running.start()
    until("the fault", lambda: injector.clock.shift == float(shift))
    injector.end_wait()
    running.join()
    assert injector.clock.shift == 0


def test_a_target_that_does_not_exist(injector: Injector) -> None:
    for kind in (Kind.KILL, Kind.STOP):
        with pytest.raises(NoTarget):
            injector.inject(Fault(0, 0, kind, "kafka"))


def test_every_possible_fault_has_an_action(injector: Injector, process: psutil.Process) -> None:
    injector.is_small = True
    possible = injector.targets()
    assert set(possible) == set(Kind) - {Kind.DATABASE}
    assert set(possible[Kind.KILL]) == {"kafka", "launcher"}
    assert set(injector._actions()) == set(Kind)
    assert {fault.kind for fault in schedule(1, 60, possible)} == set(possible)
