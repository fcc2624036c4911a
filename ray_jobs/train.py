"""Training as a Ray job: this process runs the steps of `ray_jobs.training` as Ray tasks.

    python -m ray_jobs.train --size first|full|refit [--trials N]

Reads the prepared history (except what is replayed as the present), fits the models, scores them on the last, held-out
period, registers them, and promotes a forecaster that is significantly better than the champion. A training that was
killed is resumed where it stopped. Its standard output is its progress.

A single machine shares its memory with all other services. Therefore this process imports no model, the process of a
task ends with the task (in a full training), and one model is fitted at a time, on two threads.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import psutil
import ray
from ray.exceptions import RayError, RayTaskError

from ray_jobs.training.folder import AlreadyTraining, TrainingFolder
from ray_jobs.training.plan import (
    MAX_SEARCH_TRIALS,
    REFIT,
    REGISTERED,
    SEED,
    TEST_CASES,
    EarlierTrainings,
    TrainingDataError,
    TrainingPlan,
    code_version,
    read_earlier_trainings,
)
from weatherglass.files import DamagedFileError
from weatherglass.forecast.presets import SIZES
from weatherglass.history.prepared import Manifest, read_complete_manifest
from weatherglass.net import connection_error
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings

STEP_TIMEOUT_SECONDS = {"first": 600.0, "full": 3600.0, REFIT: 1800.0}
"""A step that takes longer counts as hung."""
STATUS_INTERVAL_SECONDS = 60.0
"""Interval between log lines while waiting for a step."""
NICENESS = 10
"""Of the processes that train, so that they do not delay the pipeline on the same machine; they get a tenth of a core
that other processes want as well."""
ACTOR_CPUS = 0.25
"""Upper bound of what an inference actor reserves."""

Report = Callable[[str], None]
T = TypeVar("T")


class TrainingError(RuntimeError):
    """The training cannot run. The message names the cause and a remedy."""


@dataclass(frozen=True)
class TaskResources:
    """CPUs that a task reserves in Ray, and the threads that it uses."""

    cpus: float
    threads: int


ONE_CORE = TaskResources(0.8, 1)
"""On a small node one task fits next to an inference actor (0.2)."""
TWO_CORES = TaskResources(1.1, 2)
"""One task at a time on two cores; two would need the memory twice."""


def run(
    settings: Settings, size: str, requested_by: str, now: datetime, report: Report, search_trials: int = 0
) -> dict[str, str]:
    """Train and register the models; versions by model kind. The process must be connected to Ray.

    Args:
        size: `first`, `full`, or `refit`, which keeps the trees of the champion.
        now: UTC.
        report: receives the lines of progress.

    Raises:
        TrainingError: the history is missing, damaged, too short, or lacks a variable; or the same training is running.
    """
    try:
        manifest = read_complete_manifest(settings.history_dir)
    except DamagedFileError as error:
        raise TrainingError(str(error)) from None
    if manifest is None:
        raise TrainingError(f"no history in {settings.history_dir}: run the DAG prepare_history first")
    earlier = _earlier_trainings(settings, size, manifest, report)
    requested = TrainingPlan(
        *(
            size,
            SIZES[earlier.kept.size if earlier.kept else size],
            SEED,
            search_trials,
            TEST_CASES[size],
            manifest,
            code_version(),
            now,
            requested_by,
        ),
        *earlier,
    )
    folder = TrainingFolder.open(settings.state_dir / "training", requested)
    plan = folder.plan()
    period = f"{manifest.first_hour} to {manifest.last_hour}"
    report(f"history from {manifest.source}: {manifest.stations} stations, {period}")
    report(plan.new_data)
    if plan.started_at != now:
        report(f"resuming the training started at {iso(plan.started_at)}; finished steps are kept")
    try:
        with folder.lock():
            run_steps(settings, folder, plan, report)
            versions = folder.load(REGISTERED, dict[str, str])
            folder.remove()
    except AlreadyTraining as error:
        raise TrainingError(str(error)) from None
    return versions


def _earlier_trainings(settings: Settings, size: str, manifest: Manifest, report: Report) -> EarlierTrainings:
    """Read the registry in a task: in a cluster the workers reach the database, the node of this process does not.

    Raises:
        TrainingError: there is nothing to refit, or the task failed.
    """
    task = _READ_REGISTRY.remote(settings, size, manifest)
    while not ray.wait([task], timeout=STATUS_INTERVAL_SECONDS)[0]:
        report("waiting for a free core to read the registry")
    return _result(task, "reading the registry")


def _result(task: ray.ObjectRef[T], name: str) -> T:
    """The result of a task that has ended.

    Raises:
        TrainingError: the task failed.
    """
    try:
        return ray.get(task)
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else None
        if isinstance(cause, TrainingDataError):
            raise TrainingError(str(cause)) from None
        raise TrainingError(f"{name} failed: {error}") from error


def run_steps(settings: Settings, folder: TrainingFolder, plan: TrainingPlan, report: Report) -> None:
    """Run every step that is not finished. Steps of one stage run in parallel as far as there are cores.

    Raises:
        TrainingError: a step failed.
    """
    for stage in plan.stages:
        _run_stage(settings, folder, plan.size, stage, report)


def _run_stage(settings: Settings, folder: TrainingFolder, size: str, steps: Sequence[str], report: Report) -> None:
    finished = [step for step in steps if folder.has(step)]
    if finished:
        report(f"{len(finished)} of {len(steps)} steps already finished: {', '.join(finished)}")
    resources = _resources(settings)
    task = (_OWN_PROCESS if size == "full" else _SHARED_PROCESS).options(num_cpus=resources.cpus)
    timeout = STEP_TIMEOUT_SECONDS[size]
    pending = {
        task.remote(settings, folder.path, step, resources.threads, timeout): step
        for step in steps
        if step not in finished
    }
    while pending:
        for line in _wait_for_step(folder, pending, len(steps), report):
            report(line)


def _wait_for_step(
    folder: TrainingFolder, pending: dict[ray.ObjectRef[str], str], count: int, report: Report
) -> list[str]:
    """Wait for the next step to finish, reporting the status meanwhile; removes it from `pending`, returns its lines.

    Raises:
        TrainingError: the step failed; the other pending steps are cancelled.
    """
    began = time.monotonic()
    while True:
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=STATUS_INTERVAL_SECONDS)
        for step, stack in folder.hung_steps():
            report(f"step {step} hung and was ended; its stack:\n{stack}")
        if ready:
            break
        report(f"waiting {time.monotonic() - began:.0f} s for {', '.join(pending.values())}")
    step = pending.pop(ready[0])
    try:
        lines = _result(ready[0], f"step {step}").splitlines()
    except TrainingError:
        for other in pending:
            ray.cancel(other, force=True)
        raise
    prefix = f"{count - len(pending)} of {count} steps: " if count > 1 else ""
    return [prefix + lines[0], *lines[1:]]


def _run_step(settings: Settings, path: Path, step: str, threads: int, timeout: float) -> str:
    for thread in psutil.Process().threads():  # Linux sets the priority of one thread, and new ones inherit it
        os.setpriority(os.PRIO_PROCESS, thread.id, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread.id)))
    with TrainingFolder(path).watchdog(step, timeout):
        from ray_jobs.training import steps

        return steps.run(settings, path, step, threads)


_OWN_PROCESS = ray.remote(max_calls=1, max_retries=2)(_run_step)
"""The process ends with its task, which frees its memory."""
_SHARED_PROCESS = ray.remote(max_retries=2)(_run_step)
"""Tasks reuse processes, because in a small training the start of a process takes as long as a task."""


_READ_REGISTRY = ray.remote(num_cpus=ONE_CORE.cpus)(read_earlier_trainings)
"""Reserves a core, so that it does not run on a head without CPUs. Its process is reused by the first step."""


def _resources(settings: Settings) -> TaskResources:
    """Two cores for a task if a node has that many in addition to the inference actors."""
    most = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    return TWO_CORES if most - settings.inference_actors * ACTOR_CPUS >= TWO_CORES.cpus else ONE_CORE


def connect(settings: Settings) -> None:
    """Connect to Ray: to the cluster that runs this job, or else to the configured head.

    Raises:
        TrainingError: there is no Ray head at the address. (`ray.init` would wait for minutes.)
    """
    address = os.environ.get("RAY_ADDRESS") or settings.ray_head
    if reason := connection_error(address):
        raise TrainingError(
            f"no Ray head at {address} ({reason}): check that it is running and read its log "
            "(docs/troubleshooting.md, Logs)"
        )
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.train", description="Train and register the models.")
    parser.add_argument(
        "--size",
        choices=sorted(TEST_CASES),
        default="full",
        help="first: a small model, quickly; full: the full size; refit: keep the trees of the champion",
    )
    parser.add_argument(
        "--trials",
        type=int,
        choices=range(MAX_SEARCH_TRIALS + 1),
        default=0,
        metavar="N",
        help="number of other sizes to try first",
    )
    parser.add_argument("--requested-by", default="train_models", help="recorded in the promotion log")
    options = parser.parse_args()
    began = time.monotonic()

    def report(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {line}", flush=True)

    settings = load_settings()
    try:
        connect(settings)
        run(settings, options.size, options.requested_by, datetime.now(UTC), report, options.trials)
    except TrainingError as error:
        print(f"training failed: {error}", file=sys.stderr, flush=True)
        return 1
    report("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
