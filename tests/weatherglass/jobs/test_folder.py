"""The folder of a job: its lock and its files."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from weatherglass.jobs.folder import JobFolder, StartRequest


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A folder that does not exist yet, nor the one above it."""
    return JobFolder(tmp_path / "jobs" / "stream_features")


def test_the_lock_is_held_by_one_process_at_a_time_and_readable_by_the_owner_only(folder: JobFolder) -> None:
    assert not folder.alive()
    held = folder.try_lock()
    assert held is not None
    assert folder.alive()
    assert folder.try_lock() is None
    os.close(held)
    assert not folder.alive()
    again = folder.try_lock()
    assert again is not None
    os.close(again)
    assert folder.lock.stat().st_mode & 0o777 == 0o600


def test_whether_a_job_is_alive_is_read_from_a_read_only_folder(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = folder.try_lock()
    assert held is not None
    open_file = os.open

    def open_read_only(path: Path, flags: int, *mode: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return open_file(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_read_only)
    assert folder.alive()
    os.close(held)
    assert not folder.alive()


def test_a_start_request_creates_the_folder_and_is_read_back(folder: JobFolder) -> None:
    assert folder.read_start() is None
    request = StartRequest(["python", "-m", "job"], {"NAME": "value"})
    folder.request_start(request)
    assert folder.read_start() == request
    for invalid in ({}, {"argv": []}, {"argv": ["python"], "unknown": 1}):
        folder.write_json(folder.start, invalid)
        assert folder.read_start() is None


def test_the_time_worked_is_from_the_start_to_the_last_heartbeat(folder: JobFolder) -> None:
    assert folder.seconds_worked() == 0.0
    folder.path.mkdir(parents=True)
    started = datetime(2026, 1, 5, 12, tzinfo=UTC)
    folder.write_json(folder.process, {"at": started.isoformat()})
    assert folder.seconds_worked() == 0.0, "no heartbeat yet"
    folder.heartbeat.touch()
    os.utime(folder.heartbeat, times=2 * (started.timestamp() + 90,))
    assert folder.seconds_worked() == 90.0


def test_the_age_of_a_heartbeat_is_in_seconds_and_none_before_the_first(folder: JobFolder) -> None:
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert folder.heartbeat_age(now) is None
    folder.path.mkdir(parents=True)
    folder.heartbeat.touch()
    os.utime(folder.heartbeat, times=2 * (now.timestamp() - 7,))
    assert folder.heartbeat_age(now) == 7.0


def test_only_the_end_of_a_long_progress_file_is_read(folder: JobFolder) -> None:
    """A line of 65,536 bytes with its end fits exactly; of a longer one the beginning is missing."""
    folder.path.mkdir(parents=True)
    for length in (65_536, 65_537):
        line = '{"text": "' + (length - 13) * "x" + '"}\n'
        folder.progress.write_text('{"text": "earlier"}\n' + line)
        assert (folder.last_progress() is not None) == (length == 65_536)
