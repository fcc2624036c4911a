"""A checkpoint of an older format is taken over: its state is left behind and rebuilt from the messages themselves.

The new query starts as far before the old one's offsets as open windows reach back, and a window that the old one had
closed stays closed: of it not every message is read again. So every window that is still open is whole, and none is
sent from half of its observations. The old query's folder is kept beside the new one, as `features-format-<n>`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spark_jobs.batches import last_batch
from spark_jobs.checkpoint import CheckpointError, format_of, note_format
from weatherglass.history.hours import WINDOW
from weatherglass.topics import RAW

BEGINNING = datetime.fromtimestamp(0, UTC)

EARLIEST = -2
"""How Spark writes the beginning of a partition."""


@dataclass(frozen=True)
class CheckpointMigration:
    """Where a query began that took over from one of another format.

    Attributes:
        closed: the old query's last watermark, milliseconds since 1970; windows that end at or before it are closed.
        start: partition -> the first offset that the new query reads.
        read: partition -> the offset up to which the old query had read.
    """

    closed: int
    start: dict[str, int]
    read: dict[str, int]

    @classmethod
    def noted(cls, checkpoint: Path) -> CheckpointMigration | None:
        """That of a checkpoint; None if its query began at the beginning."""
        note: dict[str, Any] | None = format_of(checkpoint).get("taken_over")
        return cls(**note) if note else None


def migrate_checkpoint(
    checkpoint: Path, query: str, tolerance: timedelta, arrived_since: Callable[[datetime], dict[str, int]]
) -> CheckpointMigration | None:
    """Put the older query aside and note where the new one begins; may be called again after a crash in between.

    Args:
        tolerance: how much earlier than its own time an observation may arrive.
        arrived_since: each partition's offset of the first message of `weather-raw` that arrived at a time or later.

    Returns:
        None if the older query had finished no batch: there is nothing to take over.

    Raises:
        CheckpointError: a folder kept from an earlier takeover is in the way.
        KafkaError: the broker does not answer.
    """
    older, kept = checkpoint / query, checkpoint / f"{query}-format-{format_of(checkpoint)['format']}"
    if older.exists() and kept.exists():
        raise CheckpointError(f"both {older} and {kept} are there: move {kept} away, it is of an earlier upgrade")
    # The order matters: until the format is noted, a crash lets the next start do the same once more.
    if older.exists():
        older.rename(kept)
    batch = last_batch(kept)
    if batch is None:
        note_format(checkpoint)
        return None
    read = batch.end[RAW]
    # an observation in an open window is not older than this, and none arrives earlier than its time allows
    oldest = datetime.fromtimestamp(batch.watermark / 1000, UTC) - WINDOW - tolerance if batch.watermark else BEGINNING
    found = arrived_since(oldest)
    start = {partition: min(offset, read.get(partition, EARLIEST)) for partition, offset in found.items()}
    taken = CheckpointMigration(batch.watermark, start, read)
    note_format(checkpoint, taken_over=vars(taken))
    return taken
