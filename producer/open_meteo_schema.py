"""Typed models of Open-Meteo's responses, and their conversion into observations.

A response is one object for one location and an array for several. Times have no zone; they are in UTC, as requested.
An error in one location is reported for that location; the others remain usable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

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
"""The requested units. A response with other units is rejected, not converted."""


class OpenMeteoError(Exception):
    """A request to Open-Meteo, or to the replay that replaces it, failed."""


class OpenMeteoConnectionError(OpenMeteoError):
    """No usable response after all retries: unreachable, too slow, overloaded, or rate limit exceeded."""


class OpenMeteoRequestError(OpenMeteoError):
    """The server rejected the request; a repeated request would be rejected again."""


class OpenMeteoResponseError(OpenMeteoError):
    """The response as a whole cannot be used."""


def _as_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


ApiTime = Annotated[datetime, AfterValidator(_as_utc)]
Value = Annotated[float, Field(allow_inf_nan=False)] | None


class ApiModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CurrentValues(ApiModel):
    """Values at one time."""

    time: ApiTime
    temperature_2m: Value
    relative_humidity_2m: Value
    surface_pressure: Value
    wind_speed_10m: Value
    wind_direction_10m: Value


class TimeSeries(ApiModel):
    """Values at several times; each list has the length of `time`."""

    time: list[ApiTime]
    temperature_2m: list[Value]
    relative_humidity_2m: list[Value]
    surface_pressure: list[Value]
    wind_speed_10m: list[Value]
    wind_direction_10m: list[Value]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        for name in API_UNITS:
            if len(getattr(self, name)) != len(self.time):
                raise ValueError(f"{name} has {len(getattr(self, name))} values for {len(self.time)} times")
        return self


class Location(ApiModel):
    """The response for one location. The coordinates are those of the model's grid cell, not those of the request."""

    latitude: float
    longitude: float
    elevation: float | None = None
    current: CurrentValues | None = None
    minutely_15: TimeSeries | None = None
    hourly: TimeSeries | None = None
    current_units: dict[str, str] = {}
    minutely_15_units: dict[str, str] = {}
    hourly_units: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_units(self) -> Self:
        for units in (self.current_units, self.minutely_15_units, self.hourly_units):
            for name, unit in units.items():
                if unit != API_UNITS.get(name, unit):
                    raise ValueError(f"{name} is in {unit} instead of {API_UNITS[name]}")
        return self


@dataclass(frozen=True)
class StationObservations:
    """The observations of one station, in order of time; observations without any value are omitted."""

    current: Observation | None
    quarter_hours: tuple[Observation, ...]
    hours: tuple[Observation, ...]


@dataclass(frozen=True)
class ParsedResponse:
    """A response by station id: the usable observations, and the reason for each station without any."""

    stations: dict[str, StationObservations] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def parse_response(body: bytes, stations: Sequence[Station], sections: Sequence[str]) -> ParsedResponse:
    """Parse the body of a response into observations of the requested stations.

    Args:
        stations: in the order of the request.
        sections: the requested sections, of `current`, `minutely_15`, `hourly`; a usable location has all of them.

    Raises:
        OpenMeteoResponseError: the body is not JSON, or has another number of locations than stations.
    """
    response = ParsedResponse()
    for station, location in zip(stations, _locations(body, len(stations)), strict=True):
        name = station.station_id
        try:
            parsed = Location.model_validate(location)
        except ValidationError as error:
            response.failures[name] = _validation_summary(error)
            continue
        missing = [section for section in sections if getattr(parsed, section) is None]
        if missing:
            response.failures[name] = f"the response lacks {', '.join(missing)}: the location is not covered"
            continue
        observations = StationObservations(
            _current(name, parsed.current), _series(name, parsed.minutely_15), _series(name, parsed.hourly)
        )
        if observations.current or observations.quarter_hours or observations.hours:
            response.stations[name] = observations
        else:
            response.failures[name] = "all values are null: the location is not covered, or has no data at present"
    return response


def error_reason(body: bytes) -> str | None:
    """The reason in the body of an error response; None if there is none."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return str(content["reason"]) if isinstance(content, dict) and "reason" in content else None


def _locations(body: bytes, count: int) -> list[Any]:
    content = _json(body)
    items = content if isinstance(content, list) else [content]
    if len(items) != count:
        raise OpenMeteoResponseError(f"The response has {len(items)} locations instead of {count}")
    # `location_id` is the position in the request; the first location has none.
    by_id = {
        item.get("location_id", position) if isinstance(item, dict) else position: item
        for position, item in enumerate(items)
    }
    if set(by_id) != set(range(count)):
        raise OpenMeteoResponseError(f"The response has location_ids {sorted(by_id, key=str)}, not 0 to {count - 1}")
    return [by_id[number] for number in range(count)]


_NAN_LITERAL = re.compile(rb"(?<=[:,\[])(\s*)-?(?:nan|inf|infinity)(?=\s*[,\]}])", re.IGNORECASE)


def _json(body: bytes) -> Any:
    """Parse JSON; the literal nan, which the API returns for locations that are not covered, becomes null."""
    try:
        return json.loads(_NAN_LITERAL.sub(rb"\1null", body))
    except ValueError:
        start = body[:60].decode("utf-8", "replace").strip()
        raise OpenMeteoResponseError(f"The response is not JSON; it starts with {start!r}") from None


def _series(station_id: str, series: TimeSeries | None) -> tuple[Observation, ...]:
    if series is None:
        return ()
    columns = [getattr(series, name) for name in API_UNITS]
    observations = [_observation(station_id, time, values) for time, *values in zip(series.time, *columns, strict=True)]
    return tuple(sorted((o for o in observations if o is not None), key=lambda observation: observation.timestamp))


def _current(station_id: str, current: CurrentValues | None) -> Observation | None:
    if current is None:
        return None
    return _observation(station_id, current.time, [getattr(current, name) for name in API_UNITS])


def _observation(station_id: str, time: datetime, values: Sequence[float | None]) -> Observation | None:
    """An observation; None if all values are missing."""
    if all(value is None for value in values):
        return None
    return Observation(station_id=station_id, timestamp=time, **dict(zip(API_NAMES, values, strict=True)))


def _validation_summary(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".strip(": ") for problem in error.errors()]
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more
