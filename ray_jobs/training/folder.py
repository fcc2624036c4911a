"""The folder of a training: its plan, and the result of every finished step.

A training that was killed is resumed from here. A folder belongs to one history, size, seed and code version, which its
name identifies. A result is written to a temporary folder and renamed, so it is either complete or absent. The folder
is removed when the models are registered.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from ray_jobs.training import result_files
from ray_jobs.training.plan import TrainingPlan
from weatherglass.files import DamagedFileError, sync, sync_tree

T = TypeVar("T")

RETENTION = timedelta(days=2)
"""An unfinished training that is older than this is not resumed but restarted."""

_PLAN = "plan"
_STACK = ".stack"


class AlreadyTraining(RuntimeError):
    """The same training is running in another process."""


class TrainingFolder:
    """`<state>/training/<key>`; created by `open`, used by the training process and by the tasks on every node."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def open(cls, parent: Path, plan: TrainingPlan) -> TrainingFolder:
        """The folder of a plan: that of an unfinished training, which keeps its own plan, or a new one.

        An unfinished training whose plan is damaged starts again.
        """
        folder = cls(parent / plan.key)
        try:
            unfinished = folder.plan() if folder.has(_PLAN) else None
        except (FileNotFoundError, DamagedFileError):
            unfinished = None
        if unfinished is None or plan.started_at - unfinished.started_at > RETENTION:
            folder.remove()
            folder.path.mkdir(parents=True, mode=0o700)
            folder.save(_PLAN, plan)
        return folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the process that runs this training; the kernel releases it when the process ends.

        Raises:
            AlreadyTraining: another process holds it.
        """
        with (self.path.with_suffix(".lock")).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyTraining(
                    f"training {self.path.name} is already running; wait for it to finish or stop it"
                ) from None
            yield

    def plan(self) -> TrainingPlan:
        return self.load(_PLAN, TrainingPlan)

    def has(self, step: str) -> bool:
        return self._result(step).exists()

    def save(self, step: str, result: object) -> None:
        """Write the result of a step durably, replacing an earlier one.

        Raises:
            TypeError: see `result_files.write`.
        """
        target = self._result(step)
        temporary, replaced = (target.with_name(f".{step}.{uuid.uuid4().hex}") for _ in range(2))
        temporary.mkdir(parents=True)
        try:
            result_files.write(temporary, result)
            sync_tree(temporary)
            if target.exists():
                target.rename(replaced)
            temporary.rename(target)
            sync(target.parent)
        finally:
            for leftover in (temporary, replaced):
                shutil.rmtree(leftover, ignore_errors=True)

    def load(self, step: str, kind: type[T]) -> T:
        """The result of a step, which is of the type `kind`.

        Raises:
            DamagedFileError: a file of the result is damaged.
        """
        return result_files.read(self._result(step), kind)

    @contextmanager
    def watchdog(self, step: str, timeout: float) -> Iterator[None]:
        """End this process if it is still in the block after `timeout` seconds; `hung_steps` then returns its stacks.

        Ray treats that as a lost process and repeats the step. The timer does not need the interpreter, so it also
        works when a library is deadlocked.
        """
        stack_file = self.path / f".{step}.{os.getpid()}{_STACK}"
        with stack_file.open("w") as file:
            faulthandler.dump_traceback_later(timeout, exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                stack_file.unlink(missing_ok=True)

    def hung_steps(self) -> list[tuple[str, str]]:
        """Steps ended by the watchdog since the last call, with the stacks of all threads."""
        hung = []
        for stack_file in sorted(self.path.glob(f".*{_STACK}")):
            try:
                stack = stack_file.read_text()
            except FileNotFoundError:  # the step has ended in the meantime
                continue
            if stack:
                hung.append((stack_file.name.split(".")[1], stack))
                stack_file.unlink()
        return hung

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _result(self, step: str) -> Path:
        return self.path / "results" / step
