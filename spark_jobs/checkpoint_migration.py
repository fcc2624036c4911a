"""Migrates a checkpoint of an older format: discards its state and rebuilds it from the messages.

The new query starts before the offsets of the old one, far enough to read every observation of the windows that are
still open. Windows that the old query had closed stay closed, since not all their messages are read again. So every
open window is complete, and no window is published from a part of its observations. The folder of the old query is kept
as `features-format-<n>`.

Up to format 2, one watermark applied to all stations. A second query, `rejected`, whose folder is kept as well,
published the invalid messages, and the job published late observations after each batch, with its progress in
`late.json`. The new query also reads what these had not published, so that no rejected message is lost; a few may be
published twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spark_jobs.batches import last_batch
from spark_jobs.checkpoint import CheckpointError, Remedy, check_topic, read_format, write_format
from weatherglass.history.hours import WINDOW
from weatherglass.topics import RAW

OLD_REJECTED_QUERY = "rejected"
OLD_LATE_FILE = "late.json"

EARLIEST = -2
"""How Spark writes the beginning of a partition."""


@dataclass(frozen=True)
class CheckpointMigration:
    """Starting point of a query that continues from a checkpoint of an older format.

    Attributes:
        closed_until: last watermark of the old query, milliseconds since 1970; windows that end at or before it are
            closed.
        start_offsets: partition -> first offset that the new query reads.
        read_offsets: partition -> offset up to which the old query had read.
        rejected_offsets: partition -> offset up to which all invalid messages and late observations are published.
        topic: the topic of the offsets; without a prefix where an older version has recorded the migration.
    """

    closed_until: int
    start_offsets: dict[str, int]
    read_offsets: dict[str, int]
    rejected_offsets: dict[str, int]
    topic: str = RAW

    @classmethod
    def load(cls, checkpoint: Path) -> CheckpointMigration | None:
        """The migration recorded in a checkpoint; None if its query started without one."""
        content: dict[str, Any] | None = read_format(checkpoint).get("taken_over")
        if content is None:
            return None
        rejected = content.get("rejected", content["read"])
        return cls(content["closed"], content["start"], content["read"], rejected, content.get("topic", RAW))

    def save(self, checkpoint: Path) -> None:
        """Record the migration together with the new format, atomically."""
        content = {
            "closed": self.closed_until,
            "start": self.start_offsets,
            "read": self.read_offsets,
            "rejected": self.rejected_offsets,
            "topic": self.topic,
        }
        write_format(checkpoint, taken_over=content)


def migrate_checkpoint(
    checkpoint: Path,
    query: str,
    topic: str,
    tolerance: timedelta,
    offsets_since: Callable[[datetime], dict[str, int]],
) -> CheckpointMigration | None:
    """Rename the folders of the old queries and record where the new one starts. Can be repeated after a crash.

    Args:
        topic: `Topics.raw` of the installation.
        tolerance: how much earlier than its own timestamp an observation may arrive.
        offsets_since: each partition's offset of the first message of `weather-raw` that arrived at a time or later.

    Returns:
        None if the old query had not finished any batch, so there is nothing to migrate.

    Raises:
        CheckpointError: a folder kept by an earlier migration exists, or the checkpoint belongs to another topic.
        KafkaError: the broker does not respond.
    """
    for folder in (checkpoint / query, _kept(checkpoint, query)):
        if newest := last_batch(folder):
            check_topic(checkpoint, newest.end, topic)
    kept, kept_rejected = (_keep(checkpoint, name) for name in (query, OLD_REJECTED_QUERY))
    batch, earlier = last_batch(kept), CheckpointMigration.load(checkpoint)
    if batch:
        closed, read = batch.watermark, batch.end[topic]
        rejected = _rejected_offsets(topic, kept_rejected, checkpoint.parent / OLD_LATE_FILE, batch.number, read)
    elif earlier:
        closed, read, rejected = 0, earlier.read_offsets, earlier.rejected_offsets
    else:
        write_format(checkpoint)
        return None
    closed = max(closed, earlier.closed_until if earlier else 0)
    # No observation in an open window is older than this, and none arrives earlier than its timestamp allows.
    oldest = (
        datetime.fromtimestamp(closed / 1000, UTC) - WINDOW - tolerance if closed else datetime.fromtimestamp(0, UTC)
    )
    start = {
        partition: min(offset, read.get(partition, EARLIEST), rejected.get(partition, EARLIEST))
        for partition, offset in offsets_since(oldest).items()
    }
    migration = CheckpointMigration(closed, start, read, rejected, topic)
    migration.save(checkpoint)
    (checkpoint.parent / OLD_LATE_FILE).unlink(missing_ok=True)
    return migration


def _kept(checkpoint: Path, query: str) -> Path:
    """The folder of an old query after the migration."""
    return checkpoint / f"{query}-format-{read_format(checkpoint)['format']}"


def _keep(checkpoint: Path, query: str) -> Path:
    """Rename the folder of an old query.

    The order matters: after a crash before the new format is written, the next start repeats the migration.
    """
    old, kept = checkpoint / query, _kept(checkpoint, query)
    if old.exists() and kept.exists():
        raise CheckpointError(
            f"Both {old} and {kept} exist: move {kept} away, it was left by an earlier migration",
            Remedy.MOVE_OLD_COPY,
        )
    if old.exists():
        old.rename(kept)
    return kept


def _rejected_offsets(
    topic: str, rejected_query: Path, late_file: Path, batch: int, read: dict[str, int]
) -> dict[str, int]:
    """The offsets up to which the old job had published all invalid messages and all late observations.

    Args:
        batch: number of the last batch of the features query, which read up to the offsets `read`.
    """
    invalid = late = read
    if rejected_query.exists():
        last = last_batch(rejected_query)
        invalid = last.end[topic] if last else {}
    try:
        examined = json.loads(late_file.read_text(encoding="utf-8"))
        if examined["batch"] <= batch:  # otherwise the file belongs to a checkpoint that was replaced
            late = examined["end"][topic]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        pass  # without the file no batch with late observations was finished
    return {
        partition: min(invalid[partition], late[partition], end)
        for partition, end in read.items()
        if partition in invalid and partition in late
    }
