"""The history is replaced in one step, even if a writer fails or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from weatherglass.history.versions import KEPT, new_version

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


def test_readers_always_see_a_complete_history(tmp_path: Path) -> None:
    history = tmp_path / "history"
    write(history, "0")
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add((history / "content").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    failures = []
    try:
        for number in range(1, 30):
            write(history, str(number))
            if not reader.is_alive():
                failures.append(number)
    finally:
        done.set()
        reader.join()
    assert not failures
    assert seen <= {str(number) for number in range(30)}
    assert len(list((tmp_path / "history.versions").iterdir())) == KEPT


def test_a_plain_folder_becomes_a_link_and_versions_are_not_overwritten(tmp_path: Path) -> None:
    history = tmp_path / "history"
    history.mkdir()
    (history / "content").write_text("before")
    write(history, "same")
    held = history.resolve()
    write(history, "same")
    assert history.is_symlink()
    assert history.resolve() != held
    assert (held / "content").read_text() == "same"
