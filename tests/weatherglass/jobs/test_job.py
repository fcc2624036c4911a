"""The job's side of its folder."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weatherglass.jobs import job as job_module
from weatherglass.jobs.folder import DAMAGED_EXIT_FILE, NO_EXIT_FILE, JobFolder, Outcome
from weatherglass.jobs.job import Job, job_lifecycle


@pytest.fixture(autouse=True)
def _signals() -> object:
    """Restore the signal handlers that `job_lifecycle` replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_requested_stop_is_a_success(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    with job_lifecycle(tmp_path) as job:
        assert not job.stop_requested()
        folder.request_stop("airflow")
        assert job.wait(60)
    outcome = folder.outcome()
    assert outcome.ok
    assert "airflow" in outcome.reason


def test_a_wait_without_a_stop_request_ends_after_its_time(tmp_path: Path) -> None:
    with job_lifecycle(tmp_path) as job:
        start = time.monotonic()
        assert not job.wait(0.3)
        assert time.monotonic() - start >= 0.3
        assert not job.wait(0.0)


def test_an_unrequested_end_is_a_failure(tmp_path: Path) -> None:
    with job_lifecycle(tmp_path):
        pass
    assert not JobFolder(tmp_path).outcome().ok


def test_sigterm_ends_the_loop_and_is_a_failure(tmp_path: Path) -> None:
    with job_lifecycle(tmp_path) as job:
        os.kill(os.getpid(), signal.SIGTERM)
        assert job.wait(60)
    assert not JobFolder(tmp_path).outcome().ok


def test_an_exception_is_recorded_in_the_outcome(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such topic"), job_lifecycle(tmp_path):
        raise ValueError("no such topic")
    assert JobFolder(tmp_path).outcome() == Outcome(False, "ValueError: no such topic")


@pytest.mark.parametrize("content", ["", '{"ok": tr', "[]", "true"])
def test_a_job_with_a_damaged_exit_file_is_a_failure(tmp_path: Path, content: str) -> None:
    folder = JobFolder(tmp_path)
    folder.exit.write_text(content)
    assert folder.outcome() == Outcome(False, DAMAGED_EXIT_FILE)


def test_a_job_without_exit_file_is_a_failure(tmp_path: Path) -> None:
    assert JobFolder(tmp_path).outcome() == Outcome(False, NO_EXIT_FILE)


def test_the_newest_line_is_read_from_a_short_and_from_a_long_file(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    with job_lifecycle(tmp_path) as job:
        assert folder.last_progress() is None
        job.report("batch 1")
        assert (folder.last_progress() or {})["message"] == "batch 1"
        for batch in range(2, 6):
            job.report(f"batch {batch}", text=20_000 * "x")
        assert (folder.last_progress() or {})["message"] == "batch 5"


def test_the_newest_complete_line_is_read_while_a_line_is_being_written(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    with job_lifecycle(tmp_path) as job:
        job.report("batch 1", rows=3)
        job.report("batch 2", rows=4)
        with folder.progress.open("a") as file:
            file.write('{"message": "batch 3", "ro')
        newest = folder.last_progress()
    assert newest is not None
    assert (newest["message"], newest["rows"]) == ("batch 2", 4)


@pytest.mark.parametrize("truncated", ['{"message": "batch 2", "ro', "\0\0\0\0", "17"])
def test_a_truncated_line_affects_no_other_line(tmp_path: Path, truncated: str) -> None:
    folder = JobFolder(tmp_path)
    with job_lifecycle(tmp_path) as job:
        job.report("batch 1")
        with folder.progress.open("a") as file:
            file.write(truncated)
        job.report("batch 3")
        assert (folder.last_progress() or {})["message"] == "batch 3"
        with folder.progress.open("a") as file:
            file.write(truncated + "\n")
        assert (folder.last_progress() or {})["message"] == "batch 3"


def test_a_truncated_first_line_is_not_progress(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.progress.write_text('{"message": "batch 1", "ro{"message": "batch 2"}\n')
    assert folder.last_progress() is None


def test_the_progress_file_is_rotated_above_its_size_limit_and_the_previous_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "MAX_PROGRESS_BYTES", 1_000)
    progress, old = JobFolder(tmp_path).progress, tmp_path / "progress.old.jsonl"
    with job_lifecycle(tmp_path) as job:
        for batch in range(200):
            size = progress.stat().st_size if progress.exists() else 0
            job.report("batch", batch=batch)
            rotated = size > 1_000
            assert (progress.stat().st_size < size) == rotated
            if rotated:
                assert old.stat().st_size == size
    kept = [json.loads(line)["batch"] for file in (old, progress) for line in file.read_text().splitlines()]
    assert kept == list(range(200 - len(kept), 200))


def test_reports_of_several_threads_are_written_while_the_file_is_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "MAX_PROGRESS_BYTES", 100)  # a rotation with each second line
    job = Job(JobFolder(tmp_path))

    def report(thread: int) -> None:
        for number in range(500):
            job.report("batch", number=number, thread=thread)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(report, range(4))) == [None] * 4


@pytest.mark.parametrize(("size", "rotated"), [(4_000_000, False), (4_000_001, True)])
def test_the_progress_file_is_limited_to_four_megabytes(tmp_path: Path, size: int, rotated: bool) -> None:
    with job_lifecycle(tmp_path) as job:
        with job.folder.progress.open("wb") as file:
            file.truncate(size)
        job.report("batch 1")
        assert job.folder.progress.with_suffix(".old.jsonl").exists() == rotated
