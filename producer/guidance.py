"""One fetch of guidance: publishes the new runs of all models to `weather-guidance`.

A run is new if a value differs from the last published run of its station and model at the hours that both have. What
was published last is kept in the store and written after the broker's acknowledgement, so each run is published once,
at least once after a crash between the two.

A station and model without usable values is tried again after its interval, like all others, so that the calls stay
within the plan; after a failed connection, by the next fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine

from producer.api_response import ApiConnectionError, ApiError
from producer.guidance_budget import GuidanceBudget, plan_budget
from producer.guidance_client import GuidanceClient, GuidanceResponse, create_guidance_client, request_groups
from producer.publish import PublishError, open_producer, publish_guidance
from producer.recorded_poll import recorded_poll
from producer.replay.data import replay_stations
from weatherglass.formatting import count_noun
from weatherglass.guidance_record import GUIDANCE_VARIABLES, Guidance, GuidanceValues, RunTime
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station, known_stations, own_stations
from weatherglass.store.engine import open_store
from weatherglass.store.guidance import Fetch, Key, last_fetches, save_fetches
from weatherglass.store.polls import Poll, PollKind, calls_since

Log = Callable[[str], object]
DAY = timedelta(days=1)
EARLY = timedelta(minutes=30)
"""A station is fetched this much before its interval has passed: runs of the DAG are not exactly an hour apart."""
SOURCES = (Source.AUTO, Source.OPEN_METEO, Source.REPLAY)
"""Sources of observations with which guidance is fetched."""


class NoGuidanceError(Exception):
    """No model has usable values for any station; the message gives the reasons."""


@dataclass
class GuidanceReport:
    """Result of a fetch.

    Attributes:
        new: number of published runs.
        repeated: number of stations, for each model, whose last published run is still the present one.
        failures: (station id, model) -> why there is no usable guidance.
        refused: number of refused values.
        postponed: number of stations, for each model, that were not requested because the calls of the day are used.
    """

    new: int = 0
    repeated: int = 0
    failures: dict[Key, str] = field(default_factory=dict)
    refused: int = 0
    postponed: int = 0


def guidance_stations(settings: Settings) -> tuple[Station, ...]:
    """The stations that have guidance: all that are observed, and own stations.

    Raises:
        SourceError: the data of the replay cannot be read.
        StationsError: the station table cannot be used.
    """
    if settings.source is Source.REPLAY:
        return replay_stations(settings)
    own = own_stations(settings)
    return tuple(s for s in known_stations(settings).values() if s.sources or s.station_id in own)


def is_observed_only_by_model(settings: Settings, station: Station) -> bool:
    """Whether all observations of a station are output of Open-Meteo's models, so that they cannot verify it."""
    if settings.source is Source.REPLAY or not station.sources:
        return False
    return settings.source is Source.OPEN_METEO or station.sources[0] is Origin.OPEN_METEO


def polled_from_open_meteo(settings: Settings) -> int:
    """The number of stations whose observations are polled from Open-Meteo."""
    return sum(Origin.OPEN_METEO in station.sources for station in known_stations(settings).values())


def fetch_guidance(settings: Settings, now: datetime, log: Log) -> GuidanceReport:
    """Fetch the present run of each model for the stations that are due, and publish the new ones.

    Args:
        now: UTC.

    Raises:
        ApiError: no model could be requested.
        NoBudgetError: the polls of observations leave too few calls.
        NoGuidanceError: no response has usable values.
        PublishError: the broker did not acknowledge all runs; the next fetch publishes the others.
        SourceError, StationsError: as for `guidance_stations`.
    """
    stations = guidance_stations(settings)
    budget = plan_budget(settings, polled_from_open_meteo(settings), len(stations))
    engine, report = open_store(settings.store_url), GuidanceReport()
    try:
        with (
            create_guidance_client(settings) as client,
            recorded_poll(engine, now, partial(_poll, settings, client, report)),
        ):
            with engine.connect() as connection:
                last, left = last_fetches(connection), _calls_left(connection, budget, now)
            fetch = _GuidanceFetch(settings, engine, client, last, left, now, report, log)
            for model in settings.guidance_model_ids:
                due = [s for s in stations if _is_due(last.get((s.station_id, model)), budget.interval, now)]
                for group in request_groups(due):
                    fetch.fetch(group, model)
            fetch.check_any()
    finally:
        engine.dispose()
    log(_summary(report, budget.interval))
    return report


def _is_due(fetch: Fetch | None, interval: timedelta, now: datetime) -> bool:
    return fetch is None or not timedelta() <= now - fetch.checked_at < interval - EARLY


def _calls_left(connection: Connection, budget: GuidanceBudget, now: datetime) -> int | None:
    by_guidance, by_all = (calls_since(connection, now - DAY, kind) for kind in (PollKind.GUIDANCE, None))
    return budget.left(by_guidance, by_all)


