from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from weatherglass.files import replacing, write_atomically


def test_content_is_replaced_and_no_temporary_file_remains(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "old ü")
    write_atomically(file, b"new", durable=True)
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


def test_readers_see_old_or_new_content_while_writers_compete(tmp_path: Path) -> None:
    file, size = tmp_path / "a", 100_000
    write_atomically(file, "0" * size)

    def write(digit: str) -> None:
        for _ in range(50):
            write_atomically(file, digit * size)

    writers = [threading.Thread(target=write, args=(digit,)) for digit in "123"]
    for writer in writers:
        writer.start()
    seen = [file.read_text()]
    while any(writer.is_alive() for writer in writers):
        seen.append(file.read_text())
    for content in seen:
        assert len(content) == size
        assert len(set(content)) == 1
