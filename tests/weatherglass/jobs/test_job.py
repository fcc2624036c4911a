"""The job's own side of its folder."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from weatherglass.jobs import job as job_module
from weatherglass.jobs.folder import JobFolder, Outcome
from weatherglass.jobs.job import running


@pytest.fixture(autouse=True)
def _signals() -> object:
    """`running` takes over TERM and INT; give them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_stop_that_somebody_asked_for_is_success(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    with running(tmp_path) as job:
        assert not job.stopping()
        folder.request_stop("airflow")
        assert job.wait(60)
    assert folder.outcome() == Outcome(True, "stopped, asked by airflow")


def test_an_end_that_nobody_asked_for_is_none(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    assert not JobFolder(tmp_path).outcome().ok


def test_term_ends_the_loop_but_is_no_success(tmp_path: Path) -> None:
    with running(tmp_path) as job:
        os.kill(os.getpid(), signal.SIGTERM)
        assert job.wait(60)
    assert not JobFolder(tmp_path).outcome().ok


def test_a_failure_leaves_its_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such topic"), running(tmp_path):
        raise ValueError("no such topic")
    assert JobFolder(tmp_path).outcome() == Outcome(False, "ValueError: no such topic")


def test_a_job_killed_has_no_words(tmp_path: Path) -> None:
    assert "died without a word" in JobFolder(tmp_path).outcome().why


def test_the_newest_progress_is_read_even_while_a_line_is_being_written(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    with running(tmp_path) as job:
        job.report("batch 1", rows=3)
        job.report("batch 2", rows=4)
        with folder.progress.open("a") as half:
            half.write('{"said": "batch 3", "ro')
        newest = folder.last_progress()
    assert newest is not None
    assert (newest["said"], newest["rows"]) == ("batch 2", 4)


@pytest.mark.parametrize("torn", ['{"said": "batch 2", "ro', "\0\0\0\0", "17"])
def test_a_line_that_was_cut_costs_nothing_but_itself(tmp_path: Path, torn: str) -> None:
    folder = JobFolder(tmp_path)
    with running(tmp_path) as job:
        job.report("batch 1")
        with folder.progress.open("a") as half:
            half.write(torn)
        job.report("batch 3")
        assert (folder.last_progress() or {})["said"] == "batch 3"
        with folder.progress.open("a") as half:
            half.write(torn + "\n")
        assert (folder.last_progress() or {})["said"] == "batch 3"


def test_a_first_line_that_was_cut_is_no_progress(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.progress.write_text('{"said": "batch 1", "ro{"said": "batch 2"}\n')
    assert folder.last_progress() is None


def test_progress_does_not_grow_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "PROGRESS_BYTES", 1_000)
    folder = JobFolder(tmp_path)
    with running(tmp_path) as job:
        for batch in range(200):
            job.report("batch", batch=batch)
    assert sum(file.stat().st_size for file in tmp_path.glob("progress*")) < 10_000
    assert json.loads(folder.progress.read_text().splitlines()[-1])["batch"] == 199
