"""Which files of the watched folder are complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from producer.incoming import DONE, FAILED, MAX_NAME_BYTES, FileState, SettledFiles, waiting_files

SECONDS = 10.0


@pytest.fixture
def files(tmp_path: Path) -> SettledFiles:
    return SettledFiles(tmp_path, SECONDS)


def test_a_file_is_complete_when_it_has_not_changed_for_some_time(files: SettledFiles) -> None:
    file = files.folder / "a.csv"
    file.write_text("x")
    assert files.poll(0) == []
    assert files.poll(SECONDS - 1) == []
    assert files.poll(SECONDS) == [file]


def test_a_file_that_is_still_written_is_not_complete(files: SettledFiles) -> None:
    file = files.folder / "a.csv"
    for number in range(5):
        with file.open("a") as writer:
            writer.write("x")
        assert files.poll(number * (SECONDS - 1)) == []
    assert files.poll(4 * (SECONDS - 1) + SECONDS) == [file]


def test_old_times_of_a_copied_file_do_not_make_it_complete(files: SettledFiles) -> None:
    """As `cp --preserve` and rsync do, which may not have copied everything yet."""
    file = files.folder / "a.csv"
    for number in range(3):
        file.write_text("x" * (number + 1))
        os.utime(file, (0, 0))
        assert files.poll(number * (SECONDS - 1)) == []


def test_a_file_of_the_same_size_that_is_renamed_over_another_is_a_new_file(files: SettledFiles) -> None:
    file = files.folder / "a.csv"
    file.write_text("x")
    os.utime(file, (0, 0))
    files.poll(0)
    other = files.folder / ".a.csv"
    other.write_text("y")
    os.utime(other, (0, 0))
    other.rename(file)
    assert files.poll(SECONDS) == []
    assert files.poll(2 * SECONDS) == [file]


def test_a_removed_file_is_forgotten(files: SettledFiles) -> None:
    file = files.folder / "a.csv"
    file.write_text("x")
    files.poll(0)
    file.unlink()
    assert FileState.of(file) is None
    assert files.poll(SECONDS) == []


def test_files_of_the_folder_and_of_mappings_wait_but_no_incomplete_processed_or_linked_ones(tmp_path: Path) -> None:
    for folder in (DONE, FAILED, "garden", "garden/deeper", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    waiting = ["a.csv", "b.sdb", "garden/c.csv"]
    others = [".a.csv", "a.csv.part", "B.TMP", "a.csv~", "done/d.csv", "failed/e.csv", "garden/deeper/f.csv"]
    for name in (*waiting, *others, ".hidden/g.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "linked").symlink_to(tmp_path / "garden")
    files, problems = waiting_files(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in files] == waiting
    assert problems == []


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").touch()
    scandir = os.scandir

    def forbid_b(path: Path) -> Any:
        if path == tmp_path / "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid_b)
    files, problems = waiting_files(tmp_path)
    assert files == [tmp_path / "a" / "x.csv", tmp_path / "c" / "x.csv"]
    assert [str(tmp_path / "b") in problem for problem in problems] == [True]


@pytest.mark.parametrize("name", [b"Au\xdfen.csv", b"x" * (MAX_NAME_BYTES + 1)])
def test_a_name_that_a_report_cannot_have_is_a_problem_and_the_others_are_found(tmp_path: Path, name: bytes) -> None:
    for file in (os.fsdecode(name), "x" * MAX_NAME_BYTES):
        (tmp_path / file).write_text("x")
    files, problems = waiting_files(tmp_path)
    assert [file.name for file in files] == ["x" * MAX_NAME_BYTES]
    assert len(problems) == 1
    assert problems[0].isascii()


def test_a_subfolder_that_files_cannot_be_moved_from_is_a_problem_and_the_others_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("closed", "open"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("x")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    files, problems = waiting_files(tmp_path)
    assert files == [tmp_path / "open" / "a.csv"]
    assert [str(tmp_path / "closed") in problem for problem in problems] == [True]
