"""The order, resources and messages of the steps of a training, with a substitute for Ray."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayError, RayTaskError

from ray_jobs import train
from ray_jobs.training.folder import TrainingFolder
from ray_jobs.training.plan import MAX_SEARCH_TRIALS, TrainingDataError
from weatherglass.settings import Settings


class Tasks:
    """Runs tasks in the order of `finish`; a task is represented by the name of its step."""

    def __init__(self, cores: Iterable[float] = (2,), results: dict[str, object] | None = None):
        self.results = results or {}
        self.nodes_ = [{"Alive": True, "Resources": {"CPU": float(count)}} for count in cores]
        self.started: list[tuple[str, int, float]] = []
        self.options_: list[tuple[str, float]] = []
        self.cancelled: list[str] = []
        self.idle_waits = 0

    def nodes(self) -> list[dict[str, Any]]:
        return [*self.nodes_, {"Alive": False, "Resources": {"CPU": 64.0}}, {"Alive": True, "Resources": {}}]

    def pool(self, name: str) -> Any:
        tasks = self

        class Pool:
            def options(self, num_cpus: float) -> Pool:
                tasks.options_.append((name, num_cpus))
                return self

            def remote(self, settings: Settings, path: Path, step: str, threads: int, timeout: float) -> str:
                tasks.started.append((step, threads, timeout))
                return step

        return Pool()

    def wait(self, pending: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        if self.idle_waits:
            self.idle_waits -= 1
            return [], pending
        return pending[:num_returns], pending[num_returns:]

    def get(self, step: str) -> str:
        result = self.results.get(step, f"{step} done\ndetail")
        if isinstance(result, Exception):
            raise result
        return str(result)

    def cancel(self, step: str, force: bool) -> None:
        assert force
        self.cancelled.append(step)


def run(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tasks: Tasks, steps: list[str], size: str = "first"
) -> list[str]:
    """Run one stage, of which the step `finished` has a result already; returns the reported lines."""
    for name in ("nodes", "wait", "get", "cancel"):
        monkeypatch.setattr(train.ray, name, getattr(tasks, name))
    for name in ("_OWN_PROCESS", "_SHARED_PROCESS"):
        monkeypatch.setattr(train, name, tasks.pool(name))
    folder = TrainingFolder(settings.state_dir / "training")
    if not folder.has("finished"):
        folder.save("finished", {"result": 1})
    lines: list[str] = []
    train._run_stage(settings, folder, size, steps, lines.append)
    return lines


def test_only_unfinished_steps_run_and_every_line_counts_them(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    tasks = Tasks()
    lines = run(monkeypatch, settings, tasks, ["a", "finished", "b"])
    assert [step for step, _, _ in tasks.started] == ["a", "b"]
    assert {timeout for _, _, timeout in tasks.started} == {train.STEP_TIMEOUT_SECONDS["first"]}
    announced, *progress = lines
    assert announced.startswith("1 of 3 ")
    assert announced.endswith(": finished")
    assert progress == ["2 of 3 steps: a done", "detail", "3 of 3 steps: b done", "detail"]
    assert run(monkeypatch, settings, Tasks(), ["a"]) == ["a done", "detail"]  # a single step has no number


def test_a_long_wait_reports_the_pending_steps_and_the_stack_of_a_hung_one(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    tasks = Tasks()
    tasks.idle_waits = 1
    folder = settings.state_dir / "training"
    folder.mkdir(parents=True)
    (folder / ".b.17.stack").write_text("File fit.py")
    hung, waiting, *_ = run(monkeypatch, settings, tasks, ["a", "b"])
    assert "step b " in hung
    assert "File fit.py" in hung
    assert re.fullmatch(r"waiting \d+ s for a, b", waiting)


@pytest.mark.parametrize(
    ("cores", "cpus", "threads"),
    [
        # while two actors reserve 0.25 CPUs each
        ([1.5], 0.8, 1),
        ([1.6], 1.1, 2),
        ([0.7, 1.7], 1.1, 2),
    ],
)
@pytest.mark.parametrize(("size", "pool"), [("first", "_SHARED_PROCESS"), ("full", "_OWN_PROCESS")])
def test_a_task_gets_two_cores_if_a_node_has_them_beside_the_actors(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    cores: list[float],
    cpus: float,
    threads: int,
    size: str,
    pool: str,
) -> None:
    tasks = Tasks(cores)
    run(monkeypatch, settings.model_copy(update={"inference_actors": 2}), tasks, ["a"], size)
    assert tasks.options_ == [(pool, cpus)]
    assert tasks.started == [("a", threads, train.STEP_TIMEOUT_SECONDS[size])]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RayTaskError("run", "traceback", TrainingDataError("only 3 days")), "^only 3 days$"),
        (RayTaskError("run", "traceback", ValueError("x")), "step a failed"),
        (RayError("lost"), "step a failed: lost"),
    ],
)
def test_a_failed_step_cancels_the_others(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, error: Exception, message: str
) -> None:
    tasks = Tasks(results={"a": error})
    with pytest.raises(train.TrainingError, match=message):
        run(monkeypatch, settings, tasks, ["a", "b", "c"])
    assert tasks.cancelled == ["b", "c"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_options_of_the_command_reach_the_training(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, capsys: pytest.CaptureFixture[str], fails: bool
) -> None:
    calls: list[tuple[object, ...]] = []

    def run(settings: Settings, size: str, by: str, now: datetime, report: train.Report, trials: int) -> None:
        calls.append((size, by, trials))
        report("a line")
        if fails:
            raise train.TrainingError("no history")

    monkeypatch.setattr(train, "load_settings", lambda: settings)
    monkeypatch.setattr(train, "connect", lambda _: None)
    monkeypatch.setattr(train, "run", run)

    def main(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["train", *arguments])
        return train.main()

    assert main() == main("--size", "first", "--trials", str(MAX_SEARCH_TRIALS), "--requested-by", "me") == int(fails)
    assert calls == [("full", "train_models", 0), ("first", "me", MAX_SEARCH_TRIALS)]
    out, err = capsys.readouterr()
    assert [line.partition("] ")[2] for line in out.splitlines()] == (["a line"] if fails else ["a line", "done"]) * 2
    assert err == 2 * "training failed: no history\n" * fails
    for invalid in (["--trials", str(MAX_SEARCH_TRIALS + 1)], ["--trials", "-1"], ["--size", "huge"]):
        with pytest.raises(SystemExit):
            main(*invalid)
    assert len(calls) == 2
