"""What the replay answers to `/v1/forecast` and `/v1/archive`: Open-Meteo's shapes, limits and errors.

What it does not know, it says: a time after the replay's present is null (observations know no future), and so is
all at a place further than 50 km from any of its stations. Times are UTC only; of variables it knows the five of
the contract. Values between two hours are interpolated, see `data`. Where faults are asked for, `/v1/forecast` answers
disturbed values, and `/faults` says which; the archive stays as it was observed.
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
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
REACH_KM = 50.0
EARTH_KM = 6371.0
MAX_PAST_DAYS, MAX_FORECAST_DAYS = 92, 16
LABEL_DAYS = 7
COLUMN = {API_NAMES[name]: VARIABLES.index(name) for name in VARIABLES}
SPEED_UNITS = {"kmh": ("km/h", 3.6), "ms": ("m/s", 1.0), "mph": ("mp/h", 2.236936), "kn": ("kn", 1.943844)}

Query = Mapping[str, str]


class BadRequest(Exception):
    """The request cannot be answered; the message is the reason that goes into a 400."""


@dataclass(frozen=True)
class Replay:
    """The observations, the clock they are shown by, and the faults put into them; None: as they were observed."""

    data: ReplayData
    clock: ReplayClock
    faults: ReplayFaults | None = None

    def forecast(self, query: Query, now: datetime) -> Any:
        """The answer to `/v1/forecast` at the real time `now`.

        Raises:
            BadRequest: with the reason.
        """
        present = self.clock.time(now)
        midnight = present.replace(hour=0, minute=0, second=0, microsecond=0)
        past_days = _count(query, "past_days", 0, MAX_PAST_DAYS)
        days = midnight - past_days * DAY, midnight + _count(query, "forecast_days", 7, MAX_FORECAST_DAYS) * DAY
        parts: dict[str, tuple[list[str], list[datetime]]] = {}
        for part, step in (("minutely_15", QUARTER), ("hourly", HOUR)):
            if names := _variables(query, part):
                suffix = "hours" if part == "hourly" else part
                parts[part] = names, list(_steps(query, suffix, step, present, days))
        current = _variables(query, "current")
        return self._locations(query, present, parts, current, self.faults)

    def labels(self, query: Query, now: datetime) -> Any:
        """The answer to `/faults` at the real time `now`: what is wrong in the last `past_days` (7 if not said).

        Raises:
            BadRequest: with the reason.
        """
        last = _floor(self.clock.time(now), QUARTER)
        first = last - _count(query, "past_days", LABEL_DAYS, MAX_PAST_DAYS) * DAY
        found = self.faults.shown(first, last) if self.faults else []
        return {
            "share": self.faults.share if self.faults else 0.0,
            "faults": [{**vars(fault), "start": iso(fault.start), "end": iso(fault.end)} for fault in found],
        }

    def archive(self, query: Query, now: datetime) -> Any:
        """The answer to `/v1/archive` at the real time `now`.

        Raises:
            BadRequest: with the reason.
        """
        first, last = _date(query, "start_date"), _date(query, "end_date")
        if last < first:
            raise BadRequest("End-date must be larger or equals than start-date")
        days = (last - first).days + 1
        if days > (most := self._longest_archive()):
            raise BadRequest(f"'start_date' to 'end_date' is too long. Allowed are {most} days. Given {days}.")
        hours = [first + number * HOUR for number in range(days * 24)]
        names = _variables(query, "hourly")
        return self._locations(query, self.clock.time(now), {"hourly": (names, hours)} if names else {}, [], None)

    def _longest_archive(self) -> int:
        """Days: as many as the years have that the data touch, so that a whole year of them can be asked for."""
        calendar = self.data.calendar
        return (calendar.last.year - calendar.first.year + 1) * 366

    def _locations(
        self,
        query: Query,
        present: datetime,
        parts: dict[str, tuple[list[str], list[datetime]]],
        current: list[str],
        faults: ReplayFaults | None,
    ) -> Any:
        if query.get("timezone", "GMT") not in ("UTC", "GMT"):
            raise BadRequest(f"Invalid timezone: the replay knows UTC only. Given: {query['timezone']}.")
        speed = query.get("wind_speed_unit", "kmh")
        if speed not in SPEED_UNITS:
            raise BadRequest(f"Cannot initialize WindspeedUnit from invalid String value {speed}.")
        unit, factor = SPEED_UNITS[speed]
        units = {**API_UNITS, API_NAMES["wind_speed"]: unit}
        quarter = _floor(present, QUARTER)
        shown_now = self.data.calendar.earlier(quarter)
        shown = {part: self._shown(times, present) for part, (_, times) in parts.items()}
        answers = []
        for number, (latitude, longitude) in enumerate(_coordinates(query)):
            index, distance = self._nearest(latitude, longitude)
            station = self.data.stations[index]
            answer: dict[str, Any] = {
                # The place that answers, not the one asked for, as a grid cell would.
                "latitude": round(station.latitude, 4),
                "longitude": round(station.longitude, 4),
                "generationtime_ms": 0.1,
                "utc_offset_seconds": 0,
                "timezone": "GMT",
                "timezone_abbreviation": "GMT",
                "elevation": station.elevation or 0.0,
            }
            if number:
                answer["location_id"] = number
            known = index if distance <= REACH_KM else None
            if current:
                values = self._values(known, [shown_now], current, factor, faults)
                answer["current_units"] = {"time": "iso8601", "interval": "seconds", **_pick(units, current)}
                answer["current"] = {"time": _text(quarter), "interval": 900, **{n: values[n][0] for n in current}}
            for part, (names, times) in parts.items():
                answer[f"{part}_units"] = {"time": "iso8601", **_pick(units, names)}
                values = self._values(known, shown[part], names, factor, faults)
                answer[part] = {"time": [_text(time) for time in times], **values}
            answers.append(answer)
        return answers[0] if len(answers) == 1 else answers

    def _shown(self, times: list[datetime], present: datetime) -> list[datetime | None]:
        """The data's time for each; None for the future."""
        calendar = self.data.calendar
        return [calendar.earlier(time) if time <= present else None for time in times]

    def _values(
        self,
        station: int | None,
        shown: list[datetime | None],
        names: list[str],
        speed: float,
        faults: ReplayFaults | None,
    ) -> dict[str, list[float | int | None]]:
        columns: dict[str, list[float | int | None]] = {name: [] for name in names}
        for time in shown:
            row = None
            if station is not None and time is not None:
                row = self.data.at(station, time)
                row = faults.disturbed(station, time, row) if faults else row
            for name, column in columns.items():
                column.append(None if row is None else _number(name, row[COLUMN[name]], speed))
        return columns

    def _nearest(self, latitude: float, longitude: float) -> tuple[int, float]:
        """The nearest station's index and its distance, km."""
        distances = [_distance(latitude, longitude, station) for station in self.data.stations]
        index = int(np.argmin(distances))
        return index, distances[index]