@dataclass
class _GuidanceFetch:
    """Requests groups of stations, publishes the new runs, and saves what was fetched.

    Attributes:
        last: what was fetched before.
        left: calls that may be used; None: any number.
        errors: the errors of failed requests.
    """

    settings: Settings
    engine: Engine
    client: GuidanceClient
    last: Mapping[Key, Fetch]
    left: int | None
    now: datetime
    report: GuidanceReport
    log: Log
    errors: list[ApiError] = field(default_factory=list)

    def fetch(self, stations: Sequence[Station], model: str) -> None:
        """Fetch the present run of a model for one of `request_groups`.

        Raises:
            PublishError: the broker did not acknowledge all new runs; the others are saved.
        """
        spare = None if self.left is None else self.left - self.client.calls - len(stations)
        if spare is not None and spare < 0:
            self.report.postponed += len(stations)
            self.log(
                f"WARNING: no request for guidance of {model}: it needs {count_noun(len(stations), 'call')}, and "
                f"{spare + len(stations)} are left of those for guidance within 24 hours"
            )
            return
        try:
            response = self.client.guidance(stations, model, spare)
        except ApiError as error:
            self.log(f"WARNING: no guidance of {model}: {error}")
            self.errors.append(error)
            failures = {(station.station_id, model): str(error) for station in stations}
            self.report.failures.update(failures)
            if not isinstance(error, ApiConnectionError):
                self._save(dict.fromkeys(failures))
            return
        self._use(response, stations, model)

    def check_any(self) -> None:
        """Check that a request had usable values, if there was any.

        Raises:
            ApiError, NoGuidanceError: there are none.
        """
        if self.report.new + self.report.repeated:
            return
        if self.errors:
            raise self.errors[0]
        if self.report.failures:
            reasons = "; ".join(f"{' '.join(key)}: {why}" for key, why in list(self.report.failures.items())[:3])
            raise NoGuidanceError(f"No guidance for any station; {reasons}")

    def _use(self, response: GuidanceResponse, stations: Sequence[Station], model: str) -> None:
        simulated = self.settings.source is Source.REPLAY or self.client.replayed
        checked: dict[Key, GuidanceValues | None] = {}
        new: list[Guidance] = []
        for station in stations:
            key = station.station_id, model
            values = response.stations.get(station.station_id)
            published = self.last[key].values if key in self.last else None
            if values is None:
                reason = response.failures.get(station.station_id, "not in the response")
                self.report.failures[key] = reason
                self.log(f"WARNING: no guidance of {model} for {station.station_id}: {reason}")
                checked[key] = None
            elif published is not None and is_same_run(published, values):
                self.report.repeated += 1
                checked[key] = None
            else:
                new.append(_record(self.settings, station, model, values, self.now, simulated))
        self.report.refused += sum(refusal.count for refusal in response.refusals)
        for refusal in response.refusals:
            if refusal.station_id in response.stations:
                self.log(f"WARNING: refused in the guidance of {model} for {refusal.station_id}: {refusal}")
        self._save(checked)
        if new:
            self._publish(new)

    def _publish(self, new: Sequence[Guidance]) -> None:
        acknowledged: list[Guidance] = []
        try:
            with open_producer(self.settings) as producer:
                for run in publish_guidance(producer, self.settings.topics.guidance, new, self.now):
                    acknowledged.append(run)
        except PublishError:
            self.log(f"WARNING: publishing failed; {count_noun(len(acknowledged), 'published run')} are recorded")
            raise
        finally:
            self.report.new += len(acknowledged)
            self._save({(run.station_id, run.model): run.values for run in acknowledged})

    def _save(self, checked: Mapping[Key, GuidanceValues | None]) -> None:
        """Save what was requested: the run that was published, or None if there is no new one."""
        before = {key: self.last[key].values if key in self.last else None for key in checked}
        with self.engine.begin() as connection:
            save_fetches(connection, {key: run or before[key] for key, run in checked.items()}, self.now)


def is_same_run(published: GuidanceValues, fetched: GuidanceValues) -> bool:
    """Whether the values are those of the published run at the hours that both have, of which there is one at least.

    A later response of the same run begins and ends later.
    """
    rows = {time: row for time, *row in _rows(published)}
    common = [(rows[time], row) for time, *row in _rows(fetched) if time in rows]
    return bool(common) and all(before == after for before, after in common)


def _rows(values: GuidanceValues) -> Iterator[tuple]:
    return zip(values.valid_times, *(getattr(values, name) for name in GUIDANCE_VARIABLES), strict=True)


def _record(
    settings: Settings, station: Station, model: str, values: GuidanceValues, now: datetime, simulated: bool
) -> Guidance:
    """The record of a new run. The time of the replay, which may lag behind, is the first hour of its response."""
    fetched_at = min(now, values.valid_times[0]) if simulated else now
    return Guidance(
        station_id=station.station_id,
        model=model,
        run=fetched_at,
        run_time=RunTime.FETCH,
        fetched_at=fetched_at,
        latitude=station.latitude,
        longitude=station.longitude,
        elevation=station.elevation,
        simulated=simulated,
        observed_only_by_model=is_observed_only_by_model(settings, station),
        values=values,
    )


def _poll(
    settings: Settings, client: GuidanceClient, report: GuidanceReport, at: datetime, seconds: float, outcome: str
) -> Poll | None:
    if not client.calls:
        return None
    return Poll(
        at=at,
        seconds=seconds,
        outcome=outcome,
        new=report.new,
        repeated=report.repeated,
        unobserved=len(report.failures),
        calls=0 if settings.source is Source.REPLAY else client.calls,
        clock_skew=client.clock_skew,
        kind=PollKind.GUIDANCE,
    )


def _summary(report: GuidanceReport, interval: timedelta) -> str:
    hours = interval // timedelta(hours=1)
    if not report.new + report.repeated + report.postponed:
        return f"No station is due; each is fetched every {count_noun(hours, 'hour')}"
    parts = [f"Published {count_noun(report.new, 'new run')}", f"{report.repeated} unchanged"]
    if report.failures:
        parts.append(f"{len(report.failures)} without guidance")
    if report.postponed:
        parts.append(f"{report.postponed} postponed")
    if report.refused:
        parts.append(f"{count_noun(report.refused, 'value')} refused")
    return ", ".join(parts) + f"; each station is fetched every {count_noun(hours, 'hour')}"
