"""One poll of the observations of all stations, from the source or the sources in use.

With AUTO, Open-Meteo and the reports of airports are both requested. A station is observed by its airport while that
reports, by Open-Meteo otherwise; Open-Meteo's values for a station that its airport observes are model output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self, TypeVar

from producer.api_client import ApiClient
from producer.api_response import ApiError, ParsedResponse
from producer.metar import RECENT_HOURS, Metar, MetarResponse, create_metar_client
from producer.open_meteo import OpenMeteo, create_client
from producer.open_meteo_poll import request_open_meteo
from weatherglass.formatting import count_noun
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.stations import Station
from weatherglass.store.published import Published

Log = Callable[[str], object]
T = TypeVar("T")


@dataclass(frozen=True)
class PollResult:
    """A part of the observations of a poll.

    Attributes:
        response: the observations that count, and why stations have none; each station is in one part of a poll.
        origins: station id -> the value of the header `source`, for each station in `response.stations`.
        measured: the stations that their airports observe; those of other parts may be among them.
        model_output: Open-Meteo's values for these.
        model: the source of the model output.
    """

    response: ParsedResponse
    origins: dict[str, Origin]
    measured: frozenset[str] = frozenset()
    model_output: list[Observation] = field(default_factory=list)
    model: Origin = Origin.OPEN_METEO


@dataclass(frozen=True)
class State:
    """What earlier polls have published and stored, by station id.

    Attributes:
        model_output: the newest model output.
        used_calls: calls of Open-Meteo's API in the last 24 hours.
    """

    published: Mapping[str, Published]
    model_output: Mapping[str, Observation]
    used_calls: int


class SourceClients:
    """The clients of the sources in use."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self.open_meteo: OpenMeteo | None = None
        self.metar: Metar | None = None
        if settings.source is Source.REPLAY:
            self.open_meteo = OpenMeteo(settings.replay_url, settings.replay_url)
        elif settings.source is not Source.METAR:
            self.open_meteo = create_client(settings)
        if settings.source in (Source.METAR, Source.AUTO):
            self.metar = create_metar_client(settings)

    @property
    def all(self) -> tuple[ApiClient, ...]:
        return tuple(client for client in (self.open_meteo, self.metar) if client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.all:
            client.close()

    @property
    def calls(self) -> int:
        """Calls so far that count towards the budget of Open-Meteo."""
        return self.open_meteo.calls if self.open_meteo and self._settings.source is not Source.REPLAY else 0

    @property
    def clock_skew(self) -> float | None:
        return next((client.clock_skew for client in self.all if client.clock_skew is not None), None)

    def poll(self, stations: Sequence[Station], state: State, now: datetime, log: Log) -> Iterator[PollResult]:
        """Request the observations of all stations; yields those of each response before the next request.

        The first part has the stations whose past is not missing, and all that Open-Meteo observes. An airport's past
        is requested by group, one request a minute: the stations of each group are a part.

        Args:
            now: UTC.

        Raises:
            ApiError: no source responds; before the first part.
        """
        if self.open_meteo and self.metar:
            yield from self._poll_both(self.open_meteo, self.metar, stations, state, now, log)
        elif self.metar:
            for reports in self._reports(self.metar, stations, state, now, log):
                yield self._single(reports, self.metar, frozenset(reports.stations))
        elif self.open_meteo:
            model = self._model(self.open_meteo, stations, state, now, log)
            yield self._single(model, self.open_meteo, frozenset())

    def _single(self, response: ParsedResponse, client: ApiClient, measured: frozenset[str]) -> PollResult:
        return PollResult(response, dict.fromkeys(response.stations, self._origin(client)), measured)

    def _origin(self, client: ApiClient) -> Origin:
        """Responses of the replay server are never marked as live, also at the address of another source."""
        if self._settings.source is Source.REPLAY or client.replayed:
            return Origin.REPLAY
        return Origin.METAR if client is self.metar else Origin.OPEN_METEO

    def _reports(
        self, client: Metar, stations: Sequence[Station], state: State, now: datetime, log: Log
    ) -> Iterator[MetarResponse]:
        newest = {name: published.newest for name, published in state.published.items()}
        hours = self._settings.backfill_hours, self._settings.past_horizon_hours
        backfill, horizon = (timedelta(hours=h) for h in hours)
        return client.observe(stations, newest, now, backfill, horizon, log)

    def _model(
        self, client: OpenMeteo, stations: Sequence[Station], state: State, now: datetime, log: Log
    ) -> ParsedResponse:
        published = {
            name: published.newest for name, published in state.published.items() if published.source != Origin.METAR
        }
        last = {
            name: max(own, key=lambda observation: observation.timestamp)
            for name in published.keys() | state.model_output.keys()
            if (own := [part[name] for part in (published, state.model_output) if name in part])
        }
        is_replay = self._settings.source is Source.REPLAY
        spare = None if is_replay else OPEN_METEO_CALLS_PER_DAY - state.used_calls
        return request_open_meteo(client, self._settings, tuple(stations), last, now, spare, log)

    def _poll_both(
        self,
        open_meteo: OpenMeteo,
        metar: Metar,
        stations: Sequence[Station],
        state: State,
        now: datetime,
        log: Log,
    ) -> Iterator[PollResult]:
        with_model = [station for station in stations if Origin.OPEN_METEO in station.sources]
        with_airport = [station for station in stations if station.sources[0] is Origin.METAR]
        model, model_error = _attempt(lambda: self._model(open_meteo, with_model, state, now, log), log)
        parts = self._reports(metar, with_airport, state, now, log)
        reports, metar_error = _attempt(lambda: next(parts), log)
        if model_error and metar_error:
            raise model_error
        model = model or _failed(with_model, model_error)
        reports = reports or MetarResponse(failures=_failed(with_airport, metar_error).failures)
        measured = frozenset(
            station.station_id
            for station in with_airport
            if station.station_id in reports.reporting
            or Origin.OPEN_METEO not in station.sources
            or _is_held(state.published.get(station.station_id), now)
        )
        result = PollResult(ParsedResponse(), {}, measured, [], self._origin(open_meteo))
        _choose(result, stations, model, reports, self._origin(metar))
        _add_model_output(result, model, state, now)
        yield result
        for past in parts:  # none after an error
            yield self._single(past, metar, measured)
        log(_choice_line(stations, measured, reports.failures))


def _choose(
    result: PollResult,
    stations: Sequence[Station],
    model: ParsedResponse,
    reports: MetarResponse,
    airport: Origin,
) -> None:
    """Add the observations of each station from its source, except those that wait for their past."""
    waiting = reports.reporting - reports.stations.keys()
    for name in (station.station_id for station in stations if station.station_id not in waiting):
        chosen, origin = (reports, airport) if name in result.measured else (model, result.model)
        if name in chosen.stations:
            result.response.stations[name] = chosen.stations[name]
            result.origins[name] = origin
        else:
            result.response.failures[name] = chosen.failures[name]
        result.response.refusals.extend(refusal for refusal in chosen.refusals if refusal.station_id == name)


def _add_model_output(result: PollResult, model: ParsedResponse, state: State, now: datetime) -> None:
    """Add Open-Meteo's values for the stations that their airports observe."""
    for name, observations in model.stations.items():
        if name in result.measured:
            steps = observations.steps(with_quarter_hours=name in state.model_output)
            result.model_output.extend(value for time, value in steps.items() if time <= now)


def _attempt(request: Callable[[], T], log: Log) -> tuple[T | None, ApiError | None]:
    """The response, or the error, which is logged."""
    try:
        return request(), None
    except ApiError as error:
        log(f"WARNING: {error}")
        return None, error


def _failed(stations: Sequence[Station], error: ApiError | None) -> ParsedResponse:
    return ParsedResponse(failures={station.station_id: str(error) for station in stations})


def _is_held(last: Published | None, now: datetime) -> bool:
    """Whether a station waits for its airport, which has reported recently, instead of changing its source."""
    return (
        last is not None
        and last.source is Origin.METAR
        and now - last.newest.timestamp <= timedelta(hours=RECENT_HOURS)
    )


def _choice_line(stations: Sequence[Station], measured: frozenset[str], failures: Mapping[str, str]) -> str:
    """The line of the log that says which source observes which stations, and why it is not an airport."""
    others = [
        f"{station.station_id} ({failures.get(station.station_id, 'no airport')})"
        for station in stations
        if station.station_id not in measured
    ]
    by_airport = f"Observed by airports: {count_noun(len(measured), 'station')}"
    return f"{by_airport}; by Open-Meteo: {', '.join(others) or 'none'}"