def _distance(latitude: float, longitude: float, station: Station) -> float:
    """Along the great circle, km (haversine formula)."""
    north, east = math.radians(station.latitude - latitude), math.radians(station.longitude - longitude)
    cosines = math.cos(math.radians(latitude)) * math.cos(math.radians(station.latitude))
    a = math.sin(north / 2) ** 2 + cosines * math.sin(east / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(a)))


def _number(name: str, value: float, speed: float) -> float | int | None:
    if math.isnan(value):
        return None
    if name == API_NAMES["wind_speed"]:
        return round(float(value) * speed, 2)
    return int(value) if name in (API_NAMES["humidity"], API_NAMES["wind_direction"]) else float(value)


def _pick(units: dict[str, str], names: list[str]) -> dict[str, str]:
    return {name: units[name] for name in names}


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M")


def _floor(time: datetime, step: timedelta) -> datetime:
    return time - (time - datetime(1970, 1, 1, tzinfo=UTC)) % step


def _steps(
    query: Query, suffix: str, step: timedelta, present: datetime, days: tuple[datetime, datetime]
) -> Iterator[datetime]:
    """The times of a series: whole days, or so many steps before and after the present one where that is asked."""
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


def _variables(query: Query, part: str) -> list[str]:
    names = [name for name in query.get(part, "").split(",") if name]
    for name in names:
        if name not in COLUMN:
            raise BadRequest(f"Cannot initialize a variable of {part} from invalid String value {name}.")
    return list(dict.fromkeys(names))


def _coordinates(query: Query) -> list[tuple[float, float]]:
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
        raise BadRequest(f"Parameter '{name}' must be numbers. Given: {query[name]}.") from None


def _count(query: Query, name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise BadRequest(f"Parameter '{name}' is invalid. Allowed range 0 to {most}. Given {text}.")
    return int(text)


def _date(query: Query, name: str) -> datetime:
    try:
        day = date.fromisoformat(query[name])
    except (KeyError, ValueError):
        raise BadRequest(f"Parameter '{name}' must be a date, yyyy-mm-dd. Given: {query.get(name)}.") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
