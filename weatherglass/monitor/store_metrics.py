"""Metrics from the store: ages, station delays, forecast latency, polls and verification."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import observation_interval
from weatherglass.alerts.sample import Histogram, MetricSample
from weatherglass.formatting import first_line
from weatherglass.qc.station_status import UNKNOWN_INTERVAL, usual_interval
from weatherglass.record_headers import POLLED_ORIGINS, Origin, origin_of
from weatherglass.records import (
    Method,
    Quality,
)
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.store import polls
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.latest_per_station import latest_per_station
from weatherglass.store.readable import read_row, stored_origin
from weatherglass.store.schema import guidance, observations, predictions, promotions, verification_runs

log = logging.getLogger(__name__)

INTERVAL_SAMPLE = 13
"""Number of newest observations from which a station's usual interval is determined, as the median step."""
INTERVAL_REFRESH = timedelta(minutes=5)
MIN_INTERVAL_SECONDS = 60.0
STATION_EXPIRY = timedelta(days=30)
"""A station that has not reported for longer is considered to be removed."""
FROZEN_CHECKS = ("flat_line",)
"""Checks that fail on a value that does not change."""
WARM_UP = timedelta(minutes=1)
"""Observations that waited for the start of the pipeline do not count towards forecast latency."""
MAX_ROWS = 5000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoreMetrics:
    """Metrics from the store.

    Args:
        now: start of the monitor.
        pipeline_start: start of the pipeline; ages do not count from before.
    """

    def __init__(self, settings: Settings, now: datetime, pipeline_start: datetime):
        self._settings = settings
        self.engine: Engine = open_store(settings.store_url)
        self._pipeline_start = pipeline_start
        self._latency_from = now + WARM_UP
        self._latency_until = now
        self._last_poll_id: int | None = None
        self._poll_outcomes: dict[str, int] = {}
        self._poll_counts = dict.fromkeys(("new", "filled", "revised", "repeated"), 0)
        self._intervals: dict[str, float] = {}
        self._intervals_at: datetime | None = None
        self._publishing_latency = Histogram(m.PUBLISHING_TO_PREDICTION)
        self._observation_latency = Histogram(m.OBSERVATION_TO_PREDICTION)

    def collect(self, sample: MetricSample) -> None:
        self._publishing_latency.write_to(sample)
        self._observation_latency.write_to(sample)
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                self._put_stations(connection, sample)
                self._put_forecasts(connection, sample)
                self._observe_latency(connection)
                self._put_guidance(connection, sample)
                self._put_polls(connection, sample)
                self._put_verification(connection, sample)
            sample.put(m.STORE_UP, 1)
        except SQLAlchemyError as error:
            log.warning("Store at %r cannot be read: %s", self.engine.url, first_line(error))
            self.engine.dispose()
            sample.put(m.STORE_UP, 0)
        file = sqlite_file(self._settings.store_url)
        if file is not None and file.exists():
            sample.put(m.STORE_BYTES, file.stat().st_size)

    def close(self) -> None:
        self.engine.dispose()

    def _age(self, sample: MetricSample, time: datetime | None) -> float:
        return max((sample.at - max(time or EPOCH, self._pipeline_start)).total_seconds(), 0.0)

    # --- stations

    def _put_stations(self, connection: Connection, sample: MetricSample) -> None:
        newest = select(func.max(observations.c.stored_at))
        arrived = connection.execute(newest).scalar()
        if arrived is None and self._pipeline_start == EPOCH:
            return
        age = self._age(sample, arrived)
        sample.put(m.OBSERVATION_AGE, age)
        columns = (observations.c.station_id, observations.c.timestamp, observations.c.stored_at, observations.c.source)
        rows = [
            row
            for row in connection.execute(latest_per_station(observations).with_only_columns(*columns))
            if sample.at - row.stored_at < STATION_EXPIRY and self._is_expected(row.source)
        ]
        interval = observation_interval(self._settings.source, [row.source for row in rows])
        sample.put(m.OBSERVATION_AGE_RATIO, age / interval.total_seconds())
        stale = self._intervals_at is None or sample.at - self._intervals_at >= INTERVAL_REFRESH
        if stale or any(row.station_id not in self._intervals for row in rows):
            self._intervals = {row.station_id: station_interval(connection, row.station_id, row.source) for row in rows}
            self._intervals_at = sample.at
        newest_of_kind = {True: EPOCH, False: EPOCH}  # of own stations, whose clocks may be ahead, and of the others
        for row in rows:
            is_own = row.source == Origin.OWN
            newest_of_kind[is_own] = max(newest_of_kind[is_own], min(row.timestamp, sample.at))
        for row in rows:
            seconds = self._intervals.get(row.station_id)
            if seconds is None:
                continue
            sample.put(m.STATION_SILENCE, self._age(sample, row.stored_at) / seconds, row.station_id)
            delay = max(newest_of_kind[row.source == Origin.OWN] - row.timestamp, timedelta())
            sample.put(m.STATION_DELAY, delay.total_seconds() / seconds, row.station_id)

    def _is_expected(self, source: str | None) -> bool:
        """Whether the station belongs to a current source; stations of other sources are not expected to report."""
        polled = POLLED_ORIGINS if self._settings.source is Source.AUTO else (origin_of(self._settings.source),)
        return source in (None, Origin.OWN, *polled)

    # --- forecasts

    def _put_forecasts(self, connection: Connection, sample: MetricSample) -> None:
        arrived = connection.execute(select(func.max(predictions.c.stored_at))).scalar()
        if arrived is not None:
            sample.put(m.PREDICTION_AGE, self._age(sample, arrived))
        c = predictions.c
        columns = (c.station_id, c.method, c.anomaly, c.source, c.stored_at)
        rows = [
            row
            for row in connection.execute(latest_per_station(predictions).with_only_columns(*columns))
            if sample.at - row.stored_at < STATION_EXPIRY and self._is_expected(row.source)
        ]
        if rows:
            sample.put(m.FALLBACK_RATIO, sum(row.method != Method.MODEL for row in rows) / len(rows))
        for row in rows:
            if (frozen := read_row(row.anomaly, _is_frozen)) is not None:
                sample.put(m.STATION_FROZEN, frozen, row.station_id)
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
            promoted_at = connection.execute(first).scalar()
            if promoted_at is not None:
                sample.put(m.MODEL_AGE, (sample.at - promoted_at).total_seconds())

    def _observe_latency(self, connection: Connection) -> None:
        """Observe the latency of each new prediction once, unless its observation was stored again since."""
        query = (
            select(
                predictions.c.station_id,
                predictions.c.timestamp,
                predictions.c.stored_at.label("predicted_at"),
                observations.c.stored_at.label("published_at"),
            )
            .join_from(
                predictions,
                observations,
                and_(
                    observations.c.station_id == predictions.c.station_id,
                    observations.c.timestamp == predictions.c.timestamp,
                ),
            )
            .where(predictions.c.stored_at > self._latency_until)
            .order_by(predictions.c.stored_at)
            .limit(MAX_ROWS)
        )
        for row in connection.execute(query):
            self._latency_until = row.predicted_at
            if self._latency_from <= row.published_at <= row.predicted_at:
                self._publishing_latency.observe((row.predicted_at - row.published_at).total_seconds(), row.station_id)
                self._observation_latency.observe((row.predicted_at - row.timestamp).total_seconds(), row.station_id)

    # --- polls and verification

    def _put_polls(self, connection: Connection, sample: MetricSample) -> None:
        last = polls.last_id(connection)
        new, self._last_poll_id = polls.polls_after(
            connection, last - 1 if self._last_poll_id is None else self._last_poll_id
        )
        if not new and last == 0 and self._pipeline_start == EPOCH:
            return
        for poll in new:
            self._poll_outcomes[poll.outcome] = self._poll_outcomes.get(poll.outcome, 0) + 1
            for kind in self._poll_counts:
                self._poll_counts[kind] += getattr(poll, kind)
        for outcome, count in self._poll_outcomes.items():
            sample.put(m.POLLS, count, outcome)
        for kind, count in self._poll_counts.items():
            sample.put(m.POLLED_OBSERVATIONS, count, kind)
        if self._settings.source is not Source.SIMULATE:  # whose observations are not polled
            interval = 60.0 * self._settings.poll_interval_minutes
            sample.put(m.POLL_AGE, self._age(sample, polls.last_success(connection)) / interval)
        newest = polls.last_poll(connection)
        if newest is not None:
            sample.put(m.POLL_SECONDS, newest.seconds)
            sample.put(m.UNOBSERVED_STATIONS, newest.unobserved)
            if newest.clock_skew is not None:
                sample.put(m.CLOCK_SKEW, abs(newest.clock_skew))
        calls = polls.calls_since(connection, sample.at - timedelta(days=1))
        sample.put(m.BUDGET_USED, calls / OPEN_METEO_CALLS_PER_DAY)

    def _put_guidance(self, connection: Connection, sample: MetricSample) -> None:
        """Without any stored run, guidance is not expected: the source may have none for the stations."""
        newest = connection.execute(select(func.max(guidance.c.stored_at))).scalar()
        if newest is not None and self._settings.guidance_model_ids:
            sample.put(m.GUIDANCE_AGE, self._age(sample, newest))

    def _put_verification(self, connection: Connection, sample: MetricSample) -> None:
        first, last = connection.execute(
            select(func.min(verification_runs.c.at), func.max(verification_runs.c.at))
        ).one()
        if last is None:
            return
        sample.put(m.VERIFICATION_AGE, self._age(sample, last))
        with_truth = select(func.max(verification_runs.c.at)).where(verification_runs.c.pairs > 0)
        last_with_truth = connection.execute(with_truth).scalar()
        sample.put(m.TRUTH_AGE, max((last - max(last_with_truth or first, self._pipeline_start)).total_seconds(), 0.0))


def station_interval(connection: Connection, station_id: str, source: str | None) -> float:
    """Usual interval of a station's newest observations of a source, seconds; an hour if it is not known."""
    query = (
        select(observations.c.timestamp)
        .where(observations.c.station_id == station_id, observations.c.source.is_not_distinct_from(source))
        .order_by(observations.c.timestamp.desc())
        .limit(INTERVAL_SAMPLE)
    )
    times = [time for (time,) in connection.execute(query)][::-1]
    interval = usual_interval(times, stored_origin(source)) or UNKNOWN_INTERVAL
    return max(interval.total_seconds(), MIN_INTERVAL_SECONDS)


def _is_frozen(anomaly: dict[str, Any]) -> bool:
    """Whether a check for a sensor that no longer changes failed for a prediction."""
    checks = anomaly.get("checks", {})
    return any(checks.get(name) == Quality.FAILED for name in FROZEN_CHECKS)
