"""The models in service: the champions of the registry and the challenger, each validated before it is activated.

A version that fails, during validation or in service, is quarantined with the reason and an alert is raised. The
previous champion stays active or becomes active again; without one, persistence and the rules are used.

A version whose files are not available is not quarantined: the models in service stay, and loading is repeated.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ray_jobs.inference.canary_check import CanaryBatch, check_detector, check_forecaster, check_guidance
from ray_jobs.inference.failed_loads import FailedLoads
from ray_jobs.inference.model_slot import ModelSlot, SlotStatus
from ray_jobs.inference.stored_runs import StoredRuns
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.recalibration import RecalibratedForecaster, Recalibration, StationRecalibration
from weatherglass.formatting import first_line
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.known_runs import KnownRuns
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, GUIDANCE, ModelVersion, Registry
from weatherglass.store import alerts, quarantine, recalibrations
from weatherglass.store.alerts import Alert, Severity
from weatherglass.store.quarantine import QuarantinedVersion

log = logging.getLogger(__name__)

NO_MODEL = "none"
"""Model version of a prediction that was made without a registered model."""
FAILURES = 3
"""Consecutive failed batches after which a version is rejected; the baseline predicts these batches."""


@dataclass(frozen=True)
class ActiveGuidance:
    """The model that combines guidance with forecasts, its version, and the runs."""

    combination: GuidanceCombination
    version: str
    runs: KnownRuns


@dataclass(frozen=True)
class ActiveModels:
    """The models for one batch, with their registered versions."""

    forecaster: Forecaster
    forecaster_version: str
    detector: AnomalyDetector
    detector_version: str | None
    challenger: Forecaster | None = None
    challenger_version: str | None = None
    guidance: ActiveGuidance | None = None


class ModelManager:
    """Follows the registry. `refresh` runs in its own thread; the serving loop reads `current` once per batch.

    Args:
        instance: recorded as the source of a rejection.
        clock: seconds of a monotonic clock.
        today: the UTC day.
    """

    def __init__(
        self,
        registry: Registry,
        instance: str = "inference",
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ):
        self._today = today
        self._registry = registry
        self._instance = instance
        self._lock = threading.RLock()
        self._rejected: dict[tuple[str, str], QuarantinedVersion] = {}
        """(model kind, version) -> rejection."""
        self._unreported: list[tuple[ModelSlot, QuarantinedVersion]] = []
        """Rejections that are not in the store yet."""
        self._failed_loads = FailedLoads(clock)
        load, persistence = BoostedForecaster.load, PersistenceForecaster()
        self._forecaster = ModelSlot[Forecaster](
            "forecaster", FORECASTER, load, check_forecaster, persistence, NO_MODEL
        )
        self._challenger = ModelSlot[Forecaster](
            "challenger", FORECASTER, load, check_forecaster, persistence, None, keeps_previous=False
        )
        self._detector = ModelSlot[AnomalyDetector](
            "detector", ANOMALY_DETECTOR, AnomalyDetector.load, check_detector, AnomalyDetector.rules_only(), None
        )
        self._guidance = ModelSlot[GuidanceCombination | None](
            "guidance", GUIDANCE, GuidanceCombination.load, check_guidance, None, None
        )
        self._runs = StoredRuns()
        self._recalibrations: dict[str | None, tuple[date | None, Recalibration]] = {}
        """Active forecaster version -> day of the verification, and the recalibration from it."""
        self._slots = {slot.name: slot for slot in (self._forecaster, self._detector, self._challenger, self._guidance)}
        self.wake = threading.Event()
        """Set when `refresh` must run before its next regular time."""
        self.current = self._active_models()

    def refresh(self, canary: CanaryBatch | None, reads_runs: bool = True) -> None:
        """Bring the slots in line with the registry; every new version is validated with the canary batch.

        While the registry or the store is unavailable, the slots stay unchanged.

        Args:
            reads_runs: whether to read the new runs of weather models. Reading those of six days takes seconds.
        """
        self.wake.clear()
        for slot in self._slots.values():
            for step in (
                self._sync_quarantine,
                lambda slot: self._update_model(slot, canary),
                self._update_recalibration,
                *([self._update_runs] if reads_runs else []),
                self._update_status,
            ):
                try:
                    step(slot)
                except Exception as error:
                    log.warning("the %s stays at version %s: %s", slot.name, slot.version, first_line(error))

    def record_failure(self, name: str, version: str | None, reason: str) -> None:
        """Count a failed batch of the slot `name`; after `FAILURES` consecutive ones the version is replaced.

        Ignored for a version that is no longer active and for the baseline.
        """
        slot = self._slots[name]
        with self._lock:
            if slot.version != version or not slot.has_model:
                return
            slot.failures += 1
            if slot.failures < FAILURES:
                return
            self._reject(slot, str(version), f"it failed {FAILURES} consecutive batches: {reason}")
            self._revert(slot)
        self.wake.set()

    def record_success(self, name: str) -> None:
        """Reset the count of failed batches of the slot `name`."""
        self._slots[name].record_success()

    def statuses(self) -> dict[str, SlotStatus]:
        """Slot name -> status; those of challenger and guidance only if there is such a model, also a rejected one."""
        optional = (self._challenger, self._guidance)
        shown = (slot for slot in self._slots.values() if slot not in optional or slot.has_model or slot.has_candidate)
        return {slot.name: slot.status for slot in shown}

    def _active_models(self) -> ActiveModels:
        challenger = self._challenger
        return ActiveModels(
            self._recalibrated(self._forecaster),
            str(self._forecaster.version),
            self._detector.model,
            self._detector.version,
            self._recalibrated(challenger) if challenger.has_model else None,
            challenger.version,
            self._active_guidance(),
        )

    def _active_guidance(self) -> ActiveGuidance | None:
        slot = self._guidance
        return ActiveGuidance(slot.model, str(slot.version), self._runs.known) if slot.model else None

    def _recalibrated(self, slot: ModelSlot[Forecaster]) -> Forecaster:
        _, recalibration = self._recalibrations.get(slot.version, (None, {}))
        return RecalibratedForecaster(slot.model, recalibration) if recalibration else slot.model

    def _update_recalibration(self, slot: ModelSlot) -> None:
        """Apply the recalibration if the verification has estimated a new one; remove one that is too old."""
        if slot.kind != FORECASTER or slot.version is None or not slot.has_model:
            return
        applied, _ = self._recalibrations.get(slot.version, (None, {}))
        with self._registry.store().connect() as connection:
            day = recalibrations.last_updated(connection, slot.version)
            if day is not None and self._today() - day > recalibrations.MAX_AGE:
                day = None
            if day == applied:
                return
            stored = recalibrations.load(connection, slot.version) if day else {}
        by_station = {name: StationRecalibration(*arrays) for name, arrays in stored.items()}
        with self._lock:
            active = {other.version for other in self._slots.values()}
            kept = {version: entry for version, entry in self._recalibrations.items() if version in active}
            self._recalibrations = {**kept, slot.version: (day, by_station)}
            self.current = self._active_models()
        if day is None:
            log.warning("%s version %s: the recalibration is too old and no longer applied", slot.name, slot.version)
            return
        log.info("%s version %s: recalibrated at %d stations as of %s", slot.name, slot.version, len(by_station), day)

    def _update_runs(self, slot: ModelSlot) -> None:
        """Read the runs of weather models that were stored since the last time."""
        if slot is not self._guidance or not slot.has_model:
            return
        with self._registry.store().connect() as connection:
            changed = self._runs.update(connection, datetime.now(UTC))
        if changed:
            with self._lock:
                self.current = self._active_models()

    def _candidates(self, slot: ModelSlot) -> list[ModelVersion]:
        """The versions to activate, in order of preference.

        The previous champions are used while the champion is rejected or, if no model is active, cannot be loaded.
        """
        if slot is self._challenger:
            challenger = self._registry.challenger(slot.kind)
            return [challenger] if challenger else []
        champion = self._registry.champion(slot.kind)
        if champion is None:
            return []
        unavailable = not slot.has_model and self._failed_loads.reason(champion) is not None
        previous = self._registry.previous_champions(slot.kind) if self._is_rejected(champion) or unavailable else []
        return [champion, *previous]

    def _update_model(self, slot: ModelSlot, canary: CanaryBatch | None) -> None:
        """Activate the first candidate that is not rejected and passes its validation."""
        if slot is self._detector and slot.has_model and canary and not canary.readings:
            return  # a detector is validated with readings, which arrive with the next batch
        candidates = self._candidates(slot)
        for version in candidates:
            if self._is_rejected(version):
                continue
            if version.version == slot.version or self._activate(slot, version, canary):
                return
        if slot.version in self._rejected_versions(slot) or (slot is self._challenger and not candidates):
            with self._lock:
                self._revert(slot)

    def _activate(self, slot: ModelSlot, version: ModelVersion, canary: CanaryBatch | None) -> bool:
        """Activate a version if it can be loaded and passes its validation; reject it if it is damaged or fails."""
        if not self._failed_loads.is_due(version):
            return False
        active = self._forecaster.model if slot is self._challenger else slot.model
        try:
            model = slot.load(version)
        except Exception as error:
            failed = self._failed_loads.record(version, error)
            if failed.damaged:
                self._reject_candidate(slot, version, error)
            else:
                log.warning("%s: version %s cannot be loaded: %s", slot.name, version.version, first_line(error))
            return False
        self._failed_loads.forget(version)
        try:
            summary = slot.validate(model, canary, active)
        except Exception as error:
            self._reject_candidate(slot, version, error)
            return False
        log.info("%s: version %s replaces version %s (%s)", slot.name, version.version, slot.version, summary)
        with self._lock:
            slot.activate(model, version.version)
            self.current = self._active_models()
        return True

    def _reject_candidate(self, slot: ModelSlot, version: ModelVersion, error: Exception) -> None:
        self._failed_loads.forget(version)
        with self._lock:
            self._reject(slot, version.version, str(error) or repr(error))
        self._sync_quarantine(slot)

    def _revert(self, slot: ModelSlot) -> None:
        replaced = slot.version
        slot.revert(self._rejected_versions(slot))
        self.current = self._active_models()
        if slot.version != replaced:
            log.error("%s: reverted from version %s to version %s", slot.name, replaced, slot.version)

    def _is_rejected(self, version: ModelVersion) -> bool:
        return (version.kind, version.version) in self._rejected

    def _rejected_versions(self, slot: ModelSlot) -> set[str]:
        return {version for kind, version in self._rejected if kind == slot.kind}

    def _reject(self, slot: ModelSlot, version: str, reason: str) -> None:
        rejection = QuarantinedVersion(slot.kind, version, datetime.now(UTC), self._instance, reason)
        self._rejected[slot.kind, version] = rejection
        self._unreported.append((slot, rejection))
        log.error("%s version %s rejected: %s", slot.name, version, reason)

    def _sync_quarantine(self, slot: ModelSlot) -> None:
        """Write own rejections to the store; read those of other actors, and which ones were released."""
        unreported = [entry for entry in self._unreported if entry[0] is slot]
        if not unreported and not self._candidates(slot):
            return
        with self._registry.store().begin() as connection:
            for _, rejection in unreported:
                quarantine.add(connection, rejection)
                alerts.raise_alert(connection, _alert(slot, rejection), rejection.since)
            stored = quarantine.quarantined_versions(connection, slot.kind)
        with self._lock:
            self._unreported = [entry for entry in self._unreported if entry not in unreported]
            own_kind = [*stored, *(rejection for _, rejection in self._unreported if rejection.kind == slot.kind)]
            other_kinds = {key: rejection for key, rejection in self._rejected.items() if key[0] != slot.kind}
            self._rejected = other_kinds | {(one.kind, one.version): one for one in own_kind}

    def _update_status(self, slot: ModelSlot) -> None:
        """Set the status; when the first candidate is active, close the alert of an earlier rejection."""
        candidates = self._candidates(slot)
        slot.has_candidate = bool(candidates)
        if not candidates:
            return
        desired = candidates[0].version
        if slot.version == desired:
            if slot.status.state != "ok":
                with self._registry.store().begin() as connection:
                    alerts.set_open_alerts(connection, slot.rule, [], datetime.now(UTC))
            slot.set_status("ok", f"version {desired} is active")
            return
        active = f"version {slot.version}" if slot.has_model else "the baseline"
        if rejection := self._rejected.get((slot.kind, desired)):
            reason = f"{active} is active because version {desired} was rejected: {rejection.reason}"
        elif failure := self._failed_loads.reason(candidates[0]):
            reason = f"{active} is active because version {desired} cannot be loaded yet: {failure}"
        else:
            return
        slot.set_status("degraded" if slot.has_model else "failing", reason)


def _alert(slot: ModelSlot, rejection: QuarantinedVersion) -> Alert:
    message = (
        f"{slot.name} version {rejection.version} was rejected by {rejection.by}: {rejection.reason}. The previous "
        "model stays active. Train a new version, roll back, or promote this version again to repeat its validation."
    )
    figures = {"kind": rejection.kind, "version": rejection.version, "reason": rejection.reason}
    return Alert(slot.rule, f"{slot.name} version {rejection.version}", Severity.CRITICAL, message, figures)
