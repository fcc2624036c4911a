"""Client of the Open-Meteo API: `/v1/forecast` for the present and the last days, `/v1/archive` for years.

The free API counts one call for each location of a request: 600 a minute, 5,000 an hour, 10,000 a day. All stations are
requested together, which saves round trips but not budget; a polling interval that exceeds the budget is refused.
The server rejects a request if one of its locations is invalid; then each station is requested alone.
Source: open-meteo.com/en/docs, open-meteo.com/en/terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from producer.api_client import ApiClient, Query, RetryPolicy
from producer.api_response import (
    ApiConnectionError,
    ApiError,
    ApiRefusal,
    ApiRefusalCode,
    ApiRequestError,
    ApiResponseError,
    ParsedResponse,
    ResponseProblem,
)
from producer.open_meteo_schema import API_NAMES, API_UNITS, HOURLY, parse_response
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings
from weatherglass.settings_errors import SettingsError, variable
from weatherglass.stations import Station

VARIABLES = ",".join(API_UNITS)
MAX_LOCATIONS = 1000
"""Locations in one request."""
MAX_PAST_DAYS = 92
"""How far back `/v1/forecast` reaches."""
MINUTES_PER_DAY = 24 * 60


def _concerns_locations(error: ApiError) -> bool:
    """Whether the reason may be one of the locations, so that the others can be requested without it."""
    not_json = isinstance(error, ApiResponseError) and error.problem is ResponseProblem.NOT_JSON
    return isinstance(error, ApiRequestError | ApiResponseError) and not not_json


class OpenMeteo(ApiClient):
    """Requests all stations at once; assigns the locations of a response by order, never by coordinates.

    A request counts as one call for each of its locations.
    """

    def __init__(self, url: str, archive_url: str, retry_policy: RetryPolicy | None = None):
        super().__init__(retry_policy or RetryPolicy())
        self.url = url.rstrip("/")
        self.archive_url = archive_url.rstrip("/")

    def observe(
        self,
        stations: Sequence[Station],
        past_quarter_hours: int = 0,
        past_hours: int = 0,
        spare_calls: int | None = None,
    ) -> ParsedResponse:
        """The present observation of each station, and the requested steps before it.

        If the request for all stations is rejected, or its response cannot be used, each station is requested alone.

        Args:
            past_quarter_hours: number of 15-minute steps before the present one.
            past_hours: number of full hours before the present one.
            spare_calls: calls that may be used to request stations alone; None: any number.

        Raises:
            ApiConnectionError: no usable response after all retries.
            ApiRequestError: the server rejects the request (status 400).
            ApiResponseError: the response is not complete JSON, is an error, or has other locations.
        """
        sections = {"current": VARIABLES}
        steps: dict[str, int] = {}
        # One step of forecast is the present step itself; a second one would be the future.
        if past_quarter_hours:
            sections["minutely_15"] = VARIABLES
            steps |= {"past_minutely_15": past_quarter_hours, "forecast_minutely_15": 1}
        if past_hours:
            sections[HOURLY] = VARIABLES
            steps |= {"past_hours": past_hours, "forecast_hours": 1}
        url = f"{self.url}/v1/forecast"
        query: Query = {**sections, **steps}
        try:
            return self._request_locations(url, stations, query, list(sections), self.retry_policy.attempts)
        except (ApiRequestError, ApiResponseError) as error:
            too_expensive = spare_calls is not None and len(stations) > spare_calls
            if len(stations) == 1 or not _concerns_locations(error) or too_expensive:
                raise
            response = self._request_alone(url, stations, query, list(sections))
            if not response.stations:
                raise
            return response

    def archive(
        self, stations: Sequence[Station], first: date, last: date
    ) -> tuple[pd.DataFrame, tuple[ApiRefusal, ...]]:
        """Hourly history from the first to the last day, inclusive, and what is refused of the response.

        The table has the columns `HISTORY_COLUMNS`, units of the schema, UTC. Hours without any value are omitted. A
        long period counts as several calls (about one for two weeks).

        Raises:
            ApiConnectionError, ApiRequestError: as for `observe`.
            ApiResponseError: as for `observe`, or there is no usable hour of one station.
        """
        days = {"start_date": first.isoformat(), "end_date": last.isoformat(), HOURLY: VARIABLES}
        url = f"{self.archive_url}/v1/archive"
        parsed = self._request_locations(url, stations, days, [HOURLY], self.retry_policy.attempts)
        refusals = list(parsed.refusals)
        rows = []
        for station_id, observations in parsed.stations.items():
            hours = [hour for hour in observations.hours if first <= hour.timestamp.date() <= last]
            if outside := len(observations.hours) - len(hours):
                value = f"{observations.hours[0].timestamp} to {observations.hours[-1].timestamp}"
                allowed = f"{first} to {last}"
                refusals.append(ApiRefusal(station_id, f"{HOURLY}.time", ApiRefusalCode.TIME, value, allowed, outside))
            if not hours:
                parsed.failures[station_id] = f"no hour from {first} to {last}"
            rows += [
                (h.station_id, h.timestamp, *(getattr(h, name) for name in API_NAMES), "open-meteo") for h in hours
            ]
        if parsed.failures:
            failures = "; ".join(f"{name}: {reason}" for name, reason in parsed.failures.items())
            raise ApiResponseError(ResponseProblem.LOCATIONS, f"No history for {failures}")
        table = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
        table["hour"] = pd.to_datetime(table["hour"], utc=True)
        return table.astype(dict.fromkeys(API_NAMES, float)), tuple(refusals)

    def _request_alone(
        self, url: str, stations: Sequence[Station], query: Query, sections: Sequence[str]
    ) -> ParsedResponse:
        """The responses for the stations, each from a request of its own, without retries."""
        response = ParsedResponse()
        for number, station in enumerate(stations):
            try:
                response.add(self._request_locations(url, [station], query, sections, attempts=1))
            except ApiConnectionError as error:  # concerns the following stations as well
                response.failures.update({other.station_id: str(error) for other in stations[number:]})
                break
            except ApiError as error:
                response.failures[station.station_id] = str(error)
        return response

    def _request_locations(
        self, url: str, stations: Sequence[Station], query: Query, sections: Sequence[str], attempts: int
    ) -> ParsedResponse:
        def parse(body: bytes) -> ParsedResponse:
            return parse_response(body, stations, sections)

        return self._request(url, {**_location_query(stations), **query}, parse, attempts, calls=len(stations))

    def _limit_ends_soon(self, reason: str) -> bool:
        return not ("Daily" in reason or "Hourly" in reason)


def create_client(settings: Settings) -> OpenMeteo:
    """A client of the real Open-Meteo."""
    return OpenMeteo(str(settings.open_meteo_url), str(settings.open_meteo_archive_url))


def check_budget(settings: Settings, stations: int) -> None:
    """Check that the polling interval stays within the daily budget of the free API.

    Raises:
        SettingsError: the message contains the setting and the smallest value that fits, if there is one.
    """
    calls_per_day = stations * MINUTES_PER_DAY // settings.poll_minutes
    if calls_per_day <= OPEN_METEO_CALLS_PER_DAY:
        return
    fitting = next((m for m in range(1, 6) if stations * MINUTES_PER_DAY // m <= OPEN_METEO_CALLS_PER_DAY), None)
    advice = f"set it to {fitting} or more" if fitting else "observe fewer stations"
    raise SettingsError(
        f"{variable('poll_minutes')}={settings.poll_minutes} with {stations} stations needs {calls_per_day:,} calls a "
        f"day, but Open-Meteo's free API allows {OPEN_METEO_CALLS_PER_DAY:,}: {advice}"
    )


def _location_query(stations: Sequence[Station]) -> dict[str, str | int]:
    if not 0 < len(stations) <= MAX_LOCATIONS:
        raise ValueError(f"{len(stations)} stations in one request; Open-Meteo accepts 1 to {MAX_LOCATIONS:,}")
    return {
        "latitude": ",".join(str(station.latitude) for station in stations),
        "longitude": ",".join(str(station.longitude) for station in stations),
        "wind_speed_unit": "ms",
        "timezone": "UTC",
    }
