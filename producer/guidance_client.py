"""Client of Open-Meteo's forecast API: guidance, what weather models predict for stations.

A response does not contain the initialization of the run: the API joins the newest run of a model, or of several, to
one series (github.com/open-meteo/open-meteo, issues 165 and 603). Each model is requested alone, so that a model that
the server rejects, or that does not cover a station, does not affect the others; names are then without the model's id.

Source: open-meteo.com/en/docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from producer.api_client import Query, RetryPolicy
from producer.api_response import ApiRefusalCode, StationsResponse, decode, summarize
from producer.open_meteo_client import OpenMeteoClient
from producer.open_meteo_schema import API_NAMES, API_UNITS, HOURLY, LocationParser, Values, locations_of
from weatherglass.guidance_record import GUIDANCE_VARIABLES, GuidanceValues
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station

HORIZON_HOURS = 48
"""Hours of a run that are requested, and stored for later use."""
GROUP_SIZE = 500
"""Most stations in one request; the API accepts 1,000, but counts 600 calls a minute."""
UNITS = {API_NAMES[name]: API_UNITS[API_NAMES[name]] for name in GUIDANCE_VARIABLES}


@dataclass(frozen=True)
class GuidanceResponse(StationsResponse[GuidanceValues]):
    """A response of the forecast API for one model."""


class GuidanceClient(OpenMeteoClient):
    """Requests one model for a group of stations at once."""

    def __init__(self, url: str, retry_policy: RetryPolicy | None = None):
        super().__init__(retry_policy or RetryPolicy())
        self.url = f"{url.rstrip('/')}/v1/forecast"

    def guidance(self, stations: Sequence[Station], model: str, spare_calls: int | None = None) -> GuidanceResponse:
        """The present run of a model, from the present hour on.

        Args:
            stations: one of `request_groups`.
            spare_calls: calls that may be used to request stations alone; None: any number.

        Raises:
            ApiConnectionError, ApiRequestError, ApiResponseError: as for `OpenMeteo.observe`; for all stations.
        """
        query: Query = {
            "models": model,
            HOURLY: ",".join(UNITS),
            "forecast_hours": HORIZON_HOURS,
        }
        return self._request_stations(self.url, stations, query, parse_guidance, spare_calls)

    def _location_query(self, stations: Sequence[Station]) -> dict[str, str | int]:
        """With the elevations for which temperature and pressure are computed; without them, those of the terrain."""
        known = [station.elevation for station in stations if station.elevation is not None]
        elevations = {"elevation": ",".join(f"{elevation:g}" for elevation in known)} if known else {}
        return {**super()._location_query(stations), **elevations}


def create_guidance_client(settings: Settings) -> GuidanceClient:
    """A client of the real Open-Meteo, or of the replay server if that is the source."""
    return GuidanceClient(settings.replay_url if settings.source is Source.REPLAY else str(settings.open_meteo_url))


def request_groups(stations: Sequence[Station]) -> list[list[Station]]:
    """The stations in groups of which each is one request, those with and those without an elevation apart.

    A request has the elevation of all its locations or of none.
    """

    def is_unknown(station: Station) -> bool:
        return station.elevation is None

    groups = [list(group) for _, group in groupby(sorted(stations, key=is_unknown), key=is_unknown)]
    return [group[start : start + GROUP_SIZE] for group in groups for start in range(0, len(group), GROUP_SIZE)]


def parse_guidance(body: bytes, stations: Sequence[Station]) -> GuidanceResponse:
    """Parse a response of the forecast API into the runs of the requested stations.

    Raises:
        ApiConnectionError, ApiResponseError: as for `open_meteo_schema.parse_response`.
    """
    response = GuidanceResponse()
    for station, location in zip(stations, locations_of(decode(body), len(stations)), strict=True):
        parser = LocationParser(station.station_id)
        rows = _possible(parser, _rows(parser, location))
        response.refusals.extend(parser.refusals)
        if rows:
            response.stations[station.station_id] = _values(rows)
        else:
            response.failures[station.station_id] = summarize(parser.refusals) or NOT_COVERED
    return response


NOT_COVERED = "all values are null: the model does not cover the location, or has no run of this time"


def _rows(parser: LocationParser, location: object) -> dict[datetime, Values]:
    zone = parser.zone(location, [HOURLY])
    if zone is None or not isinstance(location, dict):
        return {}
    return parser.rows(HOURLY, location[HOURLY], location.get(f"{HOURLY}_units"), zone, UNITS)


def _possible(parser: LocationParser, rows: dict[datetime, Values]) -> dict[datetime, Values]:
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
        parser.refuse(f"{HOURLY}.{list(UNITS)[number]}", ApiRefusalCode.RANGE, impossible[0], allowed, len(impossible))
    return result


def _values(rows: dict[datetime, Values]) -> GuidanceValues:
    columns = zip(*rows.values(), strict=True)
    lists = {name: list(column) for name, column in zip(GUIDANCE_VARIABLES, columns, strict=True)}
    return GuidanceValues(valid_times=list(rows), **lists)
