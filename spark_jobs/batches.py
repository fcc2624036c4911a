"""The batches of a streaming query: by its checkpoint, which is the truth also after a crash, or by its own word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Offsets = dict[str, dict[str, int]]
"""Topic -> partition (as text, like Spark writes it) -> offset."""


@dataclass(frozen=True)
class Batch:
    """A finished batch: the watermark in force in it, milliseconds since 1970, and the offsets [start, end).

    `start` is None if the batch before has left the checkpoint: where this one began is not known then. It is empty for
    the first batch, and names no partition that is new.
    """

    number: int
    watermark: int
    start: Offsets | None
    end: Offsets


def finished_batches(checkpoint: Path, after: int) -> list[Batch]:
    """The batches beyond number `after` that are committed and still in the checkpoint, in order.

    Spark keeps the last hundred (`spark.sql.streaming.minBatchesToRetain`).
    """
    numbers = sorted(int(file.name) for file in (checkpoint / "commits").glob("[0-9]*") if file.name.isdigit())
    return [_read(checkpoint, number) for number in numbers if number > after and _log(checkpoint, number).exists()]


def batch_from_progress(progress: dict[str, Any]) -> Batch:
    """The batch of which a query with one source tells in its progress: whatever of it is purged meanwhile."""
    source, watermark = progress["sources"][0], datetime.fromisoformat(progress["eventTime"]["watermark"])
    start, end = source["startOffset"] or {}, source["endOffset"]
    return Batch(progress["batchId"], round(watermark.timestamp() * 1000), start, end)


def last_batch(checkpoint: Path) -> Batch | None:
    """The newest finished batch; None before the first."""
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
    """An entry of the offset log: its version, the batch's metadata, then a line a source; we have one."""
    _, metadata, offsets = _log(checkpoint, number).read_text(encoding="utf-8").splitlines()
    return json.loads(metadata), json.loads(offsets)
