"""What the clients of Open-Meteo's APIs share: requests for many locations, and what a request costs.

The free API counts one call for each location of a request: 600 a minute, 5,000 an hour, 10,000 a day. All stations are
requested together, which saves round trips but not budget. The server rejects a request if one of its locations is
invalid; then each station is requested alone. Sources: open-meteo.com/en/docs, open-meteo.com/en/terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from producer.api_client import ApiClient, Query
from producer.api_response import (
    ApiConnectionError,
    ApiError,
    ApiRequestError,
    ApiResponseError,
    ResponseProblem,
    StationsResponse,
)
from weatherglass.stations import Station

R = TypeVar("R", bound=StationsResponse)

MAX_LOCATIONS = 1000
"""Locations in one request."""

Parse = Callable[[bytes, Sequence[Station]], R]
"""Parses the body of a response for these stations, in the order of the request."""


class OpenMeteoClient(ApiClient):
    """Assigns the locations of a response by order, never by coordinates."""

    def _request_stations(
        self,
        url: str,
        stations: Sequence[Station],
        query: Query,
        parse: Parse[R],
        spare_calls: int | None = None,
    ) -> R:
        """The response for all stations; if it is rejected or cannot be used, of each station alone.

        Args:
            spare_calls: calls that may be used to request stations alone; None: any number.

        Raises:
            ApiConnectionError: no usable response after all retries.
            ApiRequestError: the server rejects the request (status 400).
            ApiResponseError: the response is not complete JSON, is an error, or has other locations.
        """
        attempts = self.retry_policy.attempts
        try:
            return self._request_locations(url, stations, query, parse, attempts)
        except (ApiRequestError, ApiResponseError) as error:
            too_expensive = spare_calls is not None and len(stations) > spare_calls
            if len(stations) == 1 or not _concerns_locations(error) or too_expensive:
                raise
            response = self._request_alone(url, stations, query, parse)
            if response is None or not response.stations:
                raise
            return response

    def _request_alone(self, url: str, stations: Sequence[Station], query: Query, parse: Parse[R]) -> R | None:
        """The responses for the stations, each from a request of its own, without retries; None without any."""
        joined: R | None = None
        failures: dict[str, str] = {}
        for number, station in enumerate(stations):
            try:
                response = self._request_locations(url, [station], query, parse, 1)
                if joined is None:
                    joined = response
                else:
                    joined.add(response)
            except ApiConnectionError as error:  # concerns the following stations as well
                failures.update({other.station_id: str(error) for other in stations[number:]})
                break
            except ApiError as error:
                failures[station.station_id] = str(error)
        if joined is not None:
            joined.failures.update(failures)
        return joined

    def _request_locations(
        self, url: str, stations: Sequence[Station], query: Query, parse: Parse[R], attempts: int
    ) -> R:
        locations = self._location_query(stations)
        return self._request(url, {**locations, **query}, lambda body: parse(body, stations), attempts, len(stations))

    def _location_query(self, stations: Sequence[Station]) -> dict[str, str | int]:
        """The parameters that depend on the stations of one request; lists have one element for each station."""
        if not 0 < len(stations) <= MAX_LOCATIONS:
            raise ValueError(f"{len(stations)} stations in one request; Open-Meteo accepts 1 to {MAX_LOCATIONS:,}")
        return {
            "latitude": ",".join(str(station.latitude) for station in stations),
            "longitude": ",".join(str(station.longitude) for station in stations),
            "wind_speed_unit": "ms",
            "timezone": "UTC",
        }

    def _limit_ends_soon(self, reason: str) -> bool:
        return not ("Daily" in reason or "Hourly" in reason)


def _concerns_locations(error: ApiError) -> bool:
    """Whether the reason may be one of the locations, so that the others can be requested without it."""
    not_json = isinstance(error, ApiResponseError) and error.problem is ResponseProblem.NOT_JSON
    return isinstance(error, ApiRequestError | ApiResponseError) and not not_json
