"""What the store tells: how old everything is, how stations do, how long forecasts take, polls and verification."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

from sqlalchemy import Connection, Engine, and_, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import Histogram, MetricSample
from weatherglass.formatting import first_line
from weatherglass.records import Method, Quality
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.store import polls
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.latest_per_station import newest_per_station
from weatherglass.store.schema import observations, predictions, promotions, verification_runs

log = logging.getLogger(__name__)

INTERVAL_FROM = 13
"""A station's usual interval is the median step between so many of its newest observations."""
INTERVALS_EVERY = timedelta(minutes=5)
SHORTEST_INTERVAL = 60.0
FORGOTTEN = timedelta(days=30)
"""A station silent for longer than this is taken for one that was given up."""
STILL = ("flat_line",)
"""Checks that fail on a value that stands still."""
WARM_UP = timedelta(minutes=1)
"""Observations that waited for the pipeline's own start do not count as slow forecasts."""
MOST_AT_ONCE = 5000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class StoreMetrics:
    """Args:
    beginning: since when the pipeline runs; nobody was silent while it did not.
    now: the watcher's start.
    """

    def __init__(self, settings: Settings, now: datetime, beginning: datetime):
        self._settings = settings
        self.engine: Engine = open_store(settings.store_url)
        self._beginning = beginning
        self._counted_from = now + WARM_UP
        self._told_until = now
        self._poll_number: int | None = None
        self._outcomes: dict[str, int] = {}
        self._polled = dict.fromkeys(("new", "filled", "revised", "repeated"), 0)
        self._intervals: dict[str, float] = {}
        self._intervals_at: datetime | None = None
        self._from_publishing = Histogram(m.FROM_PUBLISHING)
        self._from_observation = Histogram(m.FROM_OBSERVATION)

    def look(self, sample: MetricSample) -> None:
        self._from_publishing.into(sample)
        self._from_observation.into(sample)
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                self._stations(connection, sample)
                self._forecasts(connection, sample)
                self._delays(connection)
                self._polls(connection, sample)
                self._verification(connection, sample)
            sample.put(m.STORE_UP, 1)
        except SQLAlchemyError as error:
            words = first_line(error)
            log.warning("the store at %r cannot be read: %s", self.engine.url, words)
            self.engine.dispose()
            sample.put(m.STORE_UP, 0)
        file = sqlite_file(self._settings.store_url)
        if file is not None and file.exists():
            sample.put(m.STORE_BYTES, file.stat().st_size)

    def close(self) -> None:
        self.engine.dispose()

    def _age(self, sample: MetricSample, time: datetime | None) -> float:
        return max((sample.at - max(time or LONG_AGO, self._beginning)).total_seconds(), 0.0)

    # --- stations

    def _stations(self, connection: Connection, sample: MetricSample) -> None:
        newest = select(func.max(observations.c.stored_at))
        arrived = connection.execute(newest).scalar()
        if arrived is None and self._beginning == LONG_AGO:
            return
        sample.put(m.OBSERVATION_AGE, self._age(sample, arrived))
        columns = (observations.c.station_id, observations.c.timestamp, observations.c.stored_at, observations.c.source)
        rows = [
            row
            for row in connection.execute(newest_per_station(observations).with_only_columns(*columns))
            if sample.at - row.stored_at < FORGOTTEN and self._is_ours(row.source)
        ]
        stale = self._intervals_at is None or sample.at - self._intervals_at >= INTERVALS_EVERY
        if stale or any(row.station_id not in self._intervals for row in rows):
            self._intervals = {row.station_id: usual_interval(connection, row.station_id) for row in rows}
            self._intervals_at = sample.at
        newest_of_all = max((row.timestamp for row in rows), default=LONG_AGO)
        for row in rows:
            interval = self._intervals.get(row.station_id)
            if interval is None:
                continue
            sample.put(m.SILENCE, self._age(sample, row.stored_at) / interval, row.station_id)
            sample.put(m.BEHIND, (newest_of_all - row.timestamp).total_seconds() / interval, row.station_id)

    def _is_ours(self, source: str | None) -> bool:
        """Whether the station is one of the present source: those of another are not expected to report."""
        return source is None or self._settings.source is Source.AUTO or source == self._settings.source.value

    # --- forecasts

    def _forecasts(self, connection: Connection, sample: MetricSample) -> None:
        arrived = connection.execute(select(func.max(predictions.c.stored_at))).scalar()
        if arrived is not None:
            sample.put(m.PREDICTION_AGE, self._age(sample, arrived))
        wanted = predictions.c
        columns = (wanted.station_id, wanted.method, wanted.anomaly, wanted.source, wanted.stored_at)
        rows = [
            row
            for row in connection.execute(newest_per_station(predictions).with_only_columns(*columns))
            if sample.at - row.stored_at < FORGOTTEN and self._is_ours(row.source)
        ]
        if rows:
            sample.put(m.FALLBACK, sum(row.method != Method.MODEL for row in rows) / len(rows))
        for row in rows:
            checks = row.anomaly.get("checks", {})
            sample.put(m.FROZEN, any(checks.get(name) == Quality.FAILED for name in STILL), row.station_id)
        serving = connection.execute(
            select(promotions.c.to_version)
            .where(promotions.c.kind == "forecaster", promotions.c.action.in_(("promote", "rollback")))
            .order_by(promotions.c.id.desc())
            .limit(1)
        ).scalar()
        if serving is not None:
            first = select(func.min(promotions.c.at)).where(
                promotions.c.kind == "forecaster", promotions.c.to_version == serving
            )
            made = connection.execute(first).scalar()
            if made is not None:
                sample.put(m.MODEL_AGE, (sample.at - made).total_seconds())

    def _delays(self, connection: Connection) -> None:
        """Count each new prediction once. One that answers an observation stored again since is left out."""
        query = (
            select(
                predictions.c.station_id,
                predictions.c.timestamp,
                predictions.c.stored_at.label("answered"),
                observations.c.stored_at.label("published"),
            )
            .join_from(
                predictions,
                observations,
                and_(
                    observations.c.station_id == predictions.c.station_id,
                    observations.c.timestamp == predictions.c.timestamp,
                ),
            )
            .where(predictions.c.stored_at > self._told_until)
            .order_by(predictions.c.stored_at)
            .limit(MOST_AT_ONCE)
        )
        for row in connection.execute(query):
            self._told_until = row.answered
            if self._counted_from <= row.published <= row.answered:
                self._from_publishing.observe((row.answered - row.published).total_seconds(), row.station_id)
                self._from_observation.observe((row.answered - row.timestamp).total_seconds(), row.station_id)

    # --- polls and verification

    def _polls(self, connection: Connection, sample: MetricSample) -> None:
        last = polls.last_number(connection)
        new, self._poll_number = polls.after(connection, last - 1 if self._poll_number is None else self._poll_number)
        if not new and last == 0 and self._beginning == LONG_AGO:
            return
        for poll in new:
            self._outcomes[poll.outcome] = self._outcomes.get(poll.outcome, 0) + 1
            for kind in self._polled:
                self._polled[kind] += getattr(poll, kind)
        for outcome, count in self._outcomes.items():
            sample.put(m.POLLS, count, outcome)
        for kind, count in self._polled.items():
            sample.put(m.POLLED, count, kind)
        interval = 60.0 * (1 if self._settings.source is Source.REPLAY else self._settings.poll_minutes)
        sample.put(m.POLL_AGE, self._age(sample, polls.last_answered(connection)) / interval)
        newest = polls.newest(connection)
        if newest is not None:
            sample.put(m.POLL_SECONDS, newest.seconds)
            sample.put(m.UNOBSERVED, newest.unobserved)
            if newest.clock_skew is not None:
                sample.put(m.CLOCK_SKEW, abs(newest.clock_skew))
        used = polls.calls_since(connection, sample.at - timedelta(days=1))
        sample.put(m.BUDGET, used / OPEN_METEO_CALLS_PER_DAY)

    def _verification(self, connection: Connection, sample: MetricSample) -> None:
        first, last = connection.execute(
            select(func.min(verification_runs.c.at), func.max(verification_runs.c.at))
        ).one()
        if last is None:
            return
        sample.put(m.VERIFICATION_AGE, self._age(sample, last))
        with_truth = select(func.max(verification_runs.c.at)).where(verification_runs.c.pairs > 0)
        found = connection.execute(with_truth).scalar()
        sample.put(m.TRUTHLESS, max((last - max(found or first, self._beginning)).total_seconds(), 0.0))


def usual_interval(connection: Connection, station_id: str) -> float:
    """Seconds between a station's observations, as its newest ones have it; an hour where there are too few."""
    query = (
        select(observations.c.timestamp)
        .where(observations.c.station_id == station_id)
        .order_by(observations.c.timestamp.desc())
        .limit(INTERVAL_FROM)
    )
    times = [time for (time,) in connection.execute(query)]
    steps = [(later - earlier).total_seconds() for later, earlier in pairwise(times)]
    return max(median(steps), SHORTEST_INTERVAL) if len(steps) > 2 else 3600.0
