"""The newest finished batch of a streaming query, from its checkpoint, which is correct even after a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

Offsets = dict[str, dict[str, int]]
"""Topic -> partition (as text, as in Spark's files) -> offset."""


@dataclass(frozen=True)
class Batch:
    """A finished batch: its watermark, milliseconds since 1970, and the offsets up to which it read."""

    number: int
    watermark: int
    end: Offsets


def last_batch(checkpoint: Path) -> Batch | None:
    """The newest finished batch; None before the first batch."""
    numbers = [int(file.name) for file in (checkpoint / "commits").glob("[0-9]*") if file.name.isdigit()]
    if not numbers:
        return None
    # An entry of the offset log: version, metadata of the batch, then one line per source.
    _, metadata, end = (checkpoint / "offsets" / str(max(numbers))).read_text(encoding="utf-8").splitlines()
    return Batch(max(numbers), int(json.loads(metadata)["batchWatermarkMs"]), json.loads(end))
