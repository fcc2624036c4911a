"""The batches of a streaming query, from its checkpoint, which is correct even after a crash, or from its progress."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Offsets = dict[str, dict[str, int]]
"""Topic -> partition (as text, as in Spark's files) -> offset."""


@dataclass(frozen=True)
class Batch:
    """A finished batch: the watermark that applied to it, milliseconds since 1970, and the offsets [start, end).

    `start` is None, that is unknown, if the checkpoint no longer contains the previous batch. It is empty for the first
    batch, and does not contain new partitions.
    """

    number: int
    watermark: int
    start: Offsets | None
    end: Offsets


def finished_batches(checkpoint: Path, after: int) -> list[Batch]:
    """The committed batches in the checkpoint with a number above `after`, in order.

    Spark keeps the last 100 batches (`spark.sql.streaming.minBatchesToRetain`).
    """
    numbers = sorted(int(file.name) for file in (checkpoint / "commits").glob("[0-9]*") if file.name.isdigit())
    return [_read(checkpoint, number) for number in numbers if number > after and _log(checkpoint, number).exists()]


def batch_from_progress(progress: dict[str, Any]) -> Batch:
    """The batch of a progress event of a query with one source; works even if the checkpoint no longer contains it."""
    source, watermark = progress["sources"][0], datetime.fromisoformat(progress["eventTime"]["watermark"])
    start, end = source["startOffset"] or {}, source["endOffset"]
    return Batch(progress["batchId"], round(watermark.timestamp() * 1000), start, end)


def last_batch(checkpoint: Path) -> Batch | None:
    """The newest finished batch; None before the first batch."""
    numbers = [int(file.name) for file in (checkpoint / "commits").glob("[0-9]*") if file.name.isdigit()]
    return _read(checkpoint, max(numbers)) if numbers else None


def _log(checkpoint: Path, number: int) -> Path:
    return checkpoint / "offsets" / str(number)


def _read(checkpoint: Path, number: int) -> Batch:
    metadata, end = _entry(checkpoint, number)
    return Batch(number, int(metadata["batchWatermarkMs"]), _start(checkpoint, number), end)


def _start(checkpoint: Path, number: int) -> Offsets | None:
    if number == 0:
        return {}
    return _entry(checkpoint, number - 1)[1] if _log(checkpoint, number - 1).exists() else None


def _entry(checkpoint: Path, number: int) -> tuple[dict[str, int], Offsets]:
    """Metadata and offsets of an entry of the offset log: version, metadata of the batch, then one line per source."""
    _, metadata, offsets = _log(checkpoint, number).read_text(encoding="utf-8").splitlines()
    return json.loads(metadata), json.loads(offsets)
