"""The folder of a training: its plan, and the result of every finished step.

A training that was killed finds here what is finished and goes on from there. A folder belongs to one history, size,
seed and code; what belongs together is known by its name. Steps are written beside and renamed, so a result is whole
or absent. The folder is removed when its models are registered.
"""

from __future__ import annotations

import faulthandler
import fcntl
import hashlib
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from weatherglass.files import write_atomically
from weatherglass.forecast.presets import ModelSize
from weatherglass.history.prepared import Manifest
from weatherglass.settings import PROJECT_ROOT

KEPT = timedelta(days=2)
"""An unfinished training older than this is begun anew."""

CODE = (
    "weatherglass/meteorology.py",
    "weatherglass/history/grid.py",
    "weatherglass/history/hours.py",
    "weatherglass/history/prepared.py",
    "weatherglass/qc/limits.py",
    "weatherglass/qc/series_checks.py",
    "weatherglass/forecast/*.py",
    "weatherglass/anomaly/*.py",
    "weatherglass/verification/held_out*.py",
    "ray_jobs/train.py",
    "ray_jobs/training/*.py",
)
"""What decides which model comes out of the same data."""

_STACK = ".stack"


class AlreadyTraining(RuntimeError):
    """The same training runs in another process."""


@dataclass(frozen=True)
class Plan:
    """What is trained, and on what.

    Attributes:
        size: name of the size; `shape` is what it means, and `trials` shapes beside it are tried first.
        began: UTC; the first start, kept when a training is taken up again.
        who: who asked, for the promotions log.
    """

    size: str
    shape: ModelSize
    seed: int
    trials: int
    test_cases: int
    manifest: Manifest
    code: str
    began: datetime
    who: str

    @property
    def key(self) -> str:
        """The same for the same training, whenever it is started."""
        parts = (self.size, self.shape, self.seed, self.trials, self.test_cases, asdict(self.manifest), self.code)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class TrainingFolder:
    """`<state>/training/<key>`; made by `open`, used by the conductor and by the tasks on every node."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def open(cls, parent: Path, plan: Plan) -> TrainingFolder:
        """The folder of a plan: the unfinished one of an earlier start, with its plan, or a new one."""
        folder = cls(parent / plan.key)
        if not folder.has("plan") or plan.began - folder.load("plan").began > KEPT:
            folder.remove()
            folder.path.mkdir(parents=True, mode=0o700)
            folder.save("plan", plan)
        return folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one process that conducts this training; the kernel frees it when that dies.

        Raises:
            AlreadyTraining: another process holds it.
        """
        with (self.path.with_suffix(".lock")).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyTraining(
                    f"this training ({self.path.name}) runs already; wait for it or stop it"
                ) from None
            yield

    def has(self, step: str) -> bool:
        return self._file(step).exists()

    def save(self, step: str, result: Any) -> None:
        content = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
        write_atomically(self._file(step), content, durable=True)

    def load(self, step: str) -> Any:
        """A step's result. Pickled by ourselves into a folder that only its owner can write, and never carried off."""
        with self._file(step).open("rb") as file:
            return pickle.load(file)  # noqa: S301

    @contextmanager
    def watched(self, step: str, limit: float) -> Iterator[None]:
        """End this process if it is still at the step after `limit` seconds; `hung` tells where it stood.

        Ray takes that for a lost process and begins the step anew. It works without the interpreter, so also where a
        library has locked itself up.
        """
        place = self.path / f".{step}.{os.getpid()}{_STACK}"
        with place.open("w") as file:
            faulthandler.dump_traceback_later(limit, exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                place.unlink(missing_ok=True)

    def hung(self) -> list[tuple[str, str]]:
        """Steps that hung since this was asked last, with the stacks of all threads of their processes."""
        found = []
        for place in sorted(self.path.glob(f".*{_STACK}")):
            try:
                stack = place.read_text()
            except FileNotFoundError:  # its step has just ended
                continue
            if stack:
                found.append((place.name.split(".")[1], stack))
                place.unlink()
        return found

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, step: str) -> Path:
        return self.path / f"{step}.pickle"


def code_version() -> str:
    """Twelve digits of the SHA-256 of the code that makes models."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for file in sorted(PROJECT_ROOT.glob(pattern)):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
