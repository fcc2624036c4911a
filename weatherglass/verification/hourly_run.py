"""What the DAG `verify_forecasts` does, step by step, with the settings' store, registry and history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from sqlalchemy import Engine

from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import read_history, read_stations, station_lookup
from weatherglass.history.sources.calendar import excluded_stretches
from weatherglass.records import VARIABLES
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.catalog import registered
from weatherglass.registry.registry import FORECASTER, ModelVersion, Registry
from weatherglass.settings import Settings
from weatherglass.stations import Station
from weatherglass.store import detection_scores, interval_scaling, observations, verification_queries, verification_rows
from weatherglass.store.alerts import Alert
from weatherglass.verification import degradation, detection, drift, observed_hours, sequential_test
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.hindcast import hindcast
from weatherglass.verification.recalibrate import first_hour, recalibrate
from weatherglass.verification.sequential_test import Decision, SequentialTest
from weatherglass.verification.verify import Verified, verify

COMPARE_EVERY = timedelta(hours=20)
"""A challenger is looked at about once a day."""
DRIFT_DAYS = 7
WHO = "verify_forecasts"

Say = Callable[[str], None]


@dataclass(frozen=True)
class ChampionChallenger:
    """Who serves and who challenges; each None without one."""

    champion: ModelVersion | None
    challenger: ModelVersion | None

    @property
    def pair(self) -> tuple[str, str] | None:
        if self.champion is None or self.challenger is None:
            return None
        return self.champion.version, self.challenger.version


class HourlyVerification:
    """One look at everything; `say` takes sentences for the task log. Times are UTC."""

    def __init__(self, settings: Settings, say: Say):
        self._settings = settings
        self._say = say
        self.registry = Registry(settings)
        self.store: Engine = self.registry.store()
        champion, challenger = self.registry.champion(FORECASTER), self.registry.challenger(FORECASTER)
        self.contest = ChampionChallenger(champion, challenger)
        self._model = self._load(champion)
        self._usual = ReferenceModel(self._model.climatology, self._model.damping) if self._model else None

    def verify(self, now: datetime) -> Verified:
        """Score what is new, and judge the flags of the days that it bears on: verdicts, and faults that go on."""
        done = verify(self.store, now, self._usual, self.contest.pair, station_lookup(self._settings), self._say)
        back = -(-detection.LONGEST // timedelta(days=1))
        days = {date.fromisoformat(str(day - np.timedelta64(ago, "D"))) for day in done.days for ago in range(back + 1)}
        with self.store.begin() as connection:
            rows = [row for day in sorted(days) for row in detection.judge(connection, day)]
        for row in rows:
            of = f"{row['kind']}, {row['truth']}" if row["kind"] else row["truth"]
            self._say(
                f"flags of detector {row['version']} on {row['day']} by {of}: {row['hits']} hits, "
                f"{row['misses']} misses, {row['false_alarms']} false alarms"
            )
        return done

    def hindcast(self, now: datetime) -> int:
        """Score champion and challenger on the end of history, if that has not been done; numbers paired."""
        wanted = [v for v in (self.contest.champion, self.contest.challenger) if v is not None]
        with self.store.connect() as connection:
            done = verification_rows.hindcast_versions(connection)
        if all(version.version in done for version in wanted) or not wanted:
            return 0
        history = self._history(now)
        models = {v.version: model for v in wanted if (model := self._load(v)) is not None}
        if history is None or not models:
            return 0
        with self.store.begin() as connection:
            return hindcast(connection, models, self._usual, history, self._say)

    def compare(self, now: datetime) -> SequentialTest | None:
        """Look at the challenger once a day; promote it, withdraw it, or wait. None when there was nothing to do."""
        if self.contest.pair is None:
            return None
        champion, challenger = self.contest.pair
        with self.store.connect() as connection:
            last = verification_queries.last_comparison(connection, champion, challenger)
            rows = verification_rows.pairs(connection, champion, challenger, hindcast=False)
        if last is not None and now - last.at < COMPARE_EVERY:
            return None
        today = now.astimezone(UTC).date()
        made = sequential_test.compare([row for row in rows if row.valid_hour.date() < today])
        self._say(f"challenger {challenger} beside champion {champion}:")
        for line in made.lines():
            self._say(line)
        self.registry.note(
            FORECASTER,
            challenger,
            {"decision": f"{made.decision.value}: {made.why}", "compared": "\n".join(made.lines())},
        )
        if made.decision is Decision.PROMOTE:
            self.registry.promote(FORECASTER, challenger, WHO, made.why, made.figures())
        elif made.decision is Decision.KEEP:
            self.registry.withdraw(FORECASTER, WHO, f"challenger {challenger}: {made.why}", made.figures())
        with self.store.begin() as connection:
            detection_scores.save_comparison(connection, now, champion, challenger, made)
        return made

    def recalibrate(self, now: datetime) -> None:
        """Once a UTC day: hold the intervals of champion and challenger to what came true in the last weeks."""
        today = now.astimezone(UTC).date()
        last = np.datetime64((now - observed_hours.MARGIN).astimezone(UTC).replace(tzinfo=None), "h")
        for version in (self.contest.champion, self.contest.challenger):
            if version is None:
                continue
            first = first_hour(last, _learnt(version))
            with self.store.connect() as connection:
                if first is None or interval_scaling.day(connection, version.version) == today:
                    continue
                model = self._load(version)
                if model is None:
                    continue
                stations = [
                    station_lookup(self._settings)(name) for name in sorted(observations.latest_all(connection))
                ]
                came = observed_hours.trusted(connection, first, last, stations)
            found = recalibrate(model, came)
            if not found:
                continue
            with self.store.begin() as connection:
                interval_scaling.replace(connection, version.version, today, found)
            usual = np.median([factors[..., -1] for factors in found.values()], axis=(0, 1))
            self._say(
                f"intervals of version {version.version} held to what came true at {len(found)} stations, mostly by "
                + ", ".join(f"{name.replace('_', ' ')} {f:.2f}" for name, f in zip(VARIABLES, usual, strict=True))
            )

    def watch(self, now: datetime) -> list[Alert]:
        """Compare the inputs with those of the training, then look for what has become worse; what is wrong now."""
        champion = self.contest.champion
        self._drift(now)
        metrics = next((m.metrics for m in registered(self._settings) if champion and _is(m, champion)), {})
        with self.store.begin() as connection:
            found = degradation.watch(connection, now, champion.version if champion else None, metrics)
        for alert in found:
            self._say(f"{alert.severity.value}: {alert.words}")
        return found

    def _drift(self, now: datetime) -> None:
        """Once a day: the last week against the same season of the history."""
        champion, model = self.contest.champion, self._model
        day = (now.astimezone(UTC) - timedelta(days=1)).date()
        if champion is None or model is None:
            return
        with self.store.connect() as connection:
            if any(
                row.day == day and row.version == champion.version
                for row in verification_queries.newest_drift(connection)
            ):
                return
            last = np.datetime64(day, "h") + np.timedelta64(23, "h")
            here = [s for s in (self._history_stations()) if s.station_id in set(model.climatology.station_ids)]
            recent = observed_hours.hourly(connection, last - np.timedelta64(24 * DRIFT_DAYS - 1, "h"), last, here)
        history = self._history(now)
        if history is None:
            return
        found = drift.compare(same_season(history, last), recent, model.climatology)
        with self.store.begin() as connection:
            detection_scores.save_drift(connection, champion.version, day, found)
        if found:
            most = max(found, key=lambda one: one.psi / one.psi_limit)
            self._say(
                f"inputs up to {day}: most drift in {most.feature}, PSI {most.psi:.2f} of {most.psi_limit:.2f} put "
                f"up with, KS {most.ks:.2f}"
            )

    def _history_stations(self) -> tuple[Station, ...]:
        try:
            return read_stations(self._settings.history_dir)
        except FileNotFoundError:
            return ()

    def _history(self, now: datetime) -> HourGrid | None:
        try:
            return read_history(self._settings.history_dir, excluded_stretches(self._settings, now))
        except FileNotFoundError as error:
            self._say(f"no history to look at: {error}")
            return None

    def _load(self, version: ModelVersion | None) -> BoostedForecaster | None:
        if version is None:
            return None
        try:
            return BoostedForecaster.load(version.folder)
        except ModelFileError as error:
            self._say(f"version {version.version} cannot be loaded: {error}")
            return None


SEASON = np.timedelta64(45, "D")


def same_season(history: HourGrid, at: np.datetime64) -> HourGrid:
    """The hours of a history within 45 days of a time of the year, in any year, the others missing."""
    year = np.timedelta64(365 * 24 + 6, "h")
    away = (history.hours - at.astype("datetime64[h]")) % year
    near = (away <= SEASON) | (year - away <= SEASON)
    values = np.where(near[None, :, None], history.values, np.float32(np.nan))
    return HourGrid(history.stations, history.start, values)


def _learnt(version: ModelVersion) -> np.datetime64 | None:
    """The last hour that a version has learnt from, as far as that is known."""
    hour = version.tags.get("data_last_hour")
    return np.datetime64(hour.removesuffix("Z"), "h") if hour else None


def _is(model: object, version: ModelVersion) -> bool:
    return (getattr(model, "kind", None), getattr(model, "version", None)) == (version.kind, version.version)
