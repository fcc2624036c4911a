"""The newest finished batch, from files as Spark writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spark_jobs.batches import Batch, last_batch


def write(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Nine finished batches and a tenth that was only started; the offset of batch n is 100 n."""
    for number in range(2, 12):
        metadata = json.dumps({"batchWatermarkMs": 1_000 + number, "batchTimestampMs": 5, "conf": {}})
        write(tmp_path / "offsets", str(number), "v1", metadata, json.dumps({"weather-raw": {"0": 100 * number}}))
    for number in range(2, 11):
        write(tmp_path / "commits", str(number), "v1", '{"nextBatchWatermarkMs":0}')
    write(tmp_path / "commits", ".10.crc", "")
    write(tmp_path / "commits", "11.tmp", "")
    return tmp_path


def test_the_newest_finished_batch_is_the_one_with_the_highest_number(checkpoint: Path) -> None:
    assert last_batch(checkpoint) == Batch(10, 1_010, {"weather-raw": {"0": 1_000}})


def test_before_the_first_batch_there_is_none(tmp_path: Path) -> None:
    assert last_batch(tmp_path) is None
    write(tmp_path / "offsets", "0", "v1", "{}", "{}")
    assert last_batch(tmp_path) is None
