"""Detects messages of `weather-raw` that the stream does not compute.

Spark continues at its offsets, or at the end of a log that is shorter. It skips messages silently if they were deleted
before they were read, and if the log is another one: the topic was deleted and created again, truncated, or restored
from an older copy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from kafka.errors import KafkaError

from spark_jobs.group_offsets import GroupOffsets
from weatherglass.files import write_atomically

log = logging.getLogger(__name__)

DELETED = "they were deleted before they were read: the retention is too short, or the job was stopped for too long"
RECREATED = "the topic was deleted and created again"
SHORTER = "the log ended before the offset that was read: it was truncated, or restored from an older copy"
REMEDY = "The DAG backfill_features computes the windows of messages that are still on the topic"


class LogPosition:
    """The offsets up to which the stream has read, compared with the log on the broker.

    If the log is another one, Spark either finds its end before these offsets, and continues there, or finds more
    messages, and continues at these offsets. Which of them happens is known only afterwards, so the loss is reported
    then.

    Args:
        topic: `Topics.raw` of the installation.
        file: contains the id of the topic to which the offsets of the checkpoint refer.
        read: partition -> offset.
        report: is called with a message for each range of offsets that is not computed.
    """

    def __init__(
        self, group: GroupOffsets, topic: str, file: Path, read: dict[str, int], report: Callable[[str], None]
    ):
        self._group, self._name, self._file, self._read, self._report = group, topic, file, read, report
        self._topic = self._stored = file.read_text(encoding="utf-8") if file.exists() else ""
        self._first: dict[str, int] = {}
        self._replaced: dict[str, str] = {}
        """Partition -> why its log is another one; until it is known where Spark continues."""

    def advance(self, read: dict[str, int]) -> None:
        """A batch has read up to these offsets."""
        for partition, offset in read.items():
            before = self._read.get(partition, 0)
            if offset < before:
                self._lose(partition, offset, self._replaced.get(partition, SHORTER))
            elif offset > before and partition in self._replaced:
                self._lose(partition, before, self._replaced[partition])
        self._read = read

    def check(self) -> None:
        """Compare the offsets with the broker.

        Raises:
            KafkaError, OSError: the broker does not respond, or the topic is missing.
        """
        topic, ranges = self._group.log_ranges(self._name)
        recreated, self._topic = self._topic not in ("", topic), topic
        self._first = {partition: first for partition, (first, _) in ranges.items()}
        for partition, (first, end) in ranges.items():
            read = self._read.get(partition)
            if read is None:
                continue
            if recreated and read:
                self._replaced[partition] = RECREATED
            elif read > end:
                self._replaced.setdefault(partition, SHORTER)
            elif read < first and partition not in self._replaced:
                self._report(self._loss(partition, read, first, DELETED))
                self._read = self._read | {partition: first}
            if read <= end and partition in self._replaced:
                self._lose(partition, read, self._replaced[partition])
        if topic != self._stored and not self._replaced:
            write_atomically(self._file, topic)
            self._stored = topic

    def _lose(self, partition: str, end: int, cause: str) -> None:
        self._replaced.pop(partition, None)
        self._report(self._loss(partition, self._first.get(partition, 0), end, cause))

    def check_while_running(self) -> None:
        """The same, but without an exception if the broker does not respond: the next check finds it as well."""
        try:
            self.check()
        except (KafkaError, OSError) as error:
            log.warning("Offsets of %s could not be checked: %s", self._name, error)
            self._group.close()

    def _loss(self, partition: str, first: int, end: int, cause: str) -> str:
        offsets = f"offsets {first} to {end - 1}" if end > first else "none"
        return f"Messages of {self._name}-{partition} that are not computed: {offsets}, because {cause}. {REMEDY}"
