"""Which offsets are reported as not computed, for logs with given first and last offsets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.errors import KafkaConnectionError

from spark_jobs.log_position import DELETED, RECREATED, SHORTER, LogPosition
from weatherglass.topics import RAW

Loss = tuple[str, tuple[int, int] | None, str]
"""Partition, first and last offset, cause."""


class Log:
    """A topic with its id and the first and the next offset of each partition."""

    def __init__(self, **ranges: tuple[int, int]):
        self.topic, self.ranges, self.closed = "id-1", ranges, 0

    def log_ranges(self, topic: str) -> tuple[str, dict[str, tuple[int, int]]]:
        if not self.ranges:
            raise KafkaConnectionError
        return self.topic, self.ranges

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., tuple[LogPosition, list[Loss]]]:
    """Opens a position with the offsets that were read, and the list of its losses."""

    def open_position(log: Log, **read: int) -> tuple[LogPosition, list[Loss]]:
        losses: list[Loss] = []

        def report(message: str) -> None:
            (partition,) = re.findall(r"weather-raw-(\w+)", message)
            offsets = [(int(first), int(last)) for first, last in re.findall(r"offsets (\d+) to (\d+)", message)]
            (cause,) = (cause for cause in (DELETED, RECREATED, SHORTER) if cause in message)
            losses.append((partition, offsets[0] if offsets else None, cause))

        return LogPosition(log, RAW, tmp_path / "topic-id", read, report), losses  # type: ignore[arg-type]

    return open_position


Opened = Callable[..., tuple[LogPosition, list[Loss]]]


def test_nothing_is_lost_while_the_offsets_are_in_the_log(opened: Opened, tmp_path: Path) -> None:
    log = Log(a=(3, 9), b=(0, 0))
    position, losses = opened(log, a=3, b=0)
    position.check()
    position.advance({"a": 9, "b": 0})
    position.check()
    assert losses == []
    assert (tmp_path / "topic-id").read_text() == "id-1"


def test_messages_that_were_deleted_before_they_were_read_are_lost_once(opened: Opened) -> None:
    log = Log(a=(5, 9), b=(0, 4))
    position, losses = opened(log, a=3, b=1)
    position.check()
    position.check()
    assert losses == [("a", (3, 4), DELETED)]
    log.ranges = {"a": (7, 9), "b": (0, 4)}
    position.check()
    assert losses[1:] == [("a", (5, 6), DELETED)]


def test_a_shorter_log_is_lost_up_to_where_spark_continues(opened: Opened) -> None:
    log = Log(a=(2, 6), b=(0, 4))
    position, losses = opened(log, a=9, b=4)
    position.check()
    assert losses == []  # Spark has not continued yet
    position.advance({"a": 6, "b": 4})
    assert losses == [("a", (2, 5), SHORTER)]
    position.advance({"a": 8, "b": 5})
    assert len(losses) == 1


def test_a_shorter_log_that_grows_beyond_the_offsets_is_lost_up_to_these(opened: Opened) -> None:
    log = Log(a=(0, 6))
    position, losses = opened(log, a=9)
    position.check()
    log.ranges = {"a": (0, 9)}
    position.check()
    assert losses == [("a", (0, 8), SHORTER)]
    position.advance({"a": 9})
    position.advance({"a": 12})
    assert len(losses) == 1


def test_spark_may_continue_in_a_shorter_log_before_it_was_checked(opened: Opened) -> None:
    position, losses = opened(Log(a=(0, 6)), a=9)
    position.advance({"a": 4})
    assert losses == [("a", (0, 3), SHORTER)]
    position.advance({"a": 0})
    assert losses[1:] == [("a", None, SHORTER)]


def test_a_recreated_topic_is_lost_up_to_the_offsets_also_after_a_restart(opened: Opened, tmp_path: Path) -> None:
    log = Log(a=(0, 9), b=(0, 5), c=(0, 7))
    opened(log, a=9, b=5, c=0)[0].check()
    log.topic, log.ranges = "id-2", {"a": (0, 4), "b": (0, 6), "c": (0, 7)}
    position, losses = opened(log, a=9, b=5, c=0)
    position.check()
    assert losses == [("b", (0, 4), RECREATED)]  # of a, Spark has not continued; of c, nothing was read
    assert (tmp_path / "topic-id").read_text() == "id-1"  # a restart now finds the loss of a again
    position.advance({"a": 4, "b": 6, "c": 0})
    assert losses[1:] == [("a", (0, 3), RECREATED)]
    position.check()
    assert (tmp_path / "topic-id").read_text() == "id-2"
    assert len(losses) == 2


def test_spark_may_continue_at_its_offsets_in_a_recreated_topic(opened: Opened) -> None:
    log = Log(a=(0, 9))
    position, losses = opened(log, a=9)
    position.check()
    log.topic, log.ranges = "id-2", {"a": (1, 4)}
    position.check()
    position.advance({"a": 9})
    assert losses == []
    position.advance({"a": 11})
    assert losses == [("a", (1, 8), RECREATED)]


def test_a_broker_that_does_not_respond_is_asked_again_later(opened: Opened) -> None:
    log = Log()
    position, losses = opened(log, a=9)
    with pytest.raises(KafkaConnectionError):
        position.check()
    position.check_while_running()
    assert (log.closed, losses) == (1, [])
