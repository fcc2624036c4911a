"""The steps of the DAG `verify_forecasts`, with the store, registry and history of the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from sqlalchemy import Engine

from weatherglass.files import DamagedFileError
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import read_history, read_stations, station_lookup
from weatherglass.history.sources.calendar import excluded_periods
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import FORECASTER, ModelVersion, Registry
from weatherglass.registry.trainings import last_training_hour
from weatherglass.settings import Settings
from weatherglass.stations import Station
from weatherglass.store import input_drift, observations, recalibrations, sequential_tests, verification_rows
from weatherglass.store.alerts import Alert
from weatherglass.verification import degradation, detection_scoring, drift, observed_hours, sequential_test
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.hindcast import hindcast
from weatherglass.verification.recalibrate import first_comparable_day, first_hour, recalibrate
from weatherglass.verification.score_days import VerificationResult, verify
from weatherglass.verification.sequential_test import Decision, SequentialTest

TEST_INTERVAL = timedelta(hours=20)
"""Minimum time between two tests of a challenger: about once a day."""
DRIFT_DAYS = 7
SEASON = np.timedelta64(45, "D")
ACTOR = "verify_forecasts"

Log = Callable[[str], None]


@dataclass(frozen=True)
class ChampionChallenger:
    """The champion and the challenger of the forecaster; None if there is none."""

    champion: ModelVersion | None
    challenger: ModelVersion | None

    @property
    def pair(self) -> tuple[str, str] | None:
        """Versions of both; None unless there are both."""
        if self.champion is None or self.challenger is None:
            return None
        return self.champion.version, self.challenger.version


class VerificationRun:
    """One run of the verification. All times are UTC.

    Args:
        log: receives the lines of the task log.
    """

    def __init__(self, settings: Settings, log: Log):
        self._settings = settings
        self._log = log
        self.registry = Registry(settings)
        self.store: Engine = self.registry.store()
        champion, challenger = self.registry.champion(FORECASTER), self.registry.challenger(FORECASTER)
        self.versions = ChampionChallenger(champion, challenger)
        self._model = self._load(champion)
        self._reference = ReferenceModel(self._model.climatology, self._model.damping) if self._model else None

    def verify(self, now: datetime) -> VerificationResult:
        """Score the days with new records, and the anomaly flags of these days and of the days that faults reach."""
        station_of = station_lookup(self._settings)
        result = verify(self.store, now, self._reference, self.versions.pair, station_of, self._log)
        reach = -(-detection_scoring.MAX_FAULT_LENGTH // timedelta(days=1))
        days = {
            date.fromisoformat(str(day - np.timedelta64(back, "D"))) for day in result.days for back in range(reach + 1)
        }
        with self.store.begin() as connection:
            rows = [row for day in sorted(days) for row in detection_scoring.score_day(connection, day)]
        for row in rows:
            reference = f"{row['truth']}, {row['kind']}" if row["kind"] else row["truth"]
            self._log(
                f"Flags of detector {row['version']} on {row['day']} ({reference}): {row['hits']} hits, "
                f"{row['misses']} misses, {row['false_alarms']} false alarms"
            )
        return result

    def hindcast(self, now: datetime) -> int:
        """Score champion and challenger on the end of the history, once per version.

        Returns:
            Number of verified forecast values; 0 if there was nothing to do.
        """
        versions = [v for v in (self.versions.champion, self.versions.challenger) if v is not None]
        with self.store.connect() as connection:
            done = verification_rows.hindcast_versions(connection)
        if all(version.version in done for version in versions):
            return 0
        history = self._history(now)
        models = {v.version: model for v in versions if (model := self._load(v)) is not None}
        if history is None or not models:
            return 0
        with self.store.begin() as connection:
            return hindcast(connection, models, self._reference, history, self._log)

    def compare(self, now: datetime) -> SequentialTest | None:
        """Test the challenger once a day, and promote, withdraw or keep it accordingly.

        Returns:
            None if there is no challenger, or if it was tested within `TEST_INTERVAL`.
        """
        if self.versions.pair is None:
            return None
        champion, challenger = self.versions.pair
        if rejected := self.registry.quarantined(FORECASTER).get(challenger):
            # It makes no more forecasts, so the test would never end; as long, no refit could become champion.
            self._log(f"Challenger {challenger} is in quarantine and withdrawn: {rejected}")
            self.registry.withdraw(FORECASTER, ACTOR, f"challenger {challenger} is in quarantine: {rejected}", {})
            return None
        with self.store.connect() as connection:
            last = sequential_tests.last_sequential_test(connection, champion, challenger)
            rows = verification_rows.paired_losses_of(connection, champion, challenger, hindcast=False)
        if last is not None and now - last.at < TEST_INTERVAL:
            return None
        today = now.astimezone(UTC).date()
        training_hours = [last_training_hour(v.tags) for v in (self.versions.champion, self.versions.challenger) if v]
        first = first_comparable_day(training_hours)
        test = sequential_test.compare([row for row in rows if (first or date.min) <= row.valid_hour.date() < today])
        self._log(f"Test of challenger {challenger} against champion {champion}:")
        if first is not None and first >= today:
            self._log(f"Days are counted from {first}, when both are recalibrated with enough errors")
        for line in test.lines():
            self._log(line)
        tags = {"decision": f"{test.decision.value}: {test.reason}", "compared": "\n".join(test.lines())}
        self.registry.set_tags(FORECASTER, challenger, tags)
        if test.decision is Decision.PROMOTE:
            self.registry.promote(FORECASTER, challenger, ACTOR, test.reason, test.details())
        elif test.decision is Decision.KEEP:
            self.registry.withdraw(FORECASTER, ACTOR, f"challenger {challenger}: {test.reason}", test.details())
        with self.store.begin() as connection:
            sequential_tests.save_sequential_test(connection, now, champion, challenger, test)
        return test

    def recalibrate(self, now: datetime) -> None:
        """Once per UTC day, recalibrate champion and challenger with the errors of the last weeks."""
        today = now.astimezone(UTC).date()
        last = np.datetime64((now - observed_hours.OVERLAP).astimezone(UTC).replace(tzinfo=None), "h")
        station_of = station_lookup(self._settings)
        for version in (self.versions.champion, self.versions.challenger):
            if version is None:
                continue
            first = first_hour(last, last_training_hour(version.tags))
            with self.store.connect() as connection:
                if first is None or recalibrations.last_updated(connection, version.version) == today:
                    continue
                model = self._load(version)
                if model is None:
                    continue
                stations = [station_of(station_id) for station_id in sorted(observations.latest_all(connection))]
                observed = observed_hours.load_trusted_hours(connection, first, last, stations)
            by_station = recalibrate(model, observed)
            if not by_station:
                continue
            with self.store.begin() as connection:
                recalibrations.replace(connection, version.version, today, by_station)
            width = np.median([one.factors[..., -1] for one in by_station.values()], axis=(0, 1))
            bias = np.mean([np.abs(one.bias) for one in by_station.values()], axis=(0, 1, 2))
            self._log(
                f"Recalibrated version {version.version} at {len(by_station)} stations (mean absolute correction, "
                "median factor of the half-widths): "
                + ", ".join(
                    f"{name.replace('_', ' ')} {correction:.2f} {UNITS[name]}, {factor:.2f}"
                    for name, correction, factor in zip(VARIABLES, bias, width, strict=True)
                )
            )

    def check_degradation(self, now: datetime) -> list[Alert]:
        """Compute the drift of the inputs, then check the rules of `degradation`; returns the open alerts."""
        champion = self.versions.champion
        self._compute_drift(now)
        metrics = next((m.metrics for m in registered_models(self._settings) if champion and _is(m, champion)), {})
        with self.store.begin() as connection:
            alerts = degradation.check_degradation(connection, now, champion.version if champion else None, metrics)
        for alert in alerts:
            self._log(f"{alert.severity.value}: {alert.message}")
        return alerts

    def _compute_drift(self, now: datetime) -> None:
        """Once a day, compare the last week with the same season of the history."""
        champion, model = self.versions.champion, self._model
        day = (now.astimezone(UTC) - timedelta(days=1)).date()
        if champion is None or model is None:
            return
        with self.store.connect() as connection:
            if any(row.day == day and row.version == champion.version for row in input_drift.latest_drift(connection)):
                return
            last = np.datetime64(day, "h") + np.timedelta64(23, "h")
            first = last - np.timedelta64(24 * DRIFT_DAYS - 1, "h")
            stations = [s for s in self._history_stations() if s.station_id in set(model.climatology.station_ids)]
            recent = observed_hours.load_hours(connection, first, last, stations)
        history = self._history(now)
        if history is None:
            return
        drifts = drift.compare(same_season(history, last), recent, model.climatology)
        with self.store.begin() as connection:
            input_drift.save_drift(connection, champion.version, day, drifts)
        if drifts:
            largest = max(drifts, key=lambda one: one.psi / one.psi_limit)
            self._log(
                f"Input drift up to {day}: largest for {largest.feature}, PSI {largest.psi:.2f} (limit "
                f"{largest.psi_limit:.2f}), KS {largest.ks:.2f}"
            )

    def _history_stations(self) -> tuple[Station, ...]:
        try:
            return read_stations(self._settings.history_dir)
        except FileNotFoundError:
            return ()
        except DamagedFileError as error:
            self._log(f"History not used: {error}")
            return ()

    def _history(self, now: datetime) -> HourGrid | None:
        try:
            return read_history(self._settings.history_dir, excluded_periods(self._settings, now))
        except (FileNotFoundError, DamagedFileError) as error:
            self._log(f"No history used: {error}")
            return None

    def _load(self, version: ModelVersion | None) -> BoostedForecaster | None:
        if version is None:
            return None
        try:
            return BoostedForecaster.load(version.folder)
        except ModelFileError as error:
            self._log(f"Version {version.version} cannot be loaded: {error}")
            return None


def same_season(history: HourGrid, at: np.datetime64) -> HourGrid:
    """The history with all hours set to NaN that are more than 45 days from the same time of year in any year."""
    year = np.timedelta64(365 * 24 + 6, "h")
    distance = (history.hours - at.astype("datetime64[h]")) % year
    near = (distance <= SEASON) | (year - distance <= SEASON)
    values = np.where(near[None, :, None], history.values, np.float32(np.nan))
    return history.with_values(values)


def _is(model: object, version: ModelVersion) -> bool:
    return (getattr(model, "kind", None), getattr(model, "version", None)) == (version.kind, version.version)
