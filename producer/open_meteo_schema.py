"""Open-Meteo's responses, and their conversion into observations.

A response is one object for one location and an array for several. Times are those of the one time zone of the
response, whose offset is `utc_offset_seconds`. What is wrong in one location, variable or value is refused and named;
the rest remains usable. The coordinates in a response are those of the model's grid cell and are not used; they may be
`nan` although the data are valid.

Sources: open-meteo.com/en/docs; the server's JsonWriter.swift; the issues in github.com/open-meteo named below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from producer.api_response import (
    ApiConnectionError,
    ApiRefusal,
    ApiRefusalCode,
    ApiResponseError,
    ParsedResponse,
    ResponseProblem,
    StationObservations,
    decode,
    is_number,
    summarize,
)
from weatherglass.records import Observation
from weatherglass.stations import Station

API_NAMES = {
    "temperature": "temperature_2m",
    "humidity": "relative_humidity_2m",
    "pressure": "surface_pressure",
    "wind_speed": "wind_speed_10m",
    "wind_direction": "wind_direction_10m",
}
"""Variables of the record schema -> names in the API; surface pressure is the station pressure of the schema."""
API_UNITS = {
    "temperature_2m": "°C",
    "relative_humidity_2m": "%",
    "surface_pressure": "hPa",
    "wind_speed_10m": "m/s",
    "wind_direction_10m": "°",
}
"""The requested units. A variable with another unit, or without one, is refused, not converted."""
TIME_UNIT = "iso8601"
HOURLY = "hourly"


def parse_response(body: bytes, stations: Sequence[Station], sections: Sequence[str]) -> ParsedResponse:
    """Parse the body of a response into observations of the requested stations.

    Args:
        stations: in the order of the request.
        sections: the requested sections, of `current`, `minutely_15`, `hourly`; a usable location has all of them.

    Raises:
        ApiConnectionError: the body is the error that a rate limit is exceeded.
        ApiResponseError: the body is not complete JSON, is another error, or has other locations.
    """
    response = ParsedResponse()
    for station, location in zip(stations, locations_of(decode(body), len(stations)), strict=True):
        parser = LocationParser(station.station_id)
        observations = parser.parse(location, sections)
        response.refusals.extend(parser.refusals)
        if observations and (observations.current or observations.quarter_hours or observations.hours):
            response.stations[station.station_id] = observations
        else:
            response.failures[station.station_id] = summarize(parser.refusals) or (
                "all values are null: the location is not covered, or has no data at present"
            )
    return response


def locations_of(content: Any, count: int) -> list[Any]:
    """The locations in the order of the request.

    Raises:
        ApiConnectionError, ApiResponseError: as for `parse_response`.
    """
    if isinstance(content, dict) and content.get("error"):
        message = f"The response is an error: {content.get('reason', 'no reason given')}"
        if "limit exceeded" in message:
            raise ApiConnectionError(message)
        raise ApiResponseError(ResponseProblem.ERROR, message)
    items = content if isinstance(content, list) else [content]
    if len(items) != count:
        message = f"The response has {len(items)} locations instead of {count}"
        raise ApiResponseError(ResponseProblem.LOCATIONS, message)
    if not any(isinstance(item, dict) and "location_id" in item for item in items):
        return items
    # `location_id` is the position in the request; the first location has none.
    objects = [item for item in items if isinstance(item, dict)]
    ids = [item.get("location_id", 0) for item in objects]
    by_id = {number: item for number, item in zip(ids, objects, strict=True) if number in range(count)}
    if len(by_id) < len(objects):
        message = f"The response has the location_ids {ids}, but the request has the locations 0 to {count - 1}"
        raise ApiResponseError(ResponseProblem.LOCATIONS, message)
    return [by_id.get(number) for number in range(count)]


Values = tuple[float | None, ...]
"""The values at one time, in the order of `API_NAMES`."""


class LocationParser:
    """Parses the response of one station and collects what it refuses."""

    def __init__(self, station_id: str):
        self.station_id = station_id
        self.refusals: list[ApiRefusal] = []

    def parse(self, location: Any, sections: Sequence[str]) -> StationObservations | None:
        """The usable observations; None if the location as a whole cannot be used."""
        offset = self.zone(location, sections)
        if offset is None:
            return None
        current, quarter_hours, hours = (
            self._section(name, location.get(name), location.get(f"{name}_units"), offset) if name in sections else ()
            for name in ("current", "minutely_15", HOURLY)
        )
        return StationObservations(current[0] if current else None, tuple(quarter_hours), tuple(hours))

    def zone(self, location: Any, sections: Sequence[str]) -> timezone | None:
        """The zone of the times; None if the location as a whole cannot be used, or has not all sections."""
        if not isinstance(location, dict):
            self.refuse("location", ApiRefusalCode.NOT_AN_OBJECT, location, "an object")
            return None
        offset = self._offset(location)
        missing = [name for name in sections if location.get(name) is None]
        for name in missing:
            self.refuse(
                name, ApiRefusalCode.MISSING_SECTION, None, "the requested section; the location is not covered"
            )
        return None if missing else offset

    def refuse(self, name: str, code: ApiRefusalCode, value: Any, allowed: str, count: int = 1) -> None:
        text = repr(value)
        text = text if len(text) <= 60 else f"{text[:60]}…"
        self.refusals.append(ApiRefusal(self.station_id, name, code, text, allowed, count))

    def _offset(self, location: dict[str, Any]) -> timezone | None:
        """The zone of the times; None if it is not certain.

        The server adds `utc_offset_seconds`, the present offset of the zone, to all times of a response, also to those
        with another offset at that time. Source: open-meteo/open-meteo-website, issue 1153.
        """
        seconds, name = location.get("utc_offset_seconds"), location.get("timezone")
        if seconds is None and name in ("GMT", "UTC"):
            return UTC
        if isinstance(seconds, float) and isinstance(name, str | None) and seconds in _zone_offsets(name or ""):
            return timezone(timedelta(seconds=seconds))
        allowed = "the offset in seconds of the zone in `timezone`"
        self.refuse("utc_offset_seconds", ApiRefusalCode.TIME_ZONE, {"offset": seconds, "timezone": name}, allowed)
        return None

    def _section(self, name: str, content: Any, units: Any, zone: timezone) -> Sequence[Observation]:
        rows = self.rows(name, content, units, zone, API_UNITS)
        return self._observations(name, rows)

    def rows(
        self, name: str, content: Any, units: Any, zone: timezone, variables: Mapping[str, str]
    ) -> dict[datetime, Values]:
        """The rows of a section with any value, in order of time; equal rows count once.

        Args:
            variables: name in the API -> its unit; the order of the values in a row.
        """
        if not isinstance(content, dict):
            self.refuse(name, ApiRefusalCode.NOT_AN_OBJECT, content, "an object")
            return {}
        units = units if isinstance(units, dict) else {}
        if units.get("time", TIME_UNIT) != TIME_UNIT:
            self.refuse(f"{name}.time", ApiRefusalCode.TIME_UNIT, units["time"], TIME_UNIT)
            return {}
        if name == "current":
            content = {key: [value] for key, value in content.items()}
        texts = content.get("time")
        if not isinstance(texts, list):
            self.refuse(f"{name}.time", ApiRefusalCode.TIME, texts, "a list of times")
            return {}
        times = self._times(name, texts, zone)
        columns = [
            self._column(name, variable, unit, content, units, len(times)) for variable, unit in variables.items()
        ]
        rows = ((time, values) for time, values in zip(times, zip(*columns, strict=True), strict=True) if time)
        return self._unique(name, rows)

    def _times(self, section: str, texts: list[Any], zone: timezone) -> list[datetime | None]:
        """The times, UTC; None for those that are not certain."""
        times = [_time(text, zone, full_hour=section == HOURLY) for text in texts]
        refused = [text for text, time in zip(texts, times, strict=True) if time is None]
        if refused:
            step = "a full hour" if section == HOURLY else "a time"
            allowed = f"{step} such as 2026-01-05T12:00, without another time zone than that of the response"
            self.refuse(f"{section}.time", ApiRefusalCode.TIME, refused[0], allowed, len(refused))
        return times

    def _column(
        self, section: str, variable: str, unit: str, content: dict[str, Any], units: dict[str, Any], length: int
    ) -> list[float | None]:
        """The values of a variable; None for those that are missing or refused."""
        name, nothing = f"{section}.{variable}", [None] * length
        if variable not in content:
            self.refuse(name, ApiRefusalCode.MISSING_VARIABLE, None, "the requested variable", length)
            return list(nothing)
        values = content[variable]
        if not isinstance(values, list) or len(values) != length:
            given = len(values) if isinstance(values, list) else values
            self.refuse(name, ApiRefusalCode.LENGTH, given, f"a list of {length} values, one for each time", length)
            return list(nothing)
        present = [value for value in values if value is not None]
        if present and units.get(variable) != unit:
            self.refuse(name, ApiRefusalCode.UNIT, units.get(variable), f"the unit {unit}", len(present))
            return list(nothing)
        refused = [value for value in present if not is_number(value)]
        if refused:
            self.refuse(name, ApiRefusalCode.NOT_A_NUMBER, refused[0], "a finite number, or null", len(refused))
        return [value if is_number(value) else None for value in values]

    def _unique(self, section: str, rows: Iterable[tuple[datetime, Values]]) -> dict[datetime, Values]:
        """The rows with any value, in order of time; different rows of one time are refused."""
        by_time: dict[datetime, set[Values]] = {}
        for time, values in rows:
            if any(value is not None for value in values):
                by_time.setdefault(time, set()).add(values)
        ambiguous = [time for time, different in by_time.items() if len(different) > 1]
        if ambiguous:
            allowed = "each time once"
            self.refuse(f"{section}.time", ApiRefusalCode.REPEATED_TIME, str(ambiguous[0]), allowed, len(ambiguous))
        return {time: next(iter(by_time[time])) for time in sorted(by_time.keys() - set(ambiguous))}

    def _observations(self, section: str, rows: Mapping[datetime, Values]) -> list[Observation]:
        observations = []
        impossible = []
        for time, values in rows.items():
            try:
                fields = dict(zip(API_NAMES, values, strict=True))
                observations.append(Observation(station_id=self.station_id, timestamp=time, **fields))
            except ValidationError:
                impossible.append(time)
        if impossible:
            allowed = "a time that a record can have"
            self.refuse(f"{section}.time", ApiRefusalCode.TIME, str(impossible[0]), allowed, len(impossible))
        return observations


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def _time(text: Any, zone: timezone, full_hour: bool) -> datetime | None:
    """A time of the response in UTC; None if it is not certain. Its own time zone must be that of the response."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo and time.utcoffset() != zone.utcoffset(None):
            return None
        time = time.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None if full_hour and (time.minute or time.second or time.microsecond) else time


@lru_cache(maxsize=64)
def _zone_offsets(name: str) -> frozenset[float]:
    """The UTC offsets, seconds, that the present one of a time zone can be; of an unknown zone, all offsets in use."""
    try:
        zone = ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # KeyError: the base class of ZoneInfoNotFoundError
        return frozenset(quarter * 900.0 for quarter in range(-12 * 4, 14 * 4 + 1))
    days = (datetime(year, month, 1) for year in range(2020, 2040) for month in range(1, 13))
    return frozenset(offset.total_seconds() for day in days if (offset := zone.utcoffset(day)) is not None)
