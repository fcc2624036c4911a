"""The models in service: the registry's champions and the challenger, each tried before it serves.

What fails, in its trial or afterwards in service, goes into quarantine with its reason, an alert is raised, and the
champion before it serves; where none is left, persistence and the rules do.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ray_jobs.inference.canary_check import CanaryBatch, check_detector, check_forecaster
from ray_jobs.inference.model_slot import ModelSlot, SlotStatus
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.recalibration import Recalibrated, Widths
from weatherglass.formatting import first_line
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, ModelVersion, Registry
from weatherglass.store import alerts, interval_scaling, quarantine
from weatherglass.store.alerts import Alert, Severity
from weatherglass.store.quarantine import Quarantined

log = logging.getLogger(__name__)

NO_MODEL = "none"
"""The model version of a prediction that no registered model made."""
FAILURES = 3
"""Batches in a row that a model in service may fail; the baseline answers these."""


@dataclass(frozen=True)
class ActiveModels:
    """The models that answer one batch, with their registered versions."""

    forecaster: Forecaster
    forecaster_version: str
    detector: AnomalyDetector
    detector_version: str | None
    challenger: Forecaster | None = None
    challenger_version: str | None = None


class ModelManager:
    """Follows the registry. `refresh` runs beside the serving loop, which takes `current` once a batch."""

    def __init__(self, registry: Registry, who: str = "inference"):
        self._registry = registry
        self._who = who
        self._lock = threading.RLock()
        self._refused: dict[tuple[str, str], Quarantined] = {}
        self._untold: list[tuple[ModelSlot, Quarantined]] = []
        load, persistence = BoostedForecaster.load, PersistenceForecaster()
        self._forecaster = ModelSlot[Forecaster](
            "forecaster", FORECASTER, load, check_forecaster, persistence, NO_MODEL
        )
        self._challenger = ModelSlot[Forecaster](
            "challenger", FORECASTER, load, check_forecaster, persistence, None, falls_back=False
        )
        self._detector = ModelSlot[AnomalyDetector](
            "detector", ANOMALY_DETECTOR, AnomalyDetector.load, check_detector, AnomalyDetector.rules_only(), None
        )
        self._widths: dict[str | None, tuple[date, Widths]] = {}
        """Of each version in service: the day its intervals were held to the truth, and the factors."""
        self._seats = {seat.name: seat for seat in (self._forecaster, self._detector, self._challenger)}
        self.wake = threading.Event()
        """Set when there is something to do before the next look at the registry."""
        self.current = self._models()

    def refresh(self, canary: CanaryBatch | None) -> None:
        """Bring the seats to what the registry wants, trying each newcomer on the canary batch.

        While the registry or the store cannot be asked, all stays as it is.
        """
        self.wake.clear()
        for seat in self._seats.values():
            for step in (self._share_refusals, lambda seat: self._renew(seat, canary), self._resize, self._note):
                try:
                    step(seat)
                except Exception as error:
                    words = first_line(error)
                    log.warning("the %s stays at version %s: %s", seat.name, seat.version, words)

    def failed(self, name: str, version: str | None, why: str) -> None:
        """The serving loop tells that a model failed a batch; at `FAILURES` in a row another takes its seat."""
        seat = self._seats[name]
        with self._lock:
            if seat.version != version or not seat.by_model:
                return
            seat.failures += 1
            if seat.failures < FAILURES:
                return
            self._refuse(seat, str(version), f"it failed {FAILURES} batches in a row: {why}")
            self._leave(seat)
        self.wake.set()

    def well(self, name: str) -> None:
        """The serving loop tells that a model answered a batch."""
        self._seats[name].failures = 0

    def conditions(self) -> dict[str, SlotStatus]:
        """How each seat is filled; the challenger's only where there is one."""
        return {
            name: seat.condition for name, seat in self._seats.items() if seat is not self._challenger or seat.by_model
        }

    def _models(self) -> ActiveModels:
        other = self._challenger
        return ActiveModels(
            self._sized(self._forecaster),
            str(self._forecaster.version),
            self._detector.model,
            self._detector.version,
            self._sized(other) if other.by_model else None,
            other.version,
        )

    def _sized(self, seat: ModelSlot[Forecaster]) -> Forecaster:
        _, factors = self._widths.get(seat.version, (None, {}))
        return Recalibrated(seat.model, factors) if factors else seat.model

    def _resize(self, seat: ModelSlot) -> None:
        """Take over the factors of the intervals, where the verification has made new ones."""
        if seat.kind != FORECASTER or seat.version is None or not seat.by_model:
            return
        known, _ = self._widths.get(seat.version, (None, {}))
        with self._registry.store().connect() as connection:
            made = interval_scaling.day(connection, seat.version)
            if made is None or made == known:
                return
            factors = interval_scaling.of(connection, seat.version)
        with self._lock:
            serving = {other.version for other in self._seats.values()}
            self._widths = {version: kept for version, kept in self._widths.items() if version in serving}
            self._widths[seat.version] = made, factors
            self.current = self._models()
        log.info("%s version %s: intervals of %d stations as of %s", seat.name, seat.version, len(factors), made)

    def _wanted(self, seat: ModelSlot) -> list[ModelVersion]:
        """Who should serve, the best first."""
        if seat is self._challenger:
            challenger = self._registry.challenger(seat.kind)
            return [challenger] if challenger else []
        champion = self._registry.champion(seat.kind)
        if champion is None:
            return []
        return [champion, *(self._registry.earlier_champions(seat.kind) if self._is_refused(champion) else [])]

    def _renew(self, seat: ModelSlot, canary: CanaryBatch | None) -> None:
        """Seat the first of those wanted that is not refused and passes its trial."""
        if seat is self._detector and seat.by_model and canary and not canary.cases:
            return  # a moment later there are readings to try the next one on
        wanted = self._wanted(seat)
        for version in wanted:
            if self._is_refused(version):
                continue
            if version.version == seat.version or self._seat(seat, version, canary):
                return
        if seat.version in self._refused_of(seat) or (seat is self._challenger and not wanted):
            with self._lock:
                self._leave(seat)

    def _seat(self, seat: ModelSlot, version: ModelVersion, canary: CanaryBatch | None) -> bool:
        serving = self._forecaster.model if seat is self._challenger else seat.model
        try:
            model, said = seat.audition(version, canary, serving)
        except Exception as error:
            with self._lock:
                self._refuse(seat, version.version, str(error) or repr(error))
            self._share_refusals(seat)
            return False
        log.info("%s version %s serves (%s), before it %s", seat.name, version.version, said, seat.version)
        with self._lock:
            seat.take(model, version.version)
            self.current = self._models()
        return True

    def _leave(self, seat: ModelSlot) -> None:
        before = seat.version
        seat.leave(self._refused_of(seat))
        self.current = self._models()
        if seat.version != before:
            log.error("%s version %s serves instead of %s", seat.name, seat.version, before)

    def _is_refused(self, version: ModelVersion) -> bool:
        return (version.kind, version.version) in self._refused

    def _refused_of(self, seat: ModelSlot) -> set[str]:
        return {version for kind, version in self._refused if kind == seat.kind}

    def _refuse(self, seat: ModelSlot, version: str, reason: str) -> None:
        refused = Quarantined(seat.kind, version, datetime.now(UTC), self._who, reason)
        self._refused[seat.kind, version] = refused
        self._untold.append((seat, refused))
        log.error("%s version %s is refused: %s", seat.name, version, reason)

    def _share_refusals(self, seat: ModelSlot) -> None:
        """Write what was refused to the store, and learn what others refused, or somebody has released."""
        untold = [entry for entry in self._untold if entry[0] is seat]
        if not untold and not self._wanted(seat):
            return
        with self._registry.store().begin() as connection:
            for _, refused in untold:
                quarantine.put(connection, refused)
                alerts.report(connection, _alert(seat, refused), refused.since)
            held = quarantine.held(connection, seat.kind)
        with self._lock:
            self._untold = [entry for entry in self._untold if entry not in untold]
            known = [*held, *(refused for _, refused in self._untold if refused.kind == seat.kind)]
            others = {key: one for key, one in self._refused.items() if key[0] != seat.kind}
            self._refused = others | {(one.kind, one.version): one for one in known}

    def _note(self, seat: ModelSlot) -> None:
        """The seat's condition. With the wanted model in service the alert of an earlier refusal is over."""
        wanted = self._wanted(seat)
        if not wanted:
            return
        first = wanted[0].version
        if seat.version == first:
            if seat.condition.state != "ok":
                with self._registry.store().begin() as connection:
                    alerts.settle(connection, seat.rule, [], datetime.now(UTC))
            seat.stands("ok", f"version {first} serves")
        elif refused := self._refused.get((seat.kind, first)):
            serves = f"version {seat.version}" if seat.by_model else "the baseline"
            why = f"{serves} serves, since version {first} is refused: {refused.reason}"
            seat.stands("degraded" if seat.by_model else "failing", why)


def _alert(seat: ModelSlot, refused: Quarantined) -> Alert:
    words = (
        f"{seat.name} version {refused.version} is refused by {refused.by}: {refused.reason}. What served before "
        "serves on; train a new version, roll back, or promote it again to have it tried again."
    )
    figures = {"kind": refused.kind, "version": refused.version, "reason": refused.reason}
    return Alert(seat.rule, f"{seat.name} version {refused.version}", Severity.CRITICAL, words, figures)
