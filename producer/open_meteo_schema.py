"""What Open-Meteo answers, typed, and how it becomes observations.

An answer is one object for one location and an array for several. Times have no zone: we ask for UTC, so they are.
What is wrong with one location is said for that location; the others stay usable.
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
"""Our variables in the API's names; the API's surface pressure is the contract's station pressure."""
API_UNITS = {
    "temperature_2m": "°C",
    "relative_humidity_2m": "%",
    "surface_pressure": "hPa",
    "wind_speed_10m": "m/s",
    "wind_direction_10m": "°",
}
"""The units we ask for; an answer in others is refused, not converted."""


class OpenMeteoError(Exception):
    """Open-Meteo, or the replay in its place, could not be used."""


class OpenMeteoConnectionError(OpenMeteoError):
    """No answer: unreachable, too slow, overloaded or over the limit, after all retries. Later it may work."""


class OpenMeteoRequestError(OpenMeteoError):
    """The server refused the request with a reason; the same request will be refused again."""


class OpenMeteoAnswerError(OpenMeteoError):
    """The answer as a whole is not what was asked for."""


def _as_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


ApiTime = Annotated[datetime, AfterValidator(_as_utc)]
Value = Annotated[float, Field(allow_inf_nan=False)] | None


class ForecastResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Current(ForecastResponse):
    """Values at one time."""

    time: ApiTime
    temperature_2m: Value
    relative_humidity_2m: Value
    surface_pressure: Value
    wind_speed_10m: Value
    wind_direction_10m: Value


class TimeSeries(ForecastResponse):
    """Values at several times; each list as long as `time`."""

    time: list[ApiTime]
    temperature_2m: list[Value]
    relative_humidity_2m: list[Value]
    surface_pressure: list[Value]
    wind_speed_10m: list[Value]
    wind_direction_10m: list[Value]

    @model_validator(mode="after")
    def _equally_long(self) -> Self:
        for name in API_UNITS:
            if len(getattr(self, name)) != len(self.time):
                raise ValueError(f"{name} has {len(getattr(self, name))} values for {len(self.time)} times")
        return self


class Location(ForecastResponse):
    """One location's part of an answer. The coordinates are the model's grid cell, not those we asked for."""

    latitude: float
    longitude: float
    elevation: float | None = None
    current: Current | None = None
    minutely_15: TimeSeries | None = None
    hourly: TimeSeries | None = None
    current_units: dict[str, str] = {}
    minutely_15_units: dict[str, str] = {}
    hourly_units: dict[str, str] = {}

    @model_validator(mode="after")
    def _in_our_units(self) -> Self:
        for units in (self.current_units, self.minutely_15_units, self.hourly_units):
            for name, unit in units.items():
                if unit != API_UNITS.get(name, unit):
                    raise ValueError(f"{name} is in {unit}, {API_UNITS[name]} was asked for")
        return self


@dataclass(frozen=True)
class StationObservations:
    """What was answered for one station, each part ascending in time; observations without any value are left out."""

    current: Observation | None
    quarters: tuple[Observation, ...]
    """Every 15 minutes."""
    hours: tuple[Observation, ...]


@dataclass(frozen=True)
class Observed:
    """An answer by station: what can be used, and in words why the rest cannot."""

    stations: dict[str, StationObservations] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def read_answer(body: bytes, stations: Sequence[Station], parts: Sequence[str]) -> Observed:
    """Turn the body of an answer into the observations of the stations asked for, in the order asked.

    Args:
        parts: what was asked for, of `current`, `minutely_15`, `hourly`; each must be in a usable location.

    Raises:
        OpenMeteoAnswerError: it is no JSON, or holds another number of locations than was asked for.
    """
    observed = Observed()
    for station, location in zip(stations, _locations(body, len(stations)), strict=True):
        name = station.station_id
        try:
            parsed = Location.model_validate(location)
        except ValidationError as error:
            observed.failures[name] = _in_words(error)
            continue
        missing = [part for part in parts if getattr(parsed, part) is None]
        if missing:
            observed.failures[name] = f"the answer has no {' and no '.join(missing)}: this place is not covered"
            continue
        found = StationObservations(
            _current(name, parsed.current), _series(name, parsed.minutely_15), _series(name, parsed.hourly)
        )
        if found.current or found.quarters or found.hours:
            observed.stations[name] = found
        else:
            observed.failures[name] = "every value of the answer is null: this place is not covered, or has no data now"
    return observed


def reason_of(body: bytes) -> str | None:
    """The server's own words in an error's body; None where it has none."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return str(content["reason"]) if isinstance(content, dict) and "reason" in content else None


def _locations(body: bytes, count: int) -> list[Any]:
    content = _json(body)
    items = content if isinstance(content, list) else [content]
    if len(items) != count:
        raise OpenMeteoAnswerError(f"the answer holds {len(items)} locations, {count} were asked for")
    # `location_id` is absent on the first; where present it tells the place in the order asked.
    by_id = {
        item.get("location_id", position) if isinstance(item, dict) else position: item
        for position, item in enumerate(items)
    }
    if set(by_id) != set(range(count)):
        raise OpenMeteoAnswerError(f"the answer's location_ids are {sorted(by_id, key=str)}, not 0 to {count - 1}")
    return [by_id[number] for number in range(count)]


_NOT_A_NUMBER = re.compile(rb"(?<=[:,\[])(\s*)-?(?:nan|inf|infinity)(?=\s*[,\]}])", re.IGNORECASE)


def _json(body: bytes) -> Any:
    """Parse JSON; a literal nan, which the API writes for places that are not covered, is null."""
    try:
        return json.loads(_NOT_A_NUMBER.sub(rb"\1null", body))
    except ValueError:
        start = body[:60].decode("utf-8", "replace").strip()
        raise OpenMeteoAnswerError(f"the answer is not JSON; it begins with {start!r}") from None


def _series(station_id: str, series: TimeSeries | None) -> tuple[Observation, ...]:
    if series is None:
        return ()
    columns = [getattr(series, name) for name in API_UNITS]
    found = [_observation(station_id, time, values) for time, *values in zip(series.time, *columns, strict=True)]
    return tuple(sorted((o for o in found if o is not None), key=lambda observation: observation.timestamp))


def _current(station_id: str, current: Current | None) -> Observation | None:
    if current is None:
        return None
    return _observation(station_id, current.time, [getattr(current, name) for name in API_UNITS])


def _observation(station_id: str, time: datetime, values: Sequence[float | None]) -> Observation | None:
    """None where every value is missing."""
    if all(value is None for value in values):
        return None
    return Observation(station_id=station_id, timestamp=time, **dict(zip(API_NAMES, values, strict=True)))


def _in_words(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".strip(": ") for problem in error.errors()]
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more
