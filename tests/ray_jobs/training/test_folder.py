"""What a killed training leaves, and to whom it belongs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ray_jobs.training.folder import KEPT, AlreadyTraining, Plan, TrainingFolder
from weatherglass.forecast.presets import FIRST
from weatherglass.history.prepared import Manifest

NOW = datetime(2026, 1, 5, tzinfo=UTC)
HISTORY = Manifest("kaggle", "aa", "2012-10-03T00:00:00Z", "2016-11-30T23:00:00Z", 1000, 36)
PLAN = Plan("first", FIRST, 1, 0, 300, HISTORY, "c0de", NOW, "a test")

HOLDER = """
import sys
from pathlib import Path
from ray_jobs.training.folder import TrainingFolder
with TrainingFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_same_training_finds_what_is_finished_and_another_does_not(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    folder.save("ground", {"a": 1})
    later = replace(PLAN, began=NOW + KEPT / 2, who="somebody else")
    again = TrainingFolder.open(tmp_path, later)
    assert again.load("ground") == {"a": 1}
    assert again.load("plan").began == NOW, "what is left out of the history stays the same"
    others = [
        replace(PLAN, seed=2),
        replace(PLAN, code="other"),
        replace(PLAN, trials=3),
        replace(PLAN, shape=replace(FIRST, trees=7)),
        replace(PLAN, manifest=replace(HISTORY, fingerprint="bb")),
    ]
    assert not any(TrainingFolder.open(tmp_path, other).has("ground") for other in others)
    assert not TrainingFolder.open(tmp_path, replace(PLAN, began=NOW + 2 * KEPT)).has("ground"), "too old"
    assert (tmp_path / PLAN.key).stat().st_mode & 0o077 == 0, "only its owner may write what is unpickled"


def test_a_result_is_whole_or_absent(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    with pytest.raises(TypeError):
        folder.save("part", (number for number in range(3)))  # a generator cannot be pickled
    assert not folder.has("part")
    folder.save("part", [1])
    assert folder.load("part") == [1]


def test_one_conductor_at_a_time_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyTraining, match=PLAN.key), folder.lock():
            pass
    finally:
        holder.kill()
        holder.communicate()
    with folder.lock():
        folder.remove()
    assert not folder.path.exists()


HANGS = """
import sys, time
from pathlib import Path
from ray_jobs.training.folder import TrainingFolder
def stands_here():
    time.sleep(600)
# Long enough to be there by then, on the slowest machine.
with TrainingFolder(Path(sys.argv[1])).watched("part", 5):
    stands_here()
"""


def test_a_step_that_hangs_ends_and_tells_where_it_stood_once(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    process = subprocess.run([sys.executable, "-c", HANGS, str(folder.path)], check=False, timeout=300)
    assert process.returncode == 1
    ((step, stack),) = folder.hung()
    assert step == "part"
    assert "stands_here" in stack
    assert folder.hung() == []


def test_a_step_that_ends_in_time_has_not_hung(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    with folder.watched("part", 600):
        assert folder.hung() == []
    with pytest.raises(ZeroDivisionError), folder.watched("other", 600):
        raise ZeroDivisionError
    # One that ends while one looks: its file is seen, and gone when it is read.
    (folder.path / ".third.1.stack").symlink_to("gone")
    assert folder.hung() == []
