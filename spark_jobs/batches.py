"""What a streaming query's checkpoint tells about its batches: the truth, also after a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

Offsets = dict[str, dict[str, int]]
"""Topic -> partition (as text, like Spark writes it) -> offset."""


@dataclass(frozen=True)
class Batch:
    """A finished batch: the watermark in force in it, milliseconds since 1970, and the offsets [start, end)."""

    number: int
    watermark: int
    start: Offsets
    end: Offsets


def finished_batches(checkpoint: Path, after: int) -> list[Batch]:
    """The batches beyond number `after` that are committed and still in the checkpoint, in order.

    Spark keeps the last hundred (`spark.sql.streaming.minBatchesToRetain`).
    """
    numbers = sorted(int(file.name) for file in (checkpoint / "commits").glob("[0-9]*") if file.name.isdigit())
    return [_read(checkpoint, number) for number in numbers if number > after and _log(checkpoint, number).exists()]


def last_batch(checkpoint: Path) -> Batch | None:
    """The newest finished batch; None before the first."""
    numbers = [int(file.name) for file in (checkpoint / "commits").glob("[0-9]*") if file.name.isdigit()]
    return _read(checkpoint, max(numbers)) if numbers else None


def _log(checkpoint: Path, number: int) -> Path:
    return checkpoint / "offsets" / str(number)


def _read(checkpoint: Path, number: int) -> Batch:
    metadata, end = _entry(checkpoint, number)
    start = _entry(checkpoint, number - 1)[1] if _log(checkpoint, number - 1).exists() else {}
    return Batch(number, int(metadata["batchWatermarkMs"]), start, end)


def _entry(checkpoint: Path, number: int) -> tuple[dict[str, int], Offsets]:
    """An entry of the offset log: its version, the batch's metadata, then a line a source; we have one."""
    _, metadata, offsets = _log(checkpoint, number).read_text(encoding="utf-8").splitlines()
    return json.loads(metadata), json.loads(offsets)
