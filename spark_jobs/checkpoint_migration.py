"""Migrates a checkpoint of an older format: discards its state and rebuilds it from the messages.

The new query starts before the offsets of the old query, far enough to read every observation of the windows that are
still open. Windows that the old query had closed stay closed, since not all their messages are read again. So every
open window is complete, and no window is published from a part of its observations. The folder of the old query is kept
as `features-format-<n>`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spark_jobs.batches import last_batch
from spark_jobs.checkpoint import CheckpointError, Remedy, read_format, write_format
from weatherglass.history.hours import WINDOW
from weatherglass.topics import RAW

EPOCH = datetime.fromtimestamp(0, UTC)

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
    """

    closed_until: int
    start_offsets: dict[str, int]
    read_offsets: dict[str, int]

    @classmethod
    def load(cls, checkpoint: Path) -> CheckpointMigration | None:
        """The migration recorded in a checkpoint; None if its query started without one."""
        content: dict[str, Any] | None = read_format(checkpoint).get("taken_over")
        return cls(content["closed"], content["start"], content["read"]) if content else None

    def save(self, checkpoint: Path) -> None:
        """Record the migration together with the new format, atomically."""
        content = {"closed": self.closed_until, "start": self.start_offsets, "read": self.read_offsets}
        write_format(checkpoint, taken_over=content)


def migrate_checkpoint(
    checkpoint: Path, query: str, tolerance: timedelta, offsets_since: Callable[[datetime], dict[str, int]]
) -> CheckpointMigration | None:
    """Rename the folder of the old query and record where the new one starts. Can be repeated after a crash.

    Args:
        tolerance: how much earlier than its own timestamp an observation may arrive.
        offsets_since: each partition's offset of the first message of `weather-raw` that arrived at a time or later.

    Returns:
        None if the old query had not finished any batch, so there is nothing to migrate.

    Raises:
        CheckpointError: a folder kept by an earlier migration exists.
        KafkaError: the broker does not respond.
    """
    old, kept = checkpoint / query, checkpoint / f"{query}-format-{read_format(checkpoint)['format']}"
    if old.exists() and kept.exists():
        raise CheckpointError(
            f"Both {old} and {kept} exist: move {kept} away, it was left by an earlier migration",
            Remedy.MOVE_OLD_COPY,
        )
    # The order matters: after a crash before the format is written, the next start repeats the migration.
    if old.exists():
        old.rename(kept)
    batch = last_batch(kept)
    if batch is None:
        write_format(checkpoint)
        return None
    read = batch.end[RAW]
    # No observation in an open window is older than this, and none arrives earlier than its timestamp allows.
    oldest = datetime.fromtimestamp(batch.watermark / 1000, UTC) - WINDOW - tolerance if batch.watermark else EPOCH
    start = {
        partition: min(offset, read.get(partition, EARLIEST)) for partition, offset in offsets_since(oldest).items()
    }
    migration = CheckpointMigration(batch.watermark, start, read)
    migration.save(checkpoint)
    return migration
