"""One poll of the source: publish what is new, fill what was missed.

What was last published of each station is kept in the store, written after the broker's acknowledgement. So a crash
between the two publishes a step again, which the stream takes as the duplicate it is; nothing is lost.

A station that failed while others were observed is filled when it is back, but behind the stream's watermark: its
missed observations are kept on `weather-raw` and in the store, and make no windows.
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

from producer.open_meteo import MAX_PAST_DAYS, OpenMeteo, check_budget
from producer.open_meteo_schema import Observed, OpenMeteoError, StationObservations
from producer.publish import PublishError, open_producer, publish
from producer.replay.labels import fetch_labels
from producer.sources import client_of, observed_stations, origin_of
from weatherglass.formatting import counted
from weatherglass.history.sources import SourceError
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings, SettingsError, Source, load_settings
from weatherglass.stations import Station
from weatherglass.store.detection_scores import note_faults
from weatherglass.store.engine import open_store
from weatherglass.store.last_published import last_published, remember
from weatherglass.store.polls import Poll, record

QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
QUARTERS_REACH = timedelta(days=14)
"""A gap up to this is filled in steps of 15 minutes, a longer one by the hour (Open-Meteo counts a call for more than
two weeks several times)."""

Say = Callable[[str], None]


class NothingObservedError(Exception):
    """No station could be observed; the message says why."""


@dataclass(frozen=True)
class IngestReport:
    """What a poll did. Counts are observations."""

    new: int
    """Published: the present observations."""
    filled: int
    """Published: steps before the present one, of the backfill or a gap."""
    revised: int
    """Published again, since the values of a time have changed."""
    repeated: int
    """Not published: already published like this."""
    newest: datetime | None
    """Time of the newest observation published by this poll; UTC."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why a station could not be observed, by its id."""

    @property
    def published(self) -> int:
        return self.new + self.filled + self.revised


@dataclass
class _Plan:
    """What one answer leads to."""

    new: list[Observation] = field(default_factory=list)
    filled: list[Observation] = field(default_factory=list)
    revised: list[Observation] = field(default_factory=list)
    repeated: int = 0


def ingest(settings: Settings, now: datetime, say: Say = print) -> IngestReport:
    """Poll the source once and publish to `weather-raw` what is new, all stations' earlier times before later ones.

    A source never polled before is asked for the hours of the backfill first; after a gap it is asked for all steps
    since the last one published. `settings.source` AUTO counts as Open-Meteo. Needs a migrated store.

    Raises:
        OpenMeteoError: the source did not answer, or not with what was asked for.
        NothingObservedError: it answered, but for no station with anything usable.
        PublishError: the broker did not take everything; what it took is remembered.
        SettingsError: the polls are beyond the free API's budget.
        SourceError: the data of the replay cannot be read.
    """
    stations = observed_stations(settings)
    if settings.source is not Source.REPLAY:
        check_budget(settings, len(stations))
    engine = open_store(settings.store_url)
    try:
        with client_of(settings) as client, _recorded(engine, client, settings, now) as poll:
            with engine.connect() as connection:
                last = last_published(connection)
            observed = _observe(client, settings, stations, last, now, say)
            poll.unobserved = len(observed.failures)
            for name, why in observed.failures.items():
                say(f"WARNING {name} was not observed: {why}")
            if not observed.stations:
                raise NothingObservedError(
                    f"none of the {len(stations)} stations could be observed; "
                    + "; ".join(f"{name}: {why}" for name, why in list(observed.failures.items())[:3])
                )
            plan = _plan(observed, last, now, say)
            newest = _publish(settings, engine, plan, now, say)
            poll.new, poll.filled, poll.revised = len(plan.new), len(plan.filled), len(plan.revised)
            poll.repeated = plan.repeated
            if settings.source is Source.REPLAY and settings.replay_faults:
                _label(settings, engine, say)
    finally:
        engine.dispose()
    report = IngestReport(
        new=len(plan.new),
        filled=len(plan.filled),
        revised=len(plan.revised),
        repeated=plan.repeated,
        newest=newest,
        failures=observed.failures,
    )
    say(_summary(report, len(stations)))
    return report


