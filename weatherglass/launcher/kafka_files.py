"""Checks the small files in the broker's data folder before Kafka starts.

Kafka does not start with most of them damaged, and its error is a stack trace. It even deletes the messages of a
partition whose `partition.metadata` is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weatherglass.files import DamagedFileError, read_json, write_atomically

REMOVE = "Remove it: Kafka writes it again"
META = "meta.properties"
METADATA_LOG = "__cluster_metadata-0"
PARTITION_METADATA = re.compile(r"version: 0\ntopic_id: [\w-]{22}\s*", re.ASCII)
IDENTIFIER = re.compile(r"[\w-]{22}", re.ASCII)
PARTITION_NAME = re.compile(r"(.+)-\d+")


def has_messages(data: Path) -> bool:
    """Whether a data folder has partitions of topics; a folder that was just formatted has none."""
    return any(PARTITION_NAME.fullmatch(path.name) and path.name != METADATA_LOG for path in data.glob("*-*"))


def check_data(data: Path, copy: Path) -> None:
    """Check the small files of a formatted data folder.

    Args:
        copy: file outside the data folder for a copy of `meta.properties`, which Kafka cannot write again.

    Raises:
        DamagedFileError: a file is missing or damaged.
    """
    _check_meta(data / META, copy)
    _check(data / "bootstrap.checkpoint", _is_log, REMOVE)
    for file in (*data.glob("*-checkpoint"), *data.glob("*/*-checkpoint")):
        _check(file, _is_checkpoint, REMOVE)
    for partition in data.glob("*-*"):
        if match := PARTITION_NAME.fullmatch(partition.name):
            _check_partition(partition, match[1])
    if (quorum := data / METADATA_LOG / "quorum-state").exists():
        read_json(quorum, lambda content: int(content["leaderEpoch"]), REMOVE)


def _check_meta(file: Path, copy: Path) -> None:
    remedy = f"Copy {copy} to it"
    if not copy.exists():
        remedy = (
            f"Restore it from a backup, or move {file.parent} away: observations of the last days are then read again"
        )
    content = file.read_bytes() if file.exists() else b""
    values = dict(line.split("=", 1) for line in content.decode("latin-1").splitlines() if "=" in line)
    if not all(IDENTIFIER.fullmatch(values.get(name, "")) for name in ("cluster.id", "directory.id")):
        raise DamagedFileError(file, "it has no complete cluster.id and directory.id", remedy)
    if not values.get("node.id") or not values.get("version"):
        raise DamagedFileError(file, "it has no node.id or version", remedy)
    if not copy.exists() or copy.read_bytes() != content:
        write_atomically(copy, content)


def _check_partition(partition: Path, topic: str) -> None:
    file = partition / "partition.metadata"
    if partition.name == METADATA_LOG or not any(log.stat().st_size for log in partition.glob("*.log")):
        _check(file, _is_partition_metadata, REMOVE)
        return
    others = (other / file.name for other in sorted(partition.parent.glob(f"{topic}-*")) if other != partition)
    intact = next((other for other in others if other.exists() and _is_partition_metadata(other.read_bytes())), None)
    remedy = f"Copy {intact} to it" if intact else f"Restore it from a backup, or lose the messages in {partition}"
    if not file.exists():
        raise DamagedFileError(file, "it is missing", remedy)
    _check(file, _is_partition_metadata, remedy)


def _check(file: Path, is_intact: Callable[[bytes], Any], remedy: str) -> None:
    if file.exists() and not is_intact(file.read_bytes()):
        raise DamagedFileError(file, "it is empty or incomplete", remedy)


def _is_partition_metadata(content: bytes) -> bool:
    return PARTITION_METADATA.fullmatch(content.decode("latin-1")) is not None


def _is_checkpoint(content: bytes) -> bool:
    """Whether a checkpoint has as many lines as it says; Kafka accepts an empty one."""
    version, count, *lines = [*content.decode("latin-1").splitlines(), "", ""]
    complete = content.endswith(b"\n") and version.isdigit() and count.isdigit() and len(lines) - 2 == int(count)
    return complete or not content


def _is_log(content: bytes) -> bool:
    """Whether a file consists of complete record batches: offset (8 bytes), length (4 bytes), and so many bytes."""
    position = 0
    while position + 12 <= len(content):
        position += 12 + int.from_bytes(content[position + 8 : position + 12], "big")
    return 0 < position == len(content)
