"""The end of a job's output."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from plugins.supervision.log_tail import BYTES, log_tail

TRACE = """\
Exception in thread "main" org.apache.spark.SparkException: the disk is full
\tat org.apache.spark.Disk.write(Disk.scala:7)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.io.IOException: No space left on device
\t... 12 more
  File "features.py", line 7, in write
"""


def test_java_frames_are_left_out_and_what_they_are_about_stays(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text(TRACE)
    assert log_tail(log) == [
        'Exception in thread "main" org.apache.spark.SparkException: the disk is full',
        "Caused by: java.io.IOException: No space left on device",
        '  File "features.py", line 7, in write',
    ]


def test_words_of_an_earlier_start_are_not_this_ones(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("==== 1 starting\nold trouble\n==== 2 starting\nnew trouble\n")
    assert log_tail(log) == ["new trouble"]


def test_no_log_no_words(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "job.log") == []


@given(st.binary(max_size=2_000), st.integers(1, 30))
def test_any_bytes_end_in_at_most_so_many_lines(tmp_path_factory: object, noise: bytes, lines: int) -> None:
    log = tmp_path_factory.mktemp("log") / "job.log"  # type: ignore[attr-defined]
    log.write_bytes(b"x" * BYTES + noise)
    words = log_tail(log, lines)
    assert len(words) <= lines
    assert all(word.strip() for word in words)
