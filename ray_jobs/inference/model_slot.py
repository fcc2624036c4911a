"""A place in service: which model fills it, which did before, and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from ray_jobs.inference.canary_check import CanaryBatch
from weatherglass.registry.registry import ModelVersion

M = TypeVar("M")


@dataclass(frozen=True)
class SlotStatus:
    """How a seat is filled: `ok`, `degraded` or `failing`, since when (UTC) and why."""

    state: str
    since: datetime
    why: str


class ModelSlot(Generic[M]):
    """One model serves in it; without any the baseline does.

    Args:
        kind: of the registry's models that may serve here.
        baseline, baseline_version: what serves where no model does.
        falls_back: a model that fails gives way to the one before it, not to the baseline.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        load: Callable[[Path], M],
        trial: Callable[[M, M, CanaryBatch], str],
        baseline: M,
        baseline_version: str | None,
        falls_back: bool = True,
    ):
        self.name, self.kind = name, kind
        self.baseline_version = baseline_version
        self.model, self.version = baseline, baseline_version
        self.failures = 0
        """Batches failed in a row."""
        self.condition = SlotStatus("degraded", datetime.now(UTC), "no model has been trained yet")
        self._load, self._trial = load, trial
        self._baseline = baseline
        self._falls_back = falls_back
        self._before: tuple[M, str | None] | None = None

    @property
    def rule(self) -> str:
        """Name of the alert that a version was refused."""
        return f"{self.name}_refused"

    @property
    def by_model(self) -> bool:
        return self.version != self.baseline_version

    def audition(self, version: ModelVersion, canary: CanaryBatch | None, serving: M) -> tuple[M, str]:
        """Load a version and try it beside the one that serves; the model, and how it did. What fails raises."""
        model = self._load(version.folder)
        return model, self._trial(model, serving, canary) if canary else "no hours yet to try it on"

    def take(self, model: M, version: str) -> None:
        """Put a model in service."""
        if self.by_model and self._falls_back:
            self._before = self.model, self.version
        self.model, self.version, self.failures = model, version, 0

    def leave(self, refused: set[str]) -> None:
        """Put back the model that served before, if it is not refused, or the baseline."""
        before, self._before = self._before, None
        keeps = before is not None and before[1] not in refused
        self.model, self.version = before if before and keeps else (self._baseline, self.baseline_version)
        self.failures = 0

    def stands(self, state: str, why: str) -> None:
        """Note the condition; `since` moves when it changes."""
        if (state, why) != (self.condition.state, self.condition.why):
            self.condition = SlotStatus(state, datetime.now(UTC), why)
