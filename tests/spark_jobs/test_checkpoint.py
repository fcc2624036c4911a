"""Checks of the checkpoint: damaged ones are rejected with instructions, intact ones are accepted."""

from __future__ import annotations

import binascii
import json
import struct
import uuid
from pathlib import Path

import pytest

from spark_jobs.checkpoint import (
    CheckpointError,
    Remedy,
    check_checkpoint,
    check_topic,
    damage_error,
    indicates_damage,
    is_older_format,
)
from spark_jobs.checkpoint_checksums import checksum_file, damaged_files

QUERIES = ["features"]
OFFSETS = 'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1,"conf":{}}\n{"weather-raw":{"0":5}}'
COMMIT = 'v1\n{"nextBatchWatermarkMs":0}'
METADATA = '{"id":"b8b158c9-b45d-48b2-9fbb-9d57eb220ef8"}'
OPERATOR = 'v2\n{"operatorInfo":{"operatorId":0}}\n{"operatorPropertiesJson":"{}"}'


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint with two finished batches and one that was started."""
    folder = tmp_path / "checkpoint"
    check_checkpoint(folder, QUERIES)
    for log, content, batches in (("offsets", OFFSETS, 3), ("commits", COMMIT, 2)):
        (folder / "features" / log).mkdir(parents=True)
        for number in range(batches):
            (folder / "features" / log / str(number)).write_text(content, encoding="utf-8")
    (folder / "features" / "metadata").write_text(METADATA, encoding="utf-8")
    operator = folder / "features" / "state" / "0" / "_metadata" / "v2" / "0"
    operator.parent.mkdir(parents=True)
    operator.write_text(OPERATOR, encoding="utf-8")
    return folder


def test_a_checkpoint_of_a_topic_with_another_prefix_is_not_used(checkpoint: Path) -> None:
    offsets = {"trial-weather-raw": {"0": 5}}
    check_topic(checkpoint, offsets, "trial-weather-raw")
    with pytest.raises(CheckpointError, match="WEATHERGLASS_TOPIC_PREFIX") as error:
        check_topic(checkpoint, offsets, "weather-raw")
    assert error.value.remedy == Remedy.SET_PREFIX


@pytest.mark.parametrize("content", [None, "", '{"id', "{}", "[]", '{"id": 1}', '{"id": "x"}'])
def test_a_damaged_id_of_a_query_is_replaced(checkpoint: Path, content: str | None) -> None:
    file = checkpoint / "features" / "metadata"
    checksum_file(file).write_bytes(b"of the old content")
    file.unlink()
    if content is not None:
        file.write_text(content, encoding="utf-8")
    check_checkpoint(checkpoint, QUERIES)
    new = file.read_text(encoding="utf-8")
    assert uuid.UUID(json.loads(new)["id"])
    assert not checksum_file(file).exists()
    check_checkpoint(checkpoint, QUERIES)
    assert file.read_text(encoding="utf-8") == new, "an intact id is kept"


def test_a_new_query_gets_its_id_from_spark(tmp_path: Path) -> None:
    (tmp_path / "features" / "offsets").mkdir(parents=True)
    check_checkpoint(tmp_path, QUERIES)
    assert not (tmp_path / "features" / "metadata").exists()


@pytest.mark.parametrize("size", [0, 2, 20])
def test_incomplete_metadata_of_the_state_are_rejected(checkpoint: Path, size: int) -> None:
    file = checkpoint / "features" / "state" / "0" / "_metadata" / "v2" / "0"
    file.write_text(OPERATOR[:size], encoding="utf-8")
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert (error.value.remedy, error.value.files) == (Remedy.RESET, (file,))
    assert str(file) in str(error.value)


@pytest.mark.parametrize("size", [0, 3])
def test_a_damaged_schema_of_the_state_is_rejected(checkpoint: Path, size: int) -> None:
    file = checkpoint / "features" / "state" / "0" / "_stateSchema" / "default" / "0_id"
    file.parent.mkdir(parents=True)
    with_checksum(file, b"ten  bytes")
    check_checkpoint(checkpoint, QUERIES)
    file.write_bytes(b"ten  bytes"[:size])
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert (error.value.remedy, error.value.files) == (Remedy.RESET, (file,))
    assert str(checkpoint) in str(error.value)
    with_checksum(file, b"ten  bytes")
    checksum_file(file).write_bytes(checksum_file(file).read_bytes()[:14])
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert (error.value.remedy, error.value.files) == (Remedy.REMOVE_CHECKSUM, (checksum_file(file),))


CAUSE = "[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred during loading state."


def with_checksum(file: Path, content: bytes, block: int = 4) -> None:
    """Write a file and Hadoop's checksum file."""
    file.write_bytes(content)
    blocks = [content[at : at + block] for at in range(0, len(content), block)]
    numbers = [block, *map(binascii.crc32, blocks)]
    checksum_file(file).write_bytes(b"crc\0" + struct.pack(f">{len(numbers)}I", *numbers))


