"""Writing in one step, on the disk and with a full disk; reading of damaged files."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weatherglass.files import DamagedFileError, read_json, replacing, sync_tree, write_atomically


def test_content_is_replaced_and_no_temporary_file_remains(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "old ü")
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_an_exception_keeps_the_old_content_and_removes_the_temporary_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "old")
    with pytest.raises(IsADirectoryError), replacing(file) as temporary:
        Path(temporary.parent).write_text("half")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    write_atomically(tmp_path / "secret", "x", private=True)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """The calls that bring data to the disk, in order: (`sync` or `rename`, path)."""
    made: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        made.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        made.append(("rename", Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    return made


def test_the_content_is_on_the_disk_before_it_gets_its_name_and_then_the_name(
    tmp_path: Path, calls: list[tuple[str, Path]]
) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "x")
    (first, temporary), *others = calls
    assert (first, temporary.parent) == ("sync", tmp_path)
    assert temporary != file
    assert others == [("rename", file), ("sync", tmp_path)]


def test_a_tree_is_synced_completely(tmp_path: Path, calls: list[tuple[str, Path]]) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    sync_tree(tmp_path)
    assert {path for _, path in calls} == {tmp_path, tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/file"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_old_content(small_disk: Path) -> None:
    file = small_disk / "state.json"
    write_atomically(file, "old")
    with pytest.raises(OSError) as error:  # noqa: PT011  (its code is checked below)
        write_atomically(file, b"x" * 100_000)
    assert error.value.errno == errno.ENOSPC
    assert file.read_text() == "old"
    assert list(small_disk.iterdir()) == [file]
    write_atomically(file, "new")
    assert file.read_text() == "new"


def test_a_write_beyond_the_limit_of_file_sizes_keeps_the_old_content(tmp_path: Path) -> None:
    """The same for a user who cannot mount file systems: the system refuses the write after a part of the content."""
    file = tmp_path / "state.json"
    write_atomically(file, "old")
    code = (
        "import resource, sys; from pathlib import Path; from weatherglass.files import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_atomically(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except OSError as error: sys.exit(error.errno)"
    )
    status = subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode
    assert status == errno.EFBIG
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def parse_number(content: Any) -> int:
    return int(content["number"])


def test_an_intact_file_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, json.dumps({"number": 3}))
    assert read_json(file, parse_number, "restore it") == 3


def test_a_missing_file_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "a.json", parse_number, "restore it")


DAMAGED = (
    *(b"", b" \n", b"\0" * 20, b'{"num', b"\xff\xfe", b"[" * 100_000),
    *(b"null", b"[]", b"[1]", b"7", b'"number"', b"{}", b'{"number": "x"}', b'{"number": []}'),
)


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(DamagedFileError) as error:
        read_json(file, parse_number, "restore it")
    assert (error.value.file, error.value.remedy) == (file, "restore it")
    assert str(file) in str(error.value)
    assert "restore it" in str(error.value)
    assert file.read_bytes() == content, "reading changes nothing"


def test_readers_see_old_or_new_content_while_writers_compete(tmp_path: Path) -> None:
    file, size = tmp_path / "a", 100_000
    write_atomically(file, "0" * size)

    def write(digit: str) -> None:
        for _ in range(50):
            write_atomically(file, digit * size, durable=False)

    writers = [threading.Thread(target=write, args=(digit,)) for digit in "123"]
    for writer in writers:
        writer.start()
    seen = [file.read_text()]
    while any(writer.is_alive() for writer in writers):
        seen.append(file.read_text())
    for content in seen:
        assert len(content) == size
        assert len(set(content)) == 1
