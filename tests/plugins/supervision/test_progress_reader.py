"""Many reports are condensed to few lines without losing events or counts."""

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
    return ProgressReader(job.folder.progress, interval=10)


def test_the_first_report_is_logged_at_once_and_later_ones_are_summed(job: Job, reader: ProgressReader) -> None:
    job.report("batch 1", rows=5)
    assert reader.new_lines(0) == ["batch 1"]
    for batch in range(2, 12):
        job.report(f"batch {batch}", rows=batch)
        assert reader.new_lines(batch / 2) == []
    (line,) = reader.new_lines(10)
    assert line.startswith("batch 11 [10 reports")
    assert f"{sum(range(2, 12))} rows" in line
    assert reader.new_lines(30) == []


def test_frequent_reports_are_condensed_without_losing_rows(job: Job, reader: ProgressReader) -> None:
    lines: list[str] = []
    for tick in range(600):
        job.report(f"batch {tick}", rows=1)
        lines += reader.new_lines(tick / 10)
    lines += reader.remaining_lines()
    assert len(lines) <= 60 / 10 + 2
    rows = [int(m[1]) if (m := re.search(r"(\d+) rows", line)) else 1 for line in lines]
    assert sum(rows) == 600


def test_a_report_without_a_message_is_logged_as_it_is(job: Job, reader: ProgressReader) -> None:
    with job.folder.progress.open("a") as file:
        file.write('{"rows": 1}\n')
    (line,) = reader.new_lines(0)
    assert "'rows': 1" in line
    with job.folder.progress.open("a") as file:
        file.write('{"rows": 2}\n{"rows": 3}\n')
    (line,) = reader.new_lines(20)
    assert "'rows': 3" in line.partition("[")[0]
    assert "5 rows" in line


def test_fields_by_kind_are_summed_by_kind(job: Job, reader: ProgressReader) -> None:
    job.report("batch 1", rows=1)
    reader.new_lines(0)
    job.report("rejected", rejected={"future": 2})
    job.report("rejected", rejected={"future": 1, "late": 4})
    job.report("batch 2", rows=1, failed_values={"range": 3})
    (line,) = reader.new_lines(10)
    assert "7 (3 future, 4 late) rejected" in line
    assert "3 (3 range) failed values" in line


@pytest.mark.parametrize("field", ["state", "model_version"])
def test_a_change_of_state_is_logged_at_once(job: Job, reader: ProgressReader, field: str) -> None:
    job.report("unchanged", **{field: "1"})
    reader.new_lines(0)
    job.report("unchanged", **{field: "1"})
    assert reader.new_lines(1) == []
    job.report("changed", **{field: "2"})
    assert any("changed" in line for line in reader.new_lines(2))


def test_a_report_without_fields_is_logged_at_once(job: Job, reader: ProgressReader) -> None:
    job.report("batch 1", rows=1)
    reader.new_lines(0)
    job.report("inference-0 was restarted")
    assert reader.new_lines(1) == ["inference-0 was restarted"]


def test_reports_are_read_from_now_on_and_across_a_rotation(job: Job) -> None:
    job.report("earlier", rows=1)
    reader = ProgressReader(job.folder.progress)
    assert reader.new_lines(0) == []
    job.folder.progress.rename(job.folder.path / "progress.old.jsonl")
    job.report("in the new file", rows=1)
    assert reader.new_lines(1) == ["in the new file"]


def test_an_incomplete_line_is_read_later_and_an_invalid_line_is_skipped(job: Job, reader: ProgressReader) -> None:
    with job.folder.progress.open("a") as file:
        file.write('invalid\n{"message": "whole"}\n{"message": "ha')
        file.flush()
        assert reader.new_lines(0) == ["whole"]
        file.write('lf"}\n')
        file.flush()
    assert reader.new_lines(20) == ["half"]
