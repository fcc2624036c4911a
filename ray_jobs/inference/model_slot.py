"""A role that one model fills at a time: the active model, the one before it, and the status."""

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
    """`ok`, `degraded` or `failing`, since when (UTC), and the reason."""

    state: str
    since: datetime
    reason: str


class ModelSlot(Generic[M]):
    """Holds one active model: a registered version, or the baseline.

    Args:
        kind: model kind in the registry.
        load: reads a version from its folder.
        check: the canary check (new model, active model, batch); raises for a model that fails.
        baseline, baseline_version: active while no registered version is.
        keeps_previous: a version that fails is replaced by the version before it; otherwise by the baseline.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        load: Callable[[Path], M],
        check: Callable[[M, M, CanaryBatch], object],
        baseline: M,
        baseline_version: str | None,
        keeps_previous: bool = True,
    ):
        self.name, self.kind = name, kind
        self.baseline_version = baseline_version
        self.model, self.version = baseline, baseline_version
        self.has_candidate = False
        """Whether the registry has a version for it, which may be rejected."""
        self.failures = 0
        """Consecutive failed batches."""
        self.status = SlotStatus("degraded", datetime.now(UTC), "no model has been trained yet")
        self._load, self._check = load, check
        self._baseline = baseline
        self._keeps_previous = keeps_previous
        self._previous: tuple[M, str | None] | None = None

    @property
    def rule(self) -> str:
        """Name of the alert rule for a rejected version."""
        return f"{self.name}_refused"

    @property
    def has_model(self) -> bool:
        """Whether a registered version is active, not the baseline."""
        return self.version != self.baseline_version

    def load(self, version: ModelVersion) -> M:
        """Read a version from its folder. Exceptions propagate."""
        return self._load(version.folder)

    def validate(self, model: M, canary: CanaryBatch | None, active: M) -> str:
        """Check a loaded model against the active one; a summary. Exceptions of the check propagate."""
        return str(self._check(model, active, canary)) if canary else "not checked: no hours available yet"

    def activate(self, model: M, version: str) -> None:
        """Make a model the active one."""
        if self.has_model and self._keeps_previous:
            self._previous = self.model, self.version
        self.model, self.version, self.failures = model, version, 0

    def revert(self, rejected: set[str]) -> None:
        """Activate the previous version, unless there is none or it is rejected; then the baseline."""
        previous, self._previous = self._previous, None
        usable = previous is not None and previous[1] not in rejected
        self.model, self.version = previous if previous and usable else (self._baseline, self.baseline_version)
        self.failures = 0

    def record_success(self) -> None:
        """End a series of failed batches."""
        self.failures = 0

    def set_status(self, state: str, reason: str) -> None:
        """Set the status; `since` changes only with the state or the reason."""
        if (state, reason) != (self.status.state, self.status.reason):
            self.status = SlotStatus(state, datetime.now(UTC), reason)
