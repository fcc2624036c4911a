"""Responses of the replay to `/v1/forecast`, `/v1/archive` and `/faults`, with Open-Meteo's formats, limits and errors.

Requests for a weather model get simulated guidance, see `guidance_api`. Unknown values are null: at times after the
present of the replay, since observations do not reach into the future, and at locations further than 50 km from any
station. Only UTC and the five variables of the record schema are supported.
Values between two hours are interpolated, see `data`. With injected faults, `/v1/forecast` returns the changed values
and `/faults` their labels; the archive returns the original values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from producer.open_meteo_schema import API_NAMES, API_UNITS
from producer.replay.clock import ReplayClock
from producer.replay.data import VARIABLES, ReplayData
from producer.replay.faults import ReplayFaults
from weatherglass.records import iso
from weatherglass.stations import Station

HOUR = timedelta(hours=1)
QUARTER_HOUR = timedelta(minutes=15)
DAY = timedelta(days=1)
MAX_DISTANCE_KM = 50.0
EARTH_RADIUS_KM = 6371.0
MAX_PAST_DAYS, MAX_FORECAST_DAYS = 92, 16
DEFAULT_LABEL_DAYS = 7
COLUMNS = {API_NAMES[name]: VARIABLES.index(name) for name in VARIABLES}
SPEED_UNITS = {"kmh": ("km/h", 3.6), "ms": ("m/s", 1.0), "mph": ("mp/h", 2.236936), "kn": ("kn", 1.943844)}

Query = Mapping[str, str]


class BadRequest(Exception):
    """The request is invalid; the message is the reason in the response with status 400."""


@dataclass(frozen=True)
class Replay:
    """The observations, the clock of the replay, and the injected faults; None injects none."""

    data: ReplayData
    clock: ReplayClock
    faults: ReplayFaults | None = None

    def forecast(self, query: Query, now: datetime) -> Any:
        """The response to `/v1/forecast` at the real time `now`, UTC.

        Raises:
            BadRequest: the query is invalid.
        """
        present = self.clock.time(now)
        midnight = present.replace(hour=0, minute=0, second=0, microsecond=0)
        past_days = _count(query, "past_days", 0, MAX_PAST_DAYS)
        days = midnight - past_days * DAY, midnight + _count(query, "forecast_days", 7, MAX_FORECAST_DAYS) * DAY
        sections: dict[str, tuple[list[str], list[datetime]]] = {}
        for section, step in (("minutely_15", QUARTER_HOUR), ("hourly", HOUR)):
            if names := variables_of(query, section):
                suffix = "hours" if section == "hourly" else section
                sections[section] = names, list(steps_of(query, suffix, step, present, days))
        current = variables_of(query, "current")
        return self._locations(query, present, sections, current, self.faults)

    def labels(self, query: Query, now: datetime) -> Any:
        """The response to `/faults` at the real time `now`, UTC: the faults of the last `past_days` (default 7).

        Raises:
            BadRequest: the query is invalid.
        """
        last = _floor(self.clock.time(now), QUARTER_HOUR)
        first = last - _count(query, "past_days", DEFAULT_LABEL_DAYS, MAX_PAST_DAYS) * DAY
        faults = self.faults.shown(first, last) if self.faults else []
        return {
            "share": self.faults.share if self.faults else 0.0,
            "faults": [{**vars(fault), "start": iso(fault.start), "end": iso(fault.end)} for fault in faults],
        }

    def archive(self, query: Query, now: datetime) -> Any:
        """The response to `/v1/archive` at the real time `now`, UTC.

        Raises:
            BadRequest: the query is invalid.
        """
        first, last = date_of(query, "start_date"), date_of(query, "end_date")
        if last < first:
            raise BadRequest("End-date must be larger or equals than start-date")
        days = (last - first).days + 1
        if days > (maximum := self._max_archive_days()):
            raise BadRequest(f"'start_date' to 'end_date' is too long. Allowed are {maximum} days. Given {days}.")
        hours = [first + number * HOUR for number in range(days * 24)]
        names = variables_of(query, "hourly")
        return self._locations(query, self.clock.time(now), {"hourly": (names, hours)} if names else {}, [], None)

    def _max_archive_days(self) -> int:
        """The number of days in all calendar years with data, so that a complete year can be requested."""
        calendar = self.data.calendar
        return (calendar.last.year - calendar.first.year + 1) * 366

    def _locations(
        self,
        query: Query,
        present: datetime,
        sections: dict[str, tuple[list[str], list[datetime]]],
        current: list[str],
        faults: ReplayFaults | None,
    ) -> Any:
        unit, factor = speed_unit(query)
        units = {**API_UNITS, API_NAMES["wind_speed"]: unit}
        quarter_hour = _floor(present, QUARTER_HOUR)
        data_now = self.data.calendar.data_time(quarter_hour)
        data_times = {section: self._data_times(times, present) for section, (_, times) in sections.items()}
        locations = []
        for number, (latitude, longitude) in enumerate(coordinates(query)):
            index, distance = self.nearest(latitude, longitude)
            location = self.location(number, index)
            covered = index if distance <= MAX_DISTANCE_KM else None
            if current:
                values = self._values(covered, [data_now], current, factor, faults)
                location["current_units"] = {"time": "iso8601", "interval": "seconds", **_select(units, current)}
                location["current"] = {
                    "time": format_time(quarter_hour),
                    "interval": 900,
                    **{name: values[name][0] for name in current},
                }
            for section, (names, times) in sections.items():
                location[f"{section}_units"] = {"time": "iso8601", **_select(units, names)}
                values = self._values(covered, data_times[section], names, factor, faults)
                location[section] = {"time": [format_time(time) for time in times], **values}
            locations.append(location)
        return locations[0] if len(locations) == 1 else locations

    def location(self, number: int, index: int) -> dict[str, Any]:
        """The fields of a location besides its sections: of the station, not of the request, as with a grid cell."""
        station = self.data.stations[index]
        location: dict[str, Any] = {
            "latitude": round(station.latitude, 4),
            "longitude": round(station.longitude, 4),
            "generationtime_ms": 0.1,
            "utc_offset_seconds": 0,
            "timezone": "GMT",
            "timezone_abbreviation": "GMT",
            "elevation": station.elevation or 0.0,
        }
        return location | {"location_id": number} if number else location

    def _data_times(self, times: list[datetime], present: datetime) -> list[datetime | None]:
        """The time of the data for each time; None for the future."""
        calendar = self.data.calendar
        return [calendar.data_time(time) if time <= present else None for time in times]

    def _values(
        self,
        station: int | None,
        data_times: list[datetime | None],
        names: list[str],
        speed_factor: float,
        faults: ReplayFaults | None,
    ) -> dict[str, list[float | int | None]]:
        """The values of these variables at times of the data; `station` None is a location that is not covered."""
        columns: dict[str, list[float | int | None]] = {name: [] for name in names}
        for time in data_times:
            row = None
            if station is not None and time is not None:
                row = self.data.values_at(station, time)
                row = faults.disturbed(station, time, row) if faults else row
            for name, column in columns.items():
                column.append(None if row is None else number_of(name, row[COLUMNS[name]], speed_factor))
        return columns

    def nearest(self, latitude: float, longitude: float) -> tuple[int, float]:
        """The index of the nearest station, and its distance, km."""
        distances = [_distance(latitude, longitude, station) for station in self.data.stations]
        index = int(np.argmin(distances))
        return index, distances[index]


def speed_unit(query: Query) -> tuple[str, float]:
    """The name of the unit of wind speeds, and its factor; checks the time zone too."""
    if query.get("timezone", "GMT") not in ("UTC", "GMT"):
        raise BadRequest(f"Invalid timezone: the replay supports only UTC. Given: {query['timezone']}.")
    speed = query.get("wind_speed_unit", "kmh")
    if speed not in SPEED_UNITS:
        raise BadRequest(f"Cannot initialize WindspeedUnit from invalid String value {speed}.")
    return SPEED_UNITS[speed]


def _distance(latitude: float, longitude: float, station: Station) -> float:
    """Great-circle distance, km (haversine formula)."""
    north, east = math.radians(station.latitude - latitude), math.radians(station.longitude - longitude)
    cosines = math.cos(math.radians(latitude)) * math.cos(math.radians(station.latitude))
    a = math.sin(north / 2) ** 2 + cosines * math.sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(a)))


def number_of(name: str, value: float, speed_factor: float) -> float | int | None:
    if math.isnan(value):
        return None
    if name == API_NAMES["wind_speed"]:
        return round(float(value) * speed_factor, 2)
    return int(value) if name in (API_NAMES["humidity"], API_NAMES["wind_direction"]) else float(value)


def _select(units: dict[str, str], names: list[str]) -> dict[str, str]:
    return {name: units[name] for name in names}


def format_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M")


def _floor(time: datetime, step: timedelta) -> datetime:
    return time - (time - datetime(1970, 1, 1, tzinfo=UTC)) % step


def steps_of(
    query: Query, suffix: str, step: timedelta, present: datetime, days: tuple[datetime, datetime]
) -> Iterator[datetime]:
    """The times of a series: complete days, or the requested steps before and after the present one."""
    first, end = days
    now = _floor(present, step)
    past, ahead = f"past_{suffix}", f"forecast_{suffix}"
    if past in query or ahead in query:
        first = now - _count(query, past, 0, int(MAX_PAST_DAYS * DAY / step)) * step
        if ahead in query:
            end = now + _count(query, ahead, 0, int(MAX_FORECAST_DAYS * DAY / step)) * step
    while first < end:
        yield first
        first += step


def variables_of(query: Query, section: str) -> list[str]:
    names = [name for name in query.get(section, "").split(",") if name]
    for name in names:
        if name not in COLUMNS:
            raise BadRequest(f"Cannot initialize a variable of {section} from invalid String value {name}.")
    return list(dict.fromkeys(names))


def coordinates(query: Query) -> list[tuple[float, float]]:
    latitudes, longitudes = (_numbers(query, name) for name in ("latitude", "longitude"))
    if len(latitudes) != len(longitudes):
        raise BadRequest("Parameter 'latitude' and 'longitude' must have the same number of elements")
    if len(latitudes) > 1000:
        raise BadRequest("Only up to 1000 locations can be requested at once.")
    for name, values, limit in (("Latitude", latitudes, 90), ("Longitude", longitudes, 180)):
        for value in values:
            if not -limit <= value <= limit:
                raise BadRequest(f"{name} must be in range of -{limit} to {limit}°. Given: {value}.")
    return list(zip(latitudes, longitudes, strict=True))


def _numbers(query: Query, name: str) -> list[float]:
    if name not in query:
        raise BadRequest(f"Parameter '{name}' is required")
    try:
        return [float(text) for text in query[name].split(",")]
    except ValueError:
        raise BadRequest(f"Parameter '{name}' must be a list of numbers. Given: {query[name]}.") from None


def _count(query: Query, name: str, default: int, maximum: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) > maximum:
        raise BadRequest(f"Parameter '{name}' is invalid. Allowed range 0 to {maximum}. Given {text}.")
    return int(text)


def date_of(query: Query, name: str) -> datetime:
    try:
        day = date.fromisoformat(query[name])
    except (KeyError, ValueError):
        raise BadRequest(f"Parameter '{name}' must be a date, yyyy-mm-dd. Given: {query.get(name)}.") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
