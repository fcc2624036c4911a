"""One poll of the source: publishes new observations and fills gaps.

The last published observation of each station is kept in the store and written after the broker's acknowledgement. A
crash between the two publishes a step again; the stream recognizes the duplicates, and nothing is lost.

If one station fails while others are observed, its gap is filled later. The stream adds the observations to their
windows, unless the station has sent newer ones before: then they are kept on `weather-raw` and in the store, and are in
no window.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

import requests
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from producer.api_client import ApiClient
from producer.api_response import ApiError, ApiRefusal, ParsedResponse, StationObservations
from producer.metar import Metar
from producer.open_meteo import check_budget
from producer.open_meteo_poll import request_open_meteo
from producer.publish import PublishError, open_producer, publish
from producer.replay.labels import fetch_labels
from producer.sources import observed_stations, open_client, record_origin
from weatherglass.formatting import count_noun
from weatherglass.history.sources import SourceError
from weatherglass.record_headers import Origin
from weatherglass.records import (
    Observation,
    iso,
)
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, SettingsError, Source, load_settings
from weatherglass.stations import StationsError, known_stations
from weatherglass.store.detection_scores import save_faults
from weatherglass.store.engine import open_store
from weatherglass.store.last_published import last_published, save_last_published
from weatherglass.store.polls import Poll, calls_since, save_poll

Log = Callable[[str], None]


class NothingObservedError(Exception):
    """No station could be observed; the message gives the reasons."""


@dataclass(frozen=True)
class IngestReport:
    """Result of a poll.

    Attributes:
        new: number of published present observations.
        filled: number of published observations before the present one, from the backfill or a gap.
        revised: number of observations published again because their values changed.
        repeated: number of observations that were not published because they were published before.
        newest: time of the newest observation published by this poll; UTC.
        failures: station id -> why the station could not be observed.
        refused: number of values and times that were refused, because their meaning is not certain.
    """

    new: int
    filled: int
    revised: int
    repeated: int
    newest: datetime | None
    failures: dict[str, str] = field(default_factory=dict)
    refused: int = 0

    @property
    def published(self) -> int:
        return self.new + self.filled + self.revised


@dataclass
class _PublishPlan:
    """The observations of a response, sorted by what to do with them."""

    new: list[Observation] = field(default_factory=list)
    filled: list[Observation] = field(default_factory=list)
    revised: list[Observation] = field(default_factory=list)
    repeated: int = 0


def ingest(settings: Settings, now: datetime, log: Log = print) -> IngestReport:
    """Poll the source once and publish new observations to `weather-raw`, in order of time for all stations together.

    The first poll of a source also requests the backfill; after a gap, a poll requests everything since the last
    published observation. AUTO in `settings.source` counts as Open-Meteo. The store must be migrated.

    Args:
        now: UTC.

    Raises:
        ApiError: the source is not available, or no response can be used.
        NothingObservedError: the response has usable data for no station.
        PublishError: the broker did not acknowledge all observations; the acknowledged ones are recorded.
        SettingsError: the polling interval exceeds the budget of the free API.
        SourceError: the data of the replay cannot be read, or no station is polled.
        StationsError: the station table cannot be used.
    """
    stations = observed_stations(settings)
    if settings.source not in (Source.REPLAY, Source.METAR):
        check_budget(settings, len(stations))
    engine = open_store(settings.store_url)
    try:
        with open_client(settings) as client, _record_poll(engine, client, settings, now) as poll:
            with engine.connect() as connection:
                last = last_published(connection)
                used = calls_since(connection, now - timedelta(days=1))
            if isinstance(client, Metar):
                backfill, horizon = (timedelta(hours=h) for h in (settings.backfill_hours, settings.past_horizon_hours))
                response = client.observe(stations, last, now, backfill, horizon, log)
            else:
                spare = None if settings.source is Source.REPLAY else OPEN_METEO_CALLS_PER_DAY - used
                response = request_open_meteo(client, settings, stations, last, now, spare, log)
            poll.unobserved = len(response.failures)
            _check_response(response, log)
            plan = _plan(response, last, now, log)
            newest = _publish(settings, engine, plan, record_origin(settings, client), now, log)
            poll.new, poll.filled, poll.revised = len(plan.new), len(plan.filled), len(plan.revised)
            poll.repeated = plan.repeated
            if settings.source is Source.REPLAY and settings.replay_faults:
                _save_labels(settings, engine, log)
    finally:
        engine.dispose()
    report = IngestReport(
        new=len(plan.new),
        filled=len(plan.filled),
        revised=len(plan.revised),
        repeated=plan.repeated,
        newest=newest,
        failures=response.failures,
        refused=sum(refusal.count for refusal in response.refusals),
    )
    log(_summary(report, len(stations)))
    return report


@contextmanager
def _record_poll(engine: Engine, client: ApiClient, settings: Settings, now: datetime) -> Iterator[Poll]:
    """Save the outcome of a poll in the store, even if the poll fails. A failure to save it is ignored."""
    poll, started = Poll(now), monotonic()
    try:
        yield poll
    except Exception as error:
        poll.outcome = type(error).__name__
        raise
    finally:
        poll.seconds = monotonic() - started
        poll.at = now + timedelta(seconds=poll.seconds)
        poll.calls = 0 if settings.source in (Source.REPLAY, Source.METAR) else client.calls
        poll.clock_skew = client.clock_skew
        with suppress(SQLAlchemyError), engine.begin() as connection:
            save_poll(connection, poll)


def _check_response(response: ParsedResponse, log: Log) -> None:
    """Log each station without an observation, and what is refused of the others.

    Raises:
        NothingObservedError: there is no observation of any station.
    """
    for name, reason in response.failures.items():
        log(f"WARNING: no observation of {name}: {reason}")
    _log_refusals(response, log)
    if not response.stations:
        raise NothingObservedError(
            f"No observation of any of the {len(response.failures)} stations; "
            + "; ".join(f"{name}: {reason}" for name, reason in list(response.failures.items())[:3])
        )


def _log_refusals(response: ParsedResponse, log: Log) -> None:
    """One line for each kind of refusal, since it often concerns many stations."""
    kinds: dict[tuple[str, ...], list[ApiRefusal]] = {}
    for refusal in response.refusals:
        if refusal.station_id in response.stations:  # those of the others are in `failures`
            kinds.setdefault((refusal.field, refusal.code, refusal.value, refusal.allowed), []).append(refusal)
    for refusals in kinds.values():
        names = ", ".join(refusal.station_id for refusal in refusals[:3]) + ", …" * (len(refusals) > 3)
        log(f"WARNING: refused in the response for {count_noun(len(refusals), 'station')} ({names}): {refusals[0]}")


def _plan(response: ParsedResponse, last: dict[str, Observation], now: datetime, log: Log) -> _PublishPlan:
    plan = _PublishPlan()
    for name, observations in response.stations.items():
        before = last.get(name)
        steps = _merge_steps(observations, has_past=before is not None)
        future = [time for time in steps if time > now]
        if future:
            log(f"WARNING: {name}: skipping {count_noun(len(future), 'future observation')}, up to {iso(max(future))}")
        present = observations.current.timestamp if observations.current else None
        for time, observation in steps.items():
            if time > now or (before and time < before.timestamp):
                continue
            if before and time == before.timestamp:
                if observation == before:
                    plan.repeated += 1
                else:
                    plan.revised.append(observation)
            elif time == present:
                plan.new.append(observation)
            else:
                plan.filled.append(observation)
    return plan


def _merge_steps(observations: StationObservations, *, has_past: bool) -> dict[datetime, Observation]:
    """The observations by time, up to the present one; `current` takes precedence at the same time.

    The backfill of a new station is hourly, like history; quarter hours requested for other stations are ignored.
    """
    merged = [*observations.hours, *(observations.quarter_hours if has_past else ())]
    if observations.current:
        merged = [o for o in merged if o.timestamp < observations.current.timestamp] + [observations.current]
    return {observation.timestamp: observation for observation in merged}


def _publish(
    settings: Settings, engine: Engine, plan: _PublishPlan, origin: Origin, now: datetime, log: Log
) -> datetime | None:
    pending = [*plan.new, *plan.filled, *plan.revised]
    if not pending:
        return None
    acknowledged: dict[str, Observation] = {}
    try:
        with open_producer(settings.bootstrap_servers) as producer:
            for step in publish(producer, pending, origin, now):
                acknowledged |= {observation.station_id: observation for observation in step}
    except PublishError:
        log(f"WARNING: publishing failed; the last published observations of {len(acknowledged)} stations are recorded")
        raise
    finally:
        if acknowledged:
            with engine.begin() as connection:
                save_last_published(connection, list(acknowledged.values()))
    return max(observation.timestamp for observation in acknowledged.values())


def _save_labels(settings: Settings, engine: Engine, log: Log) -> None:
    """Save the labels of the faults that the replay injects. After a failure, the next poll saves them."""
    try:
        labels = fetch_labels(settings)
        with engine.begin() as connection:
            save_faults(connection, labels)
    except (requests.RequestException, SQLAlchemyError) as error:
        log(f"WARNING: labels of injected faults not saved: {error}")
        return
    log(f"Faults are injected into {settings.replay_faults:.1%} of the values; saved {len(labels)} labels")


def _summary(report: IngestReport, stations: int) -> str:
    if report.newest is None:
        return f"Nothing new: {report.repeated} of {stations} stations repeat their last observation"
    numbers = {name: getattr(report, name) for name in ("new", "filled", "revised", "repeated")}
    counts = [f"{number} {name}" for name, number in numbers.items()]
    if report.failures:
        counts.append(f"{len(report.failures)} of {stations} stations failed")
    if report.refused:
        counts.append(f"{count_noun(report.refused, 'value')} refused")
    return f"Published {count_noun(report.published, 'observation')} up to {iso(report.newest)}: {', '.join(counts)}"


def main() -> int:
    """`python -m producer.ingest`: one poll; exit code 0 if it published observations of at least one station."""
    from weatherglass.store.migrate import migrate  # only here: the scheduled poll finds a migrated store

    try:
        settings = load_settings()
        known_stations(settings)  # before anything is created
        migrate(settings.store_url)
        ingest(settings, datetime.now(UTC), lambda line: print(line, flush=True))
    except (ApiError, NothingObservedError, PublishError, SettingsError, SourceError, StationsError) as error:
        print(f"Ingestion failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
