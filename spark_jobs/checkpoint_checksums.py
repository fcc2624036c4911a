"""Finds damaged files of a checkpoint by Hadoop's checksums: `.NAME.crc` next to NAME, with a CRC-32 for each block."""

from __future__ import annotations

import zlib
from pathlib import Path

MAGIC = b"crc\0"
"""Start of a checksum file; then the size of a block, and the CRC-32 of each block, as big-endian 32-bit numbers."""


def checksum_file(file: Path) -> Path:
    return file.with_name(f".{file.name}.crc")


def damaged_files(folder: Path) -> list[Path]:
    """The files below a folder that are empty or do not match their checksums.

    If a checksum file is incomplete, it is in the result instead of its file. A missing or empty one is ignored, as by
    Spark.
    """
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".crc")
    return [damaged for file in files if (damaged := _damaged(file)) is not None]


def _damaged(file: Path) -> Path | None:
    content = file.read_bytes()
    if not content:
        return file
    checksums = checksum_file(file)
    stored = checksums.read_bytes() if checksums.exists() else b""
    if not stored:
        return None
    numbers = [int.from_bytes(stored[at : at + 4], "big") for at in range(4, len(stored), 4)]
    if not stored.startswith(MAGIC) or len(stored) % 4 or not numbers or not numbers[0]:
        return checksums
    size, *expected = numbers
    actual = [zlib.crc32(content[at : at + size]) for at in range(0, len(content), size)]
    if actual == expected:
        return None
    return checksums if actual[: len(expected)] == expected else file
