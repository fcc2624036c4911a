"""The checks of the broker's small files, on files of the form that Kafka writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from weatherglass.files import DamagedFileError
from weatherglass.launcher.kafka_files import META, METADATA_LOG, REMOVE, check_data, has_messages

ID = "kZT_sk_ASA2r5y4kQBEAwA"
META_CONTENT = f"#\nnode.id=1\ndirectory.id={ID}\nversion=1\ncluster.id={ID}\n"
PARTITION = f"version: 0\ntopic_id: {ID}"
BATCH = bytes(8) + (5).to_bytes(4, "big") + b"batch"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with partitions 0 and 1 of a topic; partition 1 has no messages yet."""
    folder = tmp_path / "data"
    files: dict[str, bytes] = {
        META: META_CONTENT.encode(),
        "bootstrap.checkpoint": 2 * BATCH,
        "cleaner-offset-checkpoint": b"",
        "replication-offset-checkpoint": b"0\n2\na-b 0 50\na-b 1 0\n",
        f"{METADATA_LOG}/quorum-state": b'{"leaderEpoch":1}',
        f"{METADATA_LOG}/partition.metadata": PARTITION.encode(),
        "a-b-0/partition.metadata": PARTITION.encode(),
        "a-b-0/leader-epoch-checkpoint": b"0\n1\n0 0\n",
        "a-b-0/00000000000000000000.log": BATCH,
        "a-b-1/partition.metadata": PARTITION.encode(),
        "a-b-1/00000000000000000000.log": b"",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def damage(data: Path) -> DamagedFileError:
    with pytest.raises(DamagedFileError) as error:
        check_data(data, data.parent / META)
    return error.value


def test_intact_files_pass_and_the_copy_is_kept(data: Path) -> None:
    check_data(data, data.parent / META)
    assert (data.parent / META).read_text() == META_CONTENT


@pytest.mark.parametrize("content", ["", META_CONTENT[:40], META_CONTENT[:-3], META_CONTENT.replace(ID, " ", 1), None])
def test_the_ids_of_the_cluster_are_restored_from_the_copy(data: Path, content: str | None) -> None:
    check_data(data, data.parent / META)
    (data / META).unlink()
    if content is not None:
        (data / META).write_text(content)
    error = damage(data)
    assert (error.file, error.remedy) == (data / META, f"Copy {data.parent / META} to it")
    assert (data.parent / META).read_text() == META_CONTENT, "the copy stays intact"


def test_without_a_copy_the_ids_must_be_restored_from_a_backup(data: Path) -> None:
    (data / META).write_bytes(b"")
    error = damage(data)
    assert error.file == data / META
    assert str(data.parent / META) not in error.remedy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bootstrap.checkpoint", b""),
        ("bootstrap.checkpoint", BATCH + BATCH[:9]),
        ("bootstrap.checkpoint", BATCH[:-1]),
        ("replication-offset-checkpoint", b"0\n2\na-b 0 50\n"),
        ("replication-offset-checkpoint", b"0\n2\na-b 0 50\na-b 1"),
        ("a-b-0/leader-epoch-checkpoint", b"0\n1\n"),
        ("a-b-0/leader-epoch-checkpoint", b"\0" * 8),
        (f"{METADATA_LOG}/quorum-state", b""),
        (f"{METADATA_LOG}/quorum-state", b'{"leader'),
        (f"{METADATA_LOG}/partition.metadata", b""),
        ("a-b-1/partition.metadata", b""),
    ],
)
def test_files_that_kafka_writes_again_are_to_be_removed(data: Path, name: str, content: bytes) -> None:
    (data / name).write_bytes(content)
    error = damage(data)
    assert (error.file, error.remedy) == (data / name, REMOVE)
    error.file.unlink()
    check_data(data, data.parent / META)


@pytest.mark.parametrize("content", [b"", PARTITION[:-1].encode(), None])
def test_the_id_of_a_topic_is_copied_from_another_partition(data: Path, content: bytes | None) -> None:
    file, other = data / "a-b-0" / "partition.metadata", data / "a-b-1" / "partition.metadata"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    error = damage(data)
    assert (error.file, error.remedy) == (file, f"Copy {other} to it")
    other.unlink()
    error = damage(data)
    assert error.file == file
    assert str(other) not in error.remedy


def test_a_partition_that_was_just_created_may_have_no_metadata_yet(data: Path) -> None:
    (data / "a-b-1" / "partition.metadata").unlink()
    check_data(data, data.parent / META)


def test_only_partitions_of_topics_have_messages(data: Path) -> None:
    assert has_messages(data)
    assert not has_messages(data / METADATA_LOG)
    assert not has_messages(data / "missing")
