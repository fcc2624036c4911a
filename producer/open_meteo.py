"""Client of the Open-Meteo API: `/v1/forecast` for the present and the last days, `/v1/archive` for years.

A polling interval that exceeds the budget of the free API is refused. Source: open-meteo.com/en/docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from producer.api_client import Query, RetryPolicy
from producer.api_response import (
    ApiRefusal,
    ApiRefusalCode,
    ApiResponseError,
    ParsedResponse,
    ResponseProblem,
)
from producer.open_meteo_client import OpenMeteoClient
from producer.open_meteo_schema import API_NAMES, API_UNITS, HOURLY, parse_response
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings
from weatherglass.settings_errors import SettingsError, variable
from weatherglass.stations import Station

VARIABLES = ",".join(API_UNITS)
MAX_PAST_DAYS = 92
"""How far back `/v1/forecast` reaches."""
MINUTES_PER_DAY = 24 * 60


class OpenMeteo(OpenMeteoClient):
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
        query: Query = {**sections, **steps}

        def parse(body: bytes, requested: Sequence[Station]) -> ParsedResponse:
            return parse_response(body, requested, list(sections))

        return self._request_stations(f"{self.url}/v1/forecast", stations, query, parse, spare_calls=spare_calls)

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

        def parse(body: bytes, requested: Sequence[Station]) -> ParsedResponse:
            return parse_response(body, requested, [HOURLY])

        parsed = self._request_locations(url, stations, days, parse, self.retry_policy.attempts)
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
