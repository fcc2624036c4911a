"""The least time between requests, in one process and in several."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from producer import request_limit
from producer.request_limit import RequestLimit
from tests.waiting import until

SECONDS = 60.0
LOCKS = Path("/proc/locks")
"""All locks of files; a process that waits for one has an arrow."""


class FakeTime:
    """A clock that only `sleep` advances, for the requests alone: threads of other tests sleep as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1_000_000.0
        self.slept: list[float] = []
        fake = SimpleNamespace(time=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(request_limit, "time", fake)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "requests"


def test_the_first_request_does_not_wait_and_the_next_one_waits_for_the_rest_of_the_interval(
    clock: FakeTime, file: Path
) -> None:
    RequestLimit(file, SECONDS).wait()
    clock.now += 20
    RequestLimit(file, SECONDS).wait()  # as another process
    clock.now += 61
    RequestLimit(file, SECONDS).wait()
    assert clock.slept == [0, 40, 0]


@pytest.mark.parametrize("content", ["\x00" * 14, "soon", "nan", "inf", "9" * 30])
def test_a_damaged_file_or_a_time_in_the_future_delays_by_at_most_one_interval(
    clock: FakeTime, file: Path, content: str
) -> None:
    file.parent.mkdir()
    file.write_text(content)
    for _ in range(2):
        RequestLimit(file, SECONDS).wait()
    assert clock.slept[0] <= SECONDS
    assert clock.slept[1] == SECONDS


def test_a_clock_that_was_set_back_does_not_prolong_the_wait(clock: FakeTime, file: Path) -> None:
    RequestLimit(file, SECONDS).wait()
    clock.now -= 3600
    RequestLimit(file, SECONDS).wait()
    assert clock.slept[-1] == SECONDS


def test_a_process_waits_while_another_one_has_its_turn(clock: FakeTime, file: Path) -> None:
    """It reads the time of the last request only after the other one has written it."""
    file.parent.mkdir()
    with file.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=RequestLimit(file, SECONDS).wait)
        waiting.start()
        inode = f":{file.stat().st_ino} "
        until("the lock", lambda: any("->" in line and inode in line for line in LOCKS.read_text().splitlines()))
        other.write(f"{clock.now:.3f}")
    waiting.join()
    assert clock.slept == [SECONDS]
