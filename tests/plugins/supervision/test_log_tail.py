"""The end of a job's output."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from plugins.supervision.log_tail import MAX_BYTES, log_tail

TRACE = """\
Exception in thread "main" org.apache.spark.SparkException: the disk is full
\tat org.apache.spark.Disk.write(Disk.scala:7)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.io.IOException: No space left on device
\t... 12 more
  File "features.py", line 7, in write
"""


def test_frames_of_java_stack_traces_are_omitted(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text(TRACE)
    assert log_tail(log) == [
        'Exception in thread "main" org.apache.spark.SparkException: the disk is full',
        "Caused by: java.io.IOException: No space left on device",
        '  File "features.py", line 7, in write',
    ]


def test_output_of_an_earlier_start_is_omitted(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("==== 1 starting\nold error\n==== 2 starting\nnew error\n")
    assert log_tail(log) == ["new error"]


def test_a_missing_log_has_no_lines(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "job.log") == []


@given(st.binary(max_size=2_000), st.integers(1, 30))
def test_arbitrary_bytes_give_at_most_max_lines(tmp_path_factory: object, noise: bytes, max_lines: int) -> None:
    log = tmp_path_factory.mktemp("log") / "job.log"  # type: ignore[attr-defined]
    log.write_bytes(b"x" * MAX_BYTES + noise)
    lines = log_tail(log, max_lines)
    assert len(lines) <= max_lines
    assert all(line.strip() for line in lines)
