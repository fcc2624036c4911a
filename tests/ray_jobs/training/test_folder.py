"""What an interrupted training leaves behind, and which training resumes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ray_jobs.training.folder import RETENTION, AlreadyTraining, TrainingFolder
from ray_jobs.training.plan import TrainingPlan
from ray_jobs.training.result_files import ARRAYS, VALUES
from weatherglass.files import DamagedFileError
from weatherglass.forecast.presets import FIRST
from weatherglass.history.prepared import Manifest

NOW = datetime(2026, 1, 5, tzinfo=UTC)
HISTORY = Manifest("kaggle", "aa", "2012-10-03T00:00:00Z", "2016-11-30T23:00:00Z", 1000, 36)
PLAN = TrainingPlan("first", FIRST, 1, 0, 300, HISTORY, "c0de", NOW, "a test", "no earlier training")

LOCK_HOLDER = """
import sys
from pathlib import Path
from ray_jobs.training.folder import TrainingFolder
with TrainingFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_same_training_finds_the_finished_steps_and_keeps_its_plan(tmp_path: Path) -> None:
    TrainingFolder.open(tmp_path, PLAN).save("step", {"a": "1"})
    later = replace(PLAN, started_at=NOW + RETENTION, requested_by="another user")
    resumed = TrainingFolder.open(tmp_path, later)
    assert resumed.load("step", dict[str, str]) == {"a": "1"}
    assert resumed.plan() == PLAN, "the excluded stretches depend on the time of the first start"


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, seed=2),
        replace(PLAN, code="other"),
        replace(PLAN, search_trials=3),
        replace(PLAN, test_cases=301),
        replace(PLAN, size="full"),
        replace(PLAN, model_size=replace(FIRST, trees=7)),
        replace(PLAN, manifest=replace(HISTORY, fingerprint="bb")),
        replace(PLAN, started_at=NOW + RETENTION + timedelta(seconds=1)),
    ],
    ids=["seed", "code", "trials", "test cases", "size", "model size", "data", "too old"],
)
def test_another_training_finds_no_finished_steps(tmp_path: Path, other: TrainingPlan) -> None:
    TrainingFolder.open(tmp_path, PLAN).save("step", 1)
    folder = TrainingFolder.open(tmp_path, other)
    assert not folder.has("step")
    assert folder.plan() == other


@pytest.mark.parametrize("name", [VALUES, ARRAYS])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_training_with_a_damaged_plan_starts_again(tmp_path: Path, name: str, share: float) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    folder.save("step", 1)
    truncate(folder.path / "results" / "plan" / name, share)
    again = TrainingFolder.open(tmp_path, PLAN)
    assert again.plan() == PLAN
    assert not again.has("step")


@pytest.mark.parametrize("name", [VALUES, ARRAYS])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_result_is_named_and_removing_it_repeats_the_step(tmp_path: Path, name: str, share: float) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    folder.save("step", {"a": "1"})
    file = folder.path / "results" / "step" / name
    truncate(file, share)
    with pytest.raises(DamagedFileError) as error:
        folder.load("step", dict[str, str])
    assert error.value.file == file
    assert str(file.parent) in error.value.remedy
    shutil.rmtree(file.parent)
    assert not TrainingFolder.open(tmp_path, PLAN).has("step")


def truncate(file: Path, share: float) -> None:
    os.truncate(file, int(file.stat().st_size * share))


def test_a_failed_write_leaves_no_result(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    with pytest.raises(TypeError):
        folder.save("step", object())
    assert not folder.has("step")
    assert {path.name for path in (folder.path / "results").iterdir()} == {"plan"}


def test_a_repeated_step_replaces_its_result(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    for result in ([1], [2]):
        folder.save("step", result)
    assert folder.load("step", list[int]) == [2]
    assert {path.name for path in (folder.path / "results").iterdir()} == {"plan", "step"}


def test_one_process_at_a_time_holds_the_lock_and_a_killed_one_releases_it(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK_HOLDER, str(folder.path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
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


HANGING_STEP = """
import sys, time
from pathlib import Path
from ray_jobs.training.folder import TrainingFolder
def hang():
    time.sleep(600)
# Long enough to reach `hang` on a slow machine.
with TrainingFolder(Path(sys.argv[1])).watchdog("step", 5):
    hang()
"""


def test_a_hung_step_is_ended_and_its_stack_is_returned_once(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    process = subprocess.run([sys.executable, "-c", HANGING_STEP, str(folder.path)], check=False, timeout=300)
    assert process.returncode == 1
    ((step, stack),) = folder.hung_steps()
    assert step == "step"
    assert "hang" in stack
    assert folder.hung_steps() == []


def test_a_step_that_ends_in_time_is_not_hung(tmp_path: Path) -> None:
    folder = TrainingFolder.open(tmp_path, PLAN)
    with folder.watchdog("step", 600):
        assert folder.hung_steps() == []
    with pytest.raises(ZeroDivisionError), folder.watchdog("other", 600):
        raise ZeroDivisionError
    # A step that ends while `hung_steps` runs: its file is listed, and gone when it is read.
    (folder.path / ".third.1.stack").symlink_to("gone")
    assert folder.hung_steps() == []