def steps_to_ask_for(
    stations: tuple[Station, ...], last: dict[str, Observation], now: datetime, backfill_hours: int, horizon: timedelta
) -> tuple[int, int]:
    """How many past quarters of an hour and past hours a poll asks for, so that no station misses a step.

    Args:
        horizon: what is older the stream rejects, so it is not asked for.
    """
    hours = backfill_hours if any(station.station_id not in last for station in stations) else 0
    times = [last[station.station_id].timestamp for station in stations if station.station_id in last]
    gap = min(max((now - time for time in times), default=timedelta()), horizon, timedelta(days=MAX_PAST_DAYS))
    if gap <= QUARTERS_REACH:
        return max(0, gap // QUARTER - 1), hours
    return QUARTERS_REACH // QUARTER, max(hours, gap // HOUR)


@contextmanager
def _recorded(engine: Engine, client: OpenMeteo, settings: Settings, now: datetime) -> Iterator[Poll]:
    """Keep in the store how a poll went, whatever comes of it. It is no reason to fail if that cannot be done."""
    poll, started = Poll(now), monotonic()
    try:
        yield poll
    except Exception as error:
        poll.outcome = type(error).__name__
        raise
    finally:
        poll.seconds = monotonic() - started
        poll.at = now + timedelta(seconds=poll.seconds)
        poll.calls = 0 if settings.source is Source.REPLAY else client.calls
        poll.clock_skew = client.clock_skew
        with suppress(SQLAlchemyError), engine.begin() as connection:
            record(connection, poll)


def _observe(
    client: OpenMeteo,
    settings: Settings,
    stations: tuple[Station, ...],
    last: dict[str, Observation],
    now: datetime,
    say: Say,
) -> Observed:
    horizon = timedelta(hours=settings.past_horizon_hours)
    quarters, hours = steps_to_ask_for(stations, last, now, settings.backfill_hours, horizon)
    if hours or quarters:
        asked = [f"{hours} past hours"] * bool(hours) + [f"{quarters} past quarters of an hour"] * bool(quarters)
        say(f"asking {len(stations)} stations for the present and {' and '.join(asked)}")
    return client.observe(stations, quarters, hours)


def _plan(observed: Observed, last: dict[str, Observation], now: datetime, say: Say) -> _Plan:
    plan = _Plan()
    for name, found in observed.stations.items():
        before = last.get(name)
        steps = _steps(found, has_past=before is not None)
        future = [time for time in steps if time > now]
        if future:
            many = counted(len(future), "observation")
            say(f"WARNING {name}: {many} in the future, up to {iso(max(future))}, left out")
        present = found.current.timestamp if found.current else None
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


def _steps(found: StationObservations, *, has_past: bool) -> dict[datetime, Observation]:
    """The observations by time, none later than the present one; of one time `current` counts before the others.

    A station's very first past is hourly, as history is; the quarters that other stations needed are left out.
    """
    parts = [*found.hours, *(found.quarters if has_past else ())]
    if found.current:
        parts = [o for o in parts if o.timestamp < found.current.timestamp] + [found.current]
    return {observation.timestamp: observation for observation in parts}


def _publish(settings: Settings, engine: Engine, plan: _Plan, now: datetime, say: Say) -> datetime | None:
    waiting = [*plan.new, *plan.filled, *plan.revised]
    if not waiting:
        return None
    acknowledged: dict[str, Observation] = {}
    try:
        with open_producer(settings.bootstrap_servers) as producer:
            for step in publish(producer, waiting, origin_of(settings), now):
                acknowledged |= {observation.station_id: observation for observation in step}
    except PublishError:
        say(f"WARNING not everything was published; the newest of {len(acknowledged)} stations are remembered")
        raise
    finally:
        if acknowledged:
            with engine.begin() as connection:
                remember(connection, list(acknowledged.values()))
    return max(observation.timestamp for observation in acknowledged.values())


def _label(settings: Settings, engine: Engine, say: Say) -> None:
    """Keep the labels of the faults that the replay injects. What fails now is made up for by the next poll."""
    try:
        labels = fetch_labels(settings)
        with engine.begin() as connection:
            note_faults(connection, labels)
    except (requests.RequestException, SQLAlchemyError) as error:
        say(f"WARNING the labels of injected faults could not be kept: {error}")
        return
    say(f"faults are injected on purpose into {settings.replay_faults:.1%} of the values; {len(labels)} are labelled")


def _summary(report: IngestReport, stations: int) -> str:
    if report.newest is None:
        return f"nothing new: {report.repeated} of {stations} stations repeat their last observation"
    words = [f"{report.new} new", f"{report.filled} filled", f"{report.revised} revised", f"{report.repeated} repeated"]
    if report.failures:
        words.append(f"{len(report.failures)} of {stations} stations failed")
    return f"published {counted(report.published, 'observation')} up to {iso(report.newest)}: {', '.join(words)}"


def main() -> int:
    """`python -m producer.ingest`: one poll; 0 if at least one station was observed and all of it was published."""
    from weatherglass.store.migrate import migrate  # the scheduled poll finds the store migrated, and is quicker so

    try:
        settings = load_settings()
        migrate(settings.store_url)
        ingest(settings, datetime.now(UTC), lambda words: print(words, flush=True))
    except (OpenMeteoError, NothingObservedError, PublishError, SettingsError, SourceError) as error:
        print(f"ingest failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
