"""Many reports become few lines, and nothing of note is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.supervision.progress_reader import ProgressReader
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(JobFolder(tmp_path))


@pytest.fixture
def reader(job: Job) -> ProgressReader:
    return ProgressReader(job.folder.progress, every=10)


def test_the_first_report_is_told_at_once_and_the_next_ones_summed(job: Job, reader: ProgressReader) -> None:
    job.report("batch 1", rows=5)
    assert reader.news(0) == ["batch 1"]
    for batch in range(2, 12):
        job.report(f"batch {batch}", rows=batch)
        assert reader.news(batch / 2) == []
    (line,) = reader.news(10)
    assert line.startswith("batch 11 [10 reports")
    assert f"{sum(range(2, 12))} rows" in line
    assert reader.news(30) == []


def test_a_steady_flood_is_thinned_without_losing_a_row(job: Job, reader: ProgressReader) -> None:
    told: list[str] = []
    for tick in range(600):
        job.report(f"batch {tick}", rows=1)
        told += reader.news(tick / 10)
    told += reader.rest()
    assert len(told) <= 60 / 10 + 2
    rows = [int(m[1]) if (m := re.search(r"(\d+) rows", line)) else 1 for line in told]
    assert sum(rows) == 600


def test_figures_by_kind_are_summed_by_kind(job: Job, reader: ProgressReader) -> None:
    job.report("batch 1", rows=1)
    reader.news(0)
    job.report("rejected", rejected={"future": 2})
    job.report("rejected", rejected={"future": 1, "late": 4})
    job.report("batch 2", rows=1, failed_values={"range": 3})
    (line,) = reader.news(10)
    assert "7 (3 future, 4 late) rejected" in line
    assert "3 (3 range) failed values" in line


@pytest.mark.parametrize("figure", ["state", "model_version"])
def test_a_change_of_state_is_told_at_once(job: Job, reader: ProgressReader, figure: str) -> None:
    job.report("as before", **{figure: "1"})
    reader.news(0)
    job.report("as before", **{figure: "1"})
    assert reader.news(1) == []
    job.report("changed", **{figure: "2"})
    assert any("changed" in line for line in reader.news(2))


def test_words_without_figures_are_told_at_once(job: Job, reader: ProgressReader) -> None:
    job.report("batch 1", rows=1)
    reader.news(0)
    job.report("inference-0 was restarted")
    assert reader.news(1) == ["inference-0 was restarted"]


def test_it_follows_from_now_on_and_through_rotation(job: Job) -> None:
    job.report("long ago", rows=1)
    reader = ProgressReader(job.folder.progress)
    assert reader.news(0) == []
    job.folder.progress.rename(job.folder.path / "progress.old.jsonl")
    job.report("in the new file", rows=1)
    assert reader.news(1) == ["in the new file"]


def test_half_a_line_waits_and_rubbish_is_passed_over(job: Job, reader: ProgressReader) -> None:
    with job.folder.progress.open("a") as file:
        file.write('rubbish\n{"said": "whole"}\n{"said": "ha')
        file.flush()
        assert reader.news(0) == ["whole"]
        file.write('lf"}\n')
        file.flush()
    assert reader.news(20) == ["half"]
