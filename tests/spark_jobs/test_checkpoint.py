"""A checkpoint that cannot be trusted is refused, with words that say what to do; a sound one is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.checkpoint import CheckpointError, check, damages, is_older

QUERIES = ["features"]
OFFSETS = 'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1,"conf":{}}\n{"weather-raw":{"0":5}}'
COMMIT = 'v1\n{"nextBatchWatermarkMs":0}'


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of two finished batches and one that had begun."""
    folder = tmp_path / "checkpoint"
    check(folder, QUERIES)
    for log, content, batches in (("offsets", OFFSETS, 3), ("commits", COMMIT, 2)):
        (folder / "features" / log).mkdir(parents=True)
        for number in range(batches):
            (folder / "features" / log / str(number)).write_text(content, encoding="utf-8")
    return folder


def test_a_new_and_a_sound_one_are_taken(checkpoint: Path) -> None:
    check(checkpoint, QUERIES)


@pytest.mark.parametrize("left", [0, 2, 3, 20])
@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("offsets/2", "planned anew"),
        ("offsets/1", "To start afresh"),
        ("offsets/0", "To start afresh"),
        ("commits/1", "done once more"),
        ("commits/0", "To start afresh"),
    ],
)
def test_a_torn_entry_is_named_with_what_to_do(checkpoint: Path, file: str, left: int, advice: str) -> None:
    torn = checkpoint / "features" / file
    content = torn.read_text(encoding="utf-8")[:left]
    torn.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=advice) as error:
        check(checkpoint, QUERIES)
    assert f"{torn} is torn ({left} bytes)" in str(error.value)
    assert torn.read_text(encoding="utf-8") == content, "left as it was"


@pytest.mark.parametrize(("file", "advice"), [("offsets/2", "planned"), ("commits/1", "once more")])
def test_the_advice_about_one_entry_helps(checkpoint: Path, file: str, advice: str) -> None:
    torn = checkpoint / "features" / file
    torn.write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"remove {torn}"):
        check(checkpoint, QUERIES)
    torn.unlink()
    check(checkpoint, QUERIES)


def test_lost_offsets_are_no_fresh_start(checkpoint: Path) -> None:
    for file in (checkpoint / "features" / "offsets").iterdir():
        file.unlink()
    with pytest.raises(CheckpointError, match=r"lacks batch 1.*To start afresh, move"):
        check(checkpoint, QUERIES)


@pytest.mark.parametrize(("mark", "words"), [('{"format": 99}', "format 99"), ('{"for', "unknown .* is torn")])
def test_a_newer_or_unknown_format_is_refused(checkpoint: Path, mark: str, words: str) -> None:
    (checkpoint / "format.json").write_text(mark, encoding="utf-8")
    with pytest.raises(CheckpointError, match=words):
        check(checkpoint, QUERIES)


def test_an_older_format_is_told_from_todays(checkpoint: Path) -> None:
    assert not is_older(checkpoint)
    (checkpoint / "format.json").unlink()  # the first format was not noted
    check(checkpoint, QUERIES)
    assert is_older(checkpoint)


def test_sparks_words_for_a_damaged_state_are_known() -> None:
    assert damages("[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred during loading state.")
    assert not damages("org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node")
