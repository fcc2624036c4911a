"""Client of the Open-Meteo API: `/v1/forecast` for now and the last days, `/v1/archive` for years.

The free API counts a call once for each location in it: 600 a minute, 5,000 an hour, 10,000 a day. So all stations
are asked for in one request (which saves round trips, not budget), and a rate of polls beyond the budget is refused.
Source: open-meteo.com/en/docs, open-meteo.com/en/terms.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime

import pandas as pd
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from producer.open_meteo_schema import (
    API_NAMES,
    API_UNITS,
    Observed,
    OpenMeteoAnswerError,
    OpenMeteoConnectionError,
    OpenMeteoRequestError,
    read_answer,
    reason_of,
)
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, SettingsError, variable
from weatherglass.stations import Station

VARIABLES = ",".join(API_UNITS)
MAX_LOCATIONS = 1000
"""Locations in one call."""
MAX_PAST_DAYS = 92
"""How far back `/v1/forecast` reaches."""
MINUTES_A_DAY = 24 * 60


class _Transient(OpenMeteoConnectionError):
    """A failure that may be gone in a few seconds."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for an answer, and how often to ask again."""

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    attempts: int = 4
    longest_wait_seconds: float = 15.0
    """Between two attempts; waits are random, up to 1, 2, 4 … seconds and never longer than this."""


class OpenMeteo:
    """Asks for all stations at once; joins the answer by order, never by the coordinates in it."""

    def __init__(self, url: str, archive_url: str, patience: RetryPolicy | None = None):
        self.url = url.rstrip("/")
        self.archive_url = archive_url.rstrip("/")
        self.patience = patience or RetryPolicy()
        self.calls = 0
        """Of the source's budget, used so far: one a location and request."""
        self.clock_skew: float | None = None
        """Seconds this machine's clock is ahead of the source's, by its last answer; None where that told no time."""
        self._session = requests.Session()

    def __enter__(self) -> OpenMeteo:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def observe(self, stations: Sequence[Station], past_quarters: int = 0, past_hours: int = 0) -> Observed:
        """The present observation of each station, and the steps before it that are asked for.

        Args:
            past_quarters: how many steps of 15 minutes before the present one.
            past_hours: how many full hours before the present one.

        Raises:
            OpenMeteoConnectionError: no answer after the retries.
            OpenMeteoRequestError: the server refuses the request (400).
            OpenMeteoAnswerError: the answer is not JSON, or has another number of locations.
        """
        parts = {"current": VARIABLES}
        steps: dict[str, int] = {}
        # One step of forecast is the present step itself; more would be the future.
        if past_quarters:
            parts["minutely_15"] = VARIABLES
            steps |= {"past_minutely_15": past_quarters, "forecast_minutely_15": 1}
        if past_hours:
            parts["hourly"] = VARIABLES
            steps |= {"past_hours": past_hours, "forecast_hours": 1}
        body = self._get(f"{self.url}/v1/forecast", {**_places(stations), **parts, **steps})
        return read_answer(body, stations, list(parts))

    def archive(self, stations: Sequence[Station], first: date, last: date) -> pd.DataFrame:
        """Hourly history of both days and all between: rows with the columns of `HISTORY_COLUMNS`, contract units.

        Hours without any value are left out. A long stretch counts as several calls (one for two weeks, about).

        Raises:
            OpenMeteoConnectionError, OpenMeteoRequestError: as for `observe`.
            OpenMeteoAnswerError: as for `observe`, or a station's part cannot be used: history must be whole.
        """
        days = {"start_date": first.isoformat(), "end_date": last.isoformat(), "hourly": VARIABLES}
        body = self._get(f"{self.archive_url}/v1/archive", {**_places(stations), **days})
        observed = read_answer(body, stations, ["hourly"])
        if observed.failures:
            words = "; ".join(f"{name}: {why}" for name, why in observed.failures.items())
            raise OpenMeteoAnswerError(f"no history for {words}")
        rows = [
            (hour.station_id, hour.timestamp, *(getattr(hour, name) for name in API_NAMES), "open-meteo")
            for part in observed.stations.values()
            for hour in part.hours
        ]
        table = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
        table["hour"] = pd.to_datetime(table["hour"], utc=True)
        return table.astype(dict.fromkeys(API_NAMES, float))

    def _get(self, url: str, query: dict[str, str | int]) -> bytes:
        retrying = Retrying(
            stop=stop_after_attempt(self.patience.attempts),
            wait=wait_random_exponential(max=self.patience.longest_wait_seconds),
            retry=retry_if_exception_type(_Transient),
            reraise=True,
        )
        try:
            return retrying(self._get_once, url, query)
        except _Transient as error:
            raise OpenMeteoConnectionError(f"{error} (asked {self.patience.attempts} times)") from error

    def _get_once(self, url: str, query: dict[str, str | int]) -> bytes:
        timeout = (self.patience.connect_seconds, self.patience.read_seconds)
        self.calls += str(query["latitude"]).count(",") + 1
        try:
            response = self._session.get(url, params=query, timeout=timeout)
        except requests.Timeout as error:
            raise _Transient(f"{url} did not answer within {sum(timeout):g} s") from error
        except requests.RequestException as error:
            raise _Transient(f"{url} cannot be reached: {error}") from error
        self.clock_skew = _skew(response)
        if response.ok:
            return response.content
        reason = reason_of(response.content) or response.reason or "no reason given"
        words = f"{url} answered {response.status_code}: {reason}"
        if response.status_code == 429 and ("Daily" in reason or "Hourly" in reason):
            raise OpenMeteoConnectionError(words)  # seconds will not help
        if response.status_code == 429 or response.status_code >= 500:
            raise _Transient(words)
        raise OpenMeteoRequestError(words)


def open_meteo_of(settings: Settings) -> OpenMeteo:
    """The client of the real Open-Meteo."""
    return OpenMeteo(str(settings.open_meteo_url), str(settings.open_meteo_archive_url))


def check_budget(settings: Settings, stations: int) -> None:
    """Refuse a rate of polls that the free API does not allow.

    Raises:
        SettingsError: naming the setting and the smallest value that fits.
    """
    a_day = stations * MINUTES_A_DAY // settings.poll_minutes
    if a_day <= OPEN_METEO_CALLS_PER_DAY:
        return
    fitting = next((m for m in range(1, 6) if stations * MINUTES_A_DAY // m <= OPEN_METEO_CALLS_PER_DAY), None)
    advice = f"set it to {fitting} or more" if fitting else "observe fewer stations"
    raise SettingsError(
        f"{variable('poll_minutes')}={settings.poll_minutes} with {stations} stations would be {a_day:,} calls a day, "
        f"but Open-Meteo's free API allows {OPEN_METEO_CALLS_PER_DAY:,}; {advice}"
    )


def _skew(response: requests.Response) -> float | None:
    """The clocks' difference, from the second in which the answer was written; less than its way took is nothing."""
    try:
        said = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    difference = time.time() - said
    way = response.elapsed.total_seconds() + 1.0
    return 0.0 if 0 <= difference <= way else difference


def _places(stations: Sequence[Station]) -> dict[str, str | int]:
    if not 0 < len(stations) <= MAX_LOCATIONS:
        raise ValueError(f"{len(stations)} stations in one call; Open-Meteo takes 1 to {MAX_LOCATIONS:,}")
    return {
        "latitude": ",".join(str(station.latitude) for station in stations),
        "longitude": ",".join(str(station.longitude) for station in stations),
        "wind_speed_unit": "ms",
        "timezone": "UTC",
    }
