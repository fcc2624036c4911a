"""Client of Open-Meteo's forecast and previous-runs APIs: guidance, what weather models predict for stations.

A response does not contain the initialisation of the run: the API joins the newest run of a model, or of several, to
one series (github.com/open-meteo/open-meteo, issues 165 and 603). Each model is requested alone, so that a model that
the server rejects, or that does not cover a station, costs no other one; names are then without the model's id.

The previous-runs API returns what a model predicted 1 to 7 days before each hour (`temperature_2m_previous_day1`: at
least 24 h after the initialisation of the run). Most models since January 2024, some since later; of GFS temperature
since 2021, and null where it stored nothing. Sources: open-meteo.com/en/docs, open-meteo.com/en/docs/previous-runs-api.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from producer.api_client import Query, RetryPolicy
from producer.api_response import ApiRefusalCode, StationsResponse, decode, summarize
from producer.open_meteo_client import OpenMeteoClient, calls_of
from producer.open_meteo_schema import API_NAMES, API_UNITS, HOURLY, LocationParser, Values, locations_of
from weatherglass.guidance_record import GUIDANCE_VARIABLES, GuidanceValues
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station

PREVIOUS_RUNS_URL = "https://previous-runs-api.open-meteo.com"
HORIZON_HOURS = 48
"""Hours of a run that are requested: the longest lead, and the age at which guidance is no longer used."""
UNITS = {API_NAMES[name]: API_UNITS[API_NAMES[name]] for name in GUIDANCE_VARIABLES}


@dataclass(frozen=True)
class GuidanceResponse(StationsResponse[GuidanceValues]):
    """A response of the forecast API for one model."""


@dataclass(frozen=True)
class PastGuidanceResponse(StationsResponse[dict[int, dict[datetime, Values]]]):
    """A response of the previous-runs API for one model: of each station, lead in days -> hour -> values in the order
    of `GUIDANCE_VARIABLES`."""


class GuidanceClient(OpenMeteoClient):
    """Requests one model for all stations at once."""

    def __init__(self, url: str, previous_runs_url: str, retry_policy: RetryPolicy | None = None):
        super().__init__(retry_policy or RetryPolicy())
        self.url = f"{url.rstrip('/')}/v1/forecast"
        self.previous_runs_url = f"{previous_runs_url.rstrip('/')}/v1/forecast"

    def guidance(self, stations: Sequence[Station], model: str, spare_calls: int | None = None) -> GuidanceResponse:
        """The present run of a model, from the present hour on.

        Raises:
            ApiConnectionError, ApiRequestError, ApiResponseError: as for `OpenMeteo.observe`; for all stations.
        """
        query: Query = {
            "models": model,
            HOURLY: ",".join(UNITS),
            "forecast_hours": HORIZON_HOURS,
        }
        response = GuidanceResponse()
        for group in _by_known_elevation(stations):
            query_of_group: Query = {**query, **_elevations(group)}
            response.add(self._request_stations(self.url, group, query_of_group, parse_guidance, 1.0, spare_calls))
        return response

    def past_guidance(
        self, station: Station, model: str, first: date, last: date, leads: Sequence[int]
    ) -> PastGuidanceResponse:
        """What a model predicted these numbers of days before each hour from the first to the last day, inclusive.

        Raises:
            ApiConnectionError, ApiRequestError, ApiResponseError: as for `guidance`.
        """
        query: Query = {
            "models": model,
            HOURLY: ",".join(name for lead in leads for name in _past_units(lead)),
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
            **_elevations([station]),
        }

        def parse(body: bytes, requested: Sequence[Station]) -> PastGuidanceResponse:
            return parse_past_guidance(body, requested, leads)

        calls = calls_of(1, len(UNITS) * len(leads), (last - first).days + 1)
        return self._request_stations(self.previous_runs_url, [station], query, parse, calls)


def create_guidance_client(settings: Settings) -> GuidanceClient:
    """A client of the real Open-Meteo, or of the replay server if that is the source."""
    if settings.source is Source.REPLAY:
        return GuidanceClient(settings.replay_url, settings.replay_url)
    return GuidanceClient(str(settings.open_meteo_url), PREVIOUS_RUNS_URL)


def parse_guidance(body: bytes, stations: Sequence[Station]) -> GuidanceResponse:
    """Parse a response of the forecast API into the runs of the requested stations.

    Raises:
        ApiConnectionError, ApiResponseError: as for `open_meteo_schema.parse_response`.
    """
    response = GuidanceResponse()
    for station, location in zip(stations, locations_of(decode(body), len(stations)), strict=True):
        parser = LocationParser(station.station_id)
        rows = _possible(parser, _rows(parser, location, UNITS), list(UNITS))
        response.refusals.extend(parser.refusals)
        if rows:
            response.stations[station.station_id] = _values(rows)
        else:
            response.failures[station.station_id] = summarize(parser.refusals) or NOT_COVERED
    return response


def parse_past_guidance(body: bytes, stations: Sequence[Station], leads: Sequence[int]) -> PastGuidanceResponse:
    """Parse a response of the previous-runs API.

    Raises:
        ApiConnectionError, ApiResponseError: as for `open_meteo_schema.parse_response`.
    """
    response = PastGuidanceResponse()
    for station, location in zip(stations, locations_of(decode(body), len(stations)), strict=True):
        parser = LocationParser(station.station_id)
        by_lead = {}
        for lead in leads:
            units = _past_units(lead)
            if rows := _possible(parser, _rows(parser, location, units), list(units)):
                by_lead[lead] = rows
        response.refusals.extend(parser.refusals)
        if by_lead:
            response.stations[station.station_id] = by_lead
        else:
            response.failures[station.station_id] = summarize(parser.refusals) or NOT_COVERED
    return response


NOT_COVERED = "all values are null: the model does not cover the location, or has no run of this time"


def _rows(parser: LocationParser, location: object, units: dict[str, str]) -> dict[datetime, Values]:
    zone = parser.zone(location, [HOURLY])
    if zone is None or not isinstance(location, dict):
        return {}
    return parser.rows(HOURLY, location[HOURLY], location.get(f"{HOURLY}_units"), zone, units)


def _possible(parser: LocationParser, rows: dict[datetime, Values], names: Sequence[str]) -> dict[datetime, Values]:
    """The rows without impossible values, which are refused: readers would reject the whole record."""
    result: dict[datetime, Values] = {}
    refused: dict[int, list[float]] = {}
    for time, values in rows.items():
        kept = list(values)
        for number, (name, value) in enumerate(zip(GUIDANCE_VARIABLES, values, strict=True)):
            limit = RANGE_LIMITS[name]
            if value is not None and not limit.low <= value <= limit.high:
                refused.setdefault(number, []).append(value)
                kept[number] = None
        if any(value is not None for value in kept):
            result[time] = tuple(kept)
    for number, impossible in refused.items():
        limit = RANGE_LIMITS[GUIDANCE_VARIABLES[number]]
        allowed = f"{limit.low:g} to {limit.high:g}"
        parser.refuse(f"{HOURLY}.{names[number]}", ApiRefusalCode.RANGE, impossible[0], allowed, len(impossible))
    return result


def _values(rows: dict[datetime, Values]) -> GuidanceValues:
    columns = zip(*rows.values(), strict=True)
    lists = {name: list(column) for name, column in zip(GUIDANCE_VARIABLES, columns, strict=True)}
    return GuidanceValues(valid_times=list(rows), **lists)


def _past_units(lead: int) -> dict[str, str]:
    """The names of the variables at a lead in days, with their units."""
    return {f"{name}_previous_day{lead}": unit for name, unit in UNITS.items()}


def _by_known_elevation(stations: Sequence[Station]) -> list[list[Station]]:
    """The stations with and those without an elevation: a request has the elevation of all its locations or of none."""

    def is_unknown(station: Station) -> bool:
        return station.elevation is None

    return [list(group) for _, group in groupby(sorted(stations, key=is_unknown), key=is_unknown)]


def _elevations(stations: Sequence[Station]) -> dict[str, str]:
    """The elevations for which the server computes temperature and pressure; without them, those of its terrain."""
    known = [station.elevation for station in stations if station.elevation is not None]
    return {"elevation": ",".join(f"{elevation:g}" for elevation in known)} if known else {}
