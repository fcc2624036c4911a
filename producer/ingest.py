"""One poll of the source: publishes new observations and fills gaps.

The observations of each response are published before the next request, because the requests for the past of airports
take minutes. The last published observation of each station is kept in the store and written after the broker's
acknowledgement. A crash between the two publishes a step again; the stream recognizes the duplicates, and nothing is
lost.

If one station fails while others are observed, its gap is filled later. The stream adds the observations to their
windows, unless the station has sent newer ones before: then they are kept on `weather-raw` and in the store, and are in
no window.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

import requests
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from producer.api_response import ApiError, ApiRefusal, ParsedResponse
from producer.open_meteo import check_budget
from producer.polling import PollResult, SourceClients, State
from producer.publish import PublishError, open_producer, publish
from producer.publish_plan import PublishPlan, plan_publishing
from producer.recorded_poll import recorded_poll
from producer.replay.labels import fetch_labels
from producer.sources import observed_stations
from weatherglass.formatting import count_noun
from weatherglass.history.sources import SourceError
from weatherglass.record_headers import Origin
from weatherglass.records import (
    Observation,
    iso,
)
from weatherglass.settings import Settings, Source, load_settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import StationsError, known_stations
from weatherglass.store import model_output
from weatherglass.store.detection_scores import save_faults
from weatherglass.store.engine import open_store
from weatherglass.store.polls import Poll, calls_since
from weatherglass.store.published import last_published, save_published

Log = Callable[[str], None]


class NothingObservedError(Exception):
    """No station could be observed; the message gives the reasons."""


@dataclass
class IngestReport:
    """Result of a poll, or of its parts so far.

    Attributes:
        new: number of published present observations.
        filled: number of published observations before the present one, from the backfill or a gap.
        revised: number of observations published again because their values changed.
        repeated: number of observations that were not published because they were published before.
        stations: ids of the stations whose observations were published.
        newest: time of the newest observation published by this poll; UTC.
        failures: station id -> why the station could not be observed.
        refused: number of values and times that were refused, because their meaning is not certain.
    """

    new: int = 0
    filled: int = 0
    revised: int = 0
    repeated: int = 0
    stations: set[str] = field(default_factory=set)
    newest: datetime | None = None
    failures: dict[str, str] = field(default_factory=dict)
    refused: int = 0

    @property
    def published(self) -> int:
        return self.new + self.filled + self.revised

    def add_response(self, response: ParsedResponse) -> None:
        self.failures.update(response.failures)
        self.refused += sum(refusal.count for refusal in response.refusals)

    def add_published(self, plan: PublishPlan) -> None:
        """Count what has been published."""
        self.new += len(plan.new)
        self.filled += len(plan.filled)
        self.revised += len(plan.revised)
        self.repeated += plan.repeated
        for observation in plan.pending:
            self.stations.add(observation.station_id)
            self.newest = max(observation.timestamp, self.newest or observation.timestamp)


def ingest(settings: Settings, now: datetime, log: Log = print) -> IngestReport:
    """Poll the source once and publish new observations to `weather-raw`.

    The stations of each response are published and recorded before the next request, in order of time together.

    The first poll of a source also requests the backfill; after a gap, a poll requests everything since the last
    published observation. Model output is stored, not published. The store must be migrated.

    Args:
        now: UTC.

    Raises:
        ApiError: the source is not available, or no response can be used.
        NothingObservedError: no response has usable data for any station.
        PublishError: the broker did not acknowledge all observations; the acknowledged ones are recorded, and there is
            no further request.
        SettingsError: the polling interval exceeds the budget of the free API.
        SourceError: the data of the replay cannot be read, or no station is polled.
        StationsError: the station table cannot be used.
    """
    stations = observed_stations(settings)
    if settings.source not in (Source.REPLAY, Source.METAR):
        check_budget(settings, sum(Origin.OPEN_METEO in station.sources for station in stations))
    engine = open_store(settings.store_url)
    report, started = IngestReport(), monotonic()
    try:
        with SourceClients(settings) as clients, recorded_poll(engine, now, partial(_poll, clients, report)):
            with engine.connect() as connection:
                used = calls_since(connection, now - timedelta(days=1))
                state = State(last_published(connection), model_output.latest_all(connection), used)
            for part in clients.poll(stations, state, now, log):
                received = now + timedelta(seconds=monotonic() - started)
                report.add_response(part.response)
                _log_response(part.response, log)
                report.add_published(_publish_part(settings, engine, part, state, received, log))
            _check_observed(report, len(stations))
            if settings.source is Source.REPLAY and settings.replay_faults:
                _save_labels(settings, engine, log)
    finally:
        engine.dispose()
    log(_summary(report, len(stations)))
    return report


def _poll(clients: SourceClients, report: IngestReport, at: datetime, seconds: float, outcome: str) -> Poll:
    return Poll(
        at=at,
        seconds=seconds,
        outcome=outcome,
        new=report.new,
        filled=report.filled,
        revised=report.revised,
        repeated=report.repeated,
        unobserved=len(report.failures),
        calls=clients.calls,
        clock_skew=clients.clock_skew,
    )


def _check_observed(report: IngestReport, stations: int) -> None:
    """Check that a station has been observed.

    Raises:
        NothingObservedError: there is no observation of any station.
    """
    if len(report.failures) == stations:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(report.failures.items())[:3])
        raise NothingObservedError(f"No observation of any of the {stations} stations; {reasons}")


def _log_response(response: ParsedResponse, log: Log) -> None:
    """Log each station without an observation, and what is refused of the others."""
    for name, reason in response.failures.items():
        log(f"WARNING: no observation of {name}: {reason}")
    _log_refusals(response, log)


def _log_refusals(response: ParsedResponse, log: Log) -> None:
    """One line for each kind of refusal, since it often concerns many stations."""
    kinds: dict[tuple[str, ...], list[ApiRefusal]] = {}
    for refusal in response.refusals:
        if refusal.station_id in response.stations:  # those of the others are in `failures`
            kinds.setdefault((refusal.field, refusal.code, refusal.value, refusal.allowed), []).append(refusal)
    for refusals in kinds.values():
        names = ", ".join(refusal.station_id for refusal in refusals[:3]) + ", …" * (len(refusals) > 3)
        log(f"WARNING: refused in the response for {count_noun(len(refusals), 'station')} ({names}): {refusals[0]}")


def _publish_part(
    settings: Settings, engine: Engine, part: PollResult, state: State, now: datetime, log: Log
) -> PublishPlan:
    """Save the model output of a part, and publish what is new in it."""
    if part.model_output:
        with engine.begin() as connection:
            model_output.save(connection, part.model_output, now, part.model)
    oldest = now - timedelta(hours=settings.past_horizon_hours)
    plan = plan_publishing(part, state.published, oldest, now, log)
    if plan.pending:
        _publish(settings, engine, plan.pending, part.origins, now, log)
    return plan


def _publish(
    settings: Settings,
    engine: Engine,
    pending: Sequence[Observation],
    origins: Mapping[str, Origin],
    now: datetime,
    log: Log,
) -> None:
    acknowledged: list[Observation] = []
    try:
        with open_producer(settings) as producer:
            for step in publish(producer, settings.topics.raw, pending, origins, now):
                acknowledged += step
    except PublishError:
        log(f"WARNING: publishing failed; {count_noun(len(acknowledged), 'published observation')} are recorded")
        raise
    finally:
        if acknowledged:
            with engine.begin() as connection:
                for origin in set(origins.values()):
                    own = [observation for observation in acknowledged if origins[observation.station_id] is origin]
                    save_published(connection, own, origin)


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