def test_the_error_of_a_query_names_the_files_that_do_not_match_their_checksums(checkpoint: Path) -> None:
    state = checkpoint / "features" / "state" / "0" / "0"
    state.mkdir()
    for name in ("1.changelog", "2.changelog", "3.changelog"):
        with_checksum(state / name, b"ten  bytes")
    assert damage_error(checkpoint, CAUSE).files == ()
    (state / "1.changelog").write_bytes(b"")
    (state / "2.changelog").write_bytes(b"ten  b")
    error = damage_error(checkpoint, CAUSE)
    assert error.remedy == Remedy.RESET
    assert error.files == (state / "1.changelog", state / "2.changelog")
    for file in error.files:
        assert str(file) in str(error)


@pytest.mark.parametrize(("size", "is_damaged"), [(1, True), (6, True), (8, True), (12, True), (14, True), (0, False)])
def test_a_damaged_checksum_file_is_to_be_removed(checkpoint: Path, size: int, is_damaged: bool) -> None:
    file = checkpoint / "features" / "state" / "0" / "file"
    with_checksum(file, b"ten  bytes")
    checksums = checksum_file(file)
    checksums.write_bytes(checksums.read_bytes()[:size])
    error = damage_error(checkpoint, CAUSE)
    assert error.files == ((checksums,) if is_damaged else ())
    assert error.remedy == (Remedy.REMOVE_CHECKSUM if is_damaged else Remedy.RESET)


@pytest.mark.parametrize("content", [b"ten  byteS", b"Ten  bytes", b"ten  bytes!", b"ten  bytes and more", b"ten "])
def test_changed_content_does_not_match_its_checksum(tmp_path: Path, content: bytes) -> None:
    with_checksum(tmp_path / "file", b"ten  bytes")
    assert damaged_files(tmp_path) == []
    (tmp_path / "file").write_bytes(content)
    assert damaged_files(tmp_path) == [tmp_path / "file"]


def test_an_intact_checkpoint_is_accepted(checkpoint: Path) -> None:
    check_checkpoint(checkpoint, QUERIES)


@pytest.mark.parametrize("size", [0, 2, 3, 20])
@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("offsets/2", Remedy.REMOVE_ENTRY),
        ("offsets/1", Remedy.RESET),
        ("offsets/0", Remedy.RESET),
        ("commits/1", Remedy.REMOVE_ENTRY),
        ("commits/0", Remedy.RESET),
    ],
)
def test_an_incomplete_entry_is_rejected_with_file_size_and_remedy(
    checkpoint: Path, file: str, size: int, remedy: Remedy
) -> None:
    entry = checkpoint / "features" / file
    content = entry.read_text(encoding="utf-8")[:size]
    entry.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert error.value.remedy == remedy
    assert error.value.files == (entry,)
    assert str(entry) in str(error.value)
    assert f"{size} bytes" in str(error.value)
    assert entry.read_text(encoding="utf-8") == content, "the check changes nothing"


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("offsets/3", Remedy.REMOVE_ENTRY),
        ("offsets/2", Remedy.RESET),
        ("commits/2", Remedy.REMOVE_ENTRY),
        ("commits/1", Remedy.RESET),
    ],
)
def test_only_entries_after_the_last_finished_batch_may_be_removed(checkpoint: Path, file: str, remedy: Remedy) -> None:
    query = checkpoint / "features"
    (query / "offsets" / "3").write_text(OFFSETS, encoding="utf-8")
    (query / "commits" / "2").write_text(COMMIT, encoding="utf-8")
    check_checkpoint(checkpoint, QUERIES)
    (query / file).write_bytes(b"")
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert (error.value.remedy, error.value.files) == (remedy, (query / file,))
    assert ("is open" in str(error.value)) == (file == "offsets/3")
    assert ("only the end" in str(error.value)) == (file == "commits/2")


@pytest.mark.parametrize("file", ["offsets/2", "commits/1"])
def test_removing_the_named_entry_repairs_the_checkpoint(checkpoint: Path, file: str) -> None:
    entry = checkpoint / "features" / file
    entry.write_bytes(b"")
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert error.value.remedy == Remedy.REMOVE_ENTRY
    entry.unlink()
    check_checkpoint(checkpoint, QUERIES)


def test_commits_without_offsets_are_rejected(checkpoint: Path) -> None:
    (checkpoint / "features" / "commits" / "2").write_text(COMMIT, encoding="utf-8")
    for number in (2, 1, 0):
        (checkpoint / "features" / "offsets" / str(number)).unlink()
        with pytest.raises(CheckpointError) as error:
            check_checkpoint(checkpoint, QUERIES)
        assert error.value.remedy == Remedy.RESET
        assert str(checkpoint) in str(error.value)
        assert "lacks batch 2" in str(error.value)


@pytest.mark.parametrize(
    ("content", "named"), [('{"format": 99}', "99"), ('{"for', "format.json"), ("", "format.json")]
)
def test_a_newer_or_unreadable_format_is_rejected(checkpoint: Path, content: str, named: str) -> None:
    (checkpoint / "format.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=named) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert error.value.remedy == Remedy.RESET


def test_a_checkpoint_without_format_file_is_older(checkpoint: Path) -> None:
    assert not is_older_format(checkpoint)
    (checkpoint / "format.json").unlink()  # the first format had no file
    check_checkpoint(checkpoint, QUERIES)
    assert is_older_format(checkpoint)


def test_only_errors_about_state_indicate_damage() -> None:
    assert indicates_damage("[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred during loading state.")
    assert not indicates_damage("org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node")
