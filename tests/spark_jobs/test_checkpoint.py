"""Checks of the checkpoint: damaged ones are rejected with instructions, intact ones are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.checkpoint import CheckpointError, Remedy, check_checkpoint, indicates_damage, is_older_format

QUERIES = ["features"]
OFFSETS = 'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1,"conf":{}}\n{"weather-raw":{"0":5}}'
COMMIT = 'v1\n{"nextBatchWatermarkMs":0}'


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint with two finished batches and one that was started."""
    folder = tmp_path / "checkpoint"
    check_checkpoint(folder, QUERIES)
    for log, content, batches in (("offsets", OFFSETS, 3), ("commits", COMMIT, 2)):
        (folder / "features" / log).mkdir(parents=True)
        for number in range(batches):
            (folder / "features" / log / str(number)).write_text(content, encoding="utf-8")
    return folder


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
    assert str(entry) in str(error.value)
    assert f"{size} bytes" in str(error.value)
    assert entry.read_text(encoding="utf-8") == content, "the check changes nothing"


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
    for file in (checkpoint / "features" / "offsets").iterdir():
        file.unlink()
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(checkpoint, QUERIES)
    assert error.value.remedy == Remedy.RESET
    assert str(checkpoint) in str(error.value)


@pytest.mark.parametrize(("content", "named"), [('{"format": 99}', "99"), ('{"for', "format.json")])
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
