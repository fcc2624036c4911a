"""Training as a Ray job: the steps of `ray_jobs.training` are Ray tasks, and this process only conducts them.

    python -m ray_jobs.train --size first|full [--trials N]

Reads the prepared history (leaving out what is replayed as the present), trains, scores on the last held-out stretch,
registers, and promotes what is better than the champion beyond chance. A training that was killed goes on where it
stopped. Its standard output is its progress.

On one machine the memory is shared with everything else that runs, so this process imports no model, every task's
process ends with its task (in a full training), and one part is fitted at a time on two threads.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError

from ray_jobs.training.folder import AlreadyTraining, Plan, TrainingFolder, code_version
from weatherglass.forecast.presets import SIZES
from weatherglass.history.prepared import read_manifest
from weatherglass.net import refusal
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings

SEED = 20130101
TEST_CASES = {"first": 2_000, "full": 8_000}
COMPARED = ("full",)
"""Sizes after which all candidates are compared; it takes minutes, which a first model is not to wait for."""
MAX_TRIALS = 40
STEP_LIMIT = {"first": 600.0, "full": 3600.0}
"""Seconds after which a step counts as hung."""
PULSE = 60.0
"""Seconds between lines about what is waited for."""
ACTOR_CPUS = 0.25
"""What an inference actor books at most."""

Say = Callable[[str], None]


class TrainingError(RuntimeError):
    """Training cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class Share:
    """What a task books, and the threads that it uses."""

    cpus: float
    threads: int


ONE_CORE = Share(0.8, 1)
"""On a small node: beside an inference actor (0.2) one task fits."""
TWO_CORES = Share(1.1, 2)
"""Of two cores one task at a time: two would need the memory twice."""


def run(settings: Settings, size: str, who: str, now: datetime, say: Say, trials: int = 0) -> dict[str, str]:
    """From prepared history to registered models, by kind; the process must be connected to Ray.

    Raises:
        TrainingError: the history is missing, too short, or lacks a variable; or the same training runs already.
    """
    manifest = read_manifest(settings.history_dir)
    if manifest is None:
        raise TrainingError(f"no history in {settings.history_dir}: run the DAG prepare_history first")
    wanted = Plan(size, SIZES[size], SEED, trials, TEST_CASES[size], manifest, code_version(), now, who)
    folder = TrainingFolder.open(settings.state_dir / "training", wanted)
    plan: Plan = folder.load("plan")
    say(f"history from {manifest.source}: {manifest.stations} stations, {manifest.first_hour} to {manifest.last_hour}")
    if plan.began != now:
        say(f"taking up the training begun at {iso(plan.began)}: what it has finished is kept")
    try:
        with folder.lock():
            conduct(settings, folder, plan, say)
            versions: dict[str, str] = folder.load("registered")
            folder.remove()
    except AlreadyTraining as error:
        raise TrainingError(str(error)) from None
    return versions


def conduct(settings: Settings, folder: TrainingFolder, plan: Plan, say: Say) -> None:
    """Have every step done that is not done yet, the independent ones side by side as far as there are cores.

    Raises:
        TrainingError: a step cannot be done.
    """
    _do(settings, folder, ["ground"], say)
    if plan.trials:
        _do(settings, folder, [f"trial-{number:02d}" for number in range(plan.trials + 1)], say)
    _do(settings, folder, ["detector", *folder.load("parts")], say)
    _do(settings, folder, ["scores"], say)
    _do(settings, folder, ["registered"], say)
    if plan.size in COMPARED:
        _do(settings, folder, ["candidates"], say)


def _do(settings: Settings, folder: TrainingFolder, steps: Iterable[str], say: Say) -> None:
    steps = list(steps)
    missing = [step for step in steps if not folder.has(step)]
    if kept := len(steps) - len(missing):
        say(f"{kept} of {len(steps)} found finished: {', '.join(step for step in steps if step not in missing)}")
    share, size = _share(settings), folder.load("plan").size
    task = (_ALONE if size == "full" else _IN_TURN).options(num_cpus=share.cpus)
    pending = {task.remote(settings, folder.path, step, share.threads, STEP_LIMIT[size]): step for step in missing}
    while pending:
        for line in _finished(folder, pending, len(steps), say):
            say(line)


def _finished(folder: TrainingFolder, pending: dict[ray.ObjectRef[str], str], count: int, say: Say) -> list[str]:
    """Wait for a step, telling meanwhile what is waited for; the step's lines, and it is pending no more."""
    began = time.monotonic()
    while True:
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=PULSE)
        for step, stack in folder.hung():
            say(f"the step {step} hung and was ended; it stood at:\n{stack}")
        if ready:
            break
        say(f"waiting for {', '.join(pending.values())} ({time.monotonic() - began:.0f} s)")
    step = pending.pop(ready[0])
    try:
        lines = ray.get(ready[0]).splitlines()
    except RayError as error:
        for other in pending:
            ray.cancel(other, force=True)
        cause = error.cause if isinstance(error, RayTaskError) else None
        if type(cause).__name__ == "CannotTrain":
            raise TrainingError(str(cause)) from None
        raise TrainingError(f"the step {step} failed: {error}") from error
    done = f"{count - len(pending)} of {count} parts: " if count > 1 else ""
    return [done + lines[0], *lines[1:]]


def _step(settings: Settings, path: Path, step: str, threads: int, limit: float) -> str:
    with TrainingFolder(path).watched(step, limit):
        from ray_jobs.training import steps

        return steps.run(settings, path, step, threads)


_ALONE = ray.remote(max_calls=1, max_retries=2)(_step)
"""A process that ends with its task gives back what it grew to."""
_IN_TURN = ray.remote(max_retries=2)(_step)
"""Starting a process for each task takes as long as a small training itself."""


def _share(settings: Settings) -> Share:
    """Two cores for a task where a node has them beside the inference actors."""
    most = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    return TWO_CORES if most - settings.inference_actors * ACTOR_CPUS >= TWO_CORES.cpus else ONE_CORE


def connect(settings: Settings) -> None:
    """Join the running Ray: the one that runs this job, else the head of the settings.

    Raises:
        TrainingError: nobody answers there. (`ray.init` would wait for minutes.)
    """
    address = os.environ.get("RAY_ADDRESS") or settings.ray_head
    if why := refusal(address):
        raise TrainingError(
            f"no Ray head answers at {address} ({why}): see whether it runs and read its log "
            "(docs/troubleshooting.md, Logs)"
        )
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.train", description="Train and register the models.")
    parser.add_argument(
        "--size", choices=sorted(TEST_CASES), default="full", help="first: quick and small; full: proper"
    )
    parser.add_argument(
        "--trials", type=int, choices=range(MAX_TRIALS + 1), default=0, metavar="N", help="sizes to try first"
    )
    parser.add_argument("--who", default="train_models", help="who asks, for the promotions log")
    options = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {line}", flush=True)

    settings = load_settings()
    try:
        connect(settings)
        run(settings, options.size, options.who, datetime.now(UTC), say, options.trials)
    except TrainingError as error:
        print(f"training failed: {error}", file=sys.stderr, flush=True)
        return 1
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
