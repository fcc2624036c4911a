"""The history is replaced in one step, even if a writer fails or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from weatherglass.history.versions import new_version

WRITER = """
import sys
from pathlib import Path
from weatherglass.history.versions import new_version
with new_version(Path(sys.argv[1]), "killed") as folder:
    (folder / "content").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def write(history: Path, content: str) -> None:
    with new_version(history, content) as folder:
        (folder / "content").write_text(content)


def fail(history: Path) -> None:
    with new_version(history, "failed") as folder:
        (folder / "content").write_text("half")
        raise RuntimeError


def test_a_writer_that_fails_or_is_killed_leaves_the_old_version(tmp_path: Path) -> None:
    history = tmp_path / "history"
    write(history, "old")
    with pytest.raises(RuntimeError):
        fail(history)
    assert (history / "content").read_text() == "old"
    assert len(list((tmp_path / "history.versions").iterdir())) == 1

    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(history)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    assert (history / "content").read_text() == "old"
    write(history, "new")
    assert (history / "content").read_text() == "new"
    assert not list((tmp_path / "history.versions").glob(".*"))


def test_a_version_is_on_the_disk_before_the_link_points_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def synced(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", lambda *paths: calls.append("renamed") or rename(*paths))
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append("linked") or replace(*paths))
    write(tmp_path / "history", "new")
    assert set(calls[:2]) == {"content", ".new"}
    assert calls[2:] == ["renamed", "history.versions", "linked", tmp_path.name]


def test_readers_always_see_a_complete_history(tmp_path: Path) -> None:
    history = tmp_path / "history"
    write(history, "0")
    done, finished, seen = threading.Event(), threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add((history / "content").read_text())
            finished.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 30):
            write(history, str(number))
            finished.clear()
            assert finished.wait(60), f"the history could not be read while version {number} was written"
    finally:
        done.set()
        reader.join()
    assert seen <= {str(number) for number in range(30)}
    kept = {version.name for version in (tmp_path / "history.versions").iterdir()}
    assert kept == {"28", "29"}, "the current version and the one before"


def test_the_version_before_the_current_one_is_kept_even_if_an_older_one_was_changed_later(tmp_path: Path) -> None:
    history, versions = tmp_path / "history", tmp_path / "history.versions"
    for name in ("first", "second"):
        write(history, name)
    os.utime(versions / "first", times=(2e9, 2e9))
    write(history, "third")
    assert {version.name for version in versions.iterdir()} == {"second", "third"}


def test_a_writer_that_is_killed_before_it_replaces_the_link_does_not_affect_the_next_one(tmp_path: Path) -> None:
    history = tmp_path / "history"
    write(history, "old")
    (tmp_path / "history.versions" / ".link").symlink_to("history.versions/old")
    write(history, "new")
    assert (history / "content").read_text() == "new"
    assert not list((tmp_path / "history.versions").glob(".*"))


def test_a_plain_folder_becomes_a_link_and_versions_are_not_overwritten(tmp_path: Path) -> None:
    history = tmp_path / "history"
    history.mkdir()
    (history / "content").write_text("before")
    write(history, "same")
    held = history.resolve()
    write(history, "same")
    assert history.is_symlink()
    assert (held.name, history.resolve().name) == ("same", "same.2")
    assert (held / "content").read_text() == "same"
