"""Responses of the replay to requests for a weather model: simulated guidance, marked by `simulated` in each location.

`/v1/forecast` with the parameter `models`, the id of one model, is answered like Open-Meteo's forecast API, with the
newest available run. Names such as `temperature_2m_previous_day1` are answered like its previous-runs API: with the
newest run that was initialised at least that many days before each hour.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import numpy.typing as npt

from producer.open_meteo_schema import API_NAMES, API_UNITS
from producer.replay.api import (
    COLUMNS,
    DAY,
    HOUR,
    MAX_DISTANCE_KM,
    BadRequest,
    Query,
    Replay,
    coordinates,
    date_of,
    format_time,
    number_of,
    speed_unit,
    steps_of,
)
from producer.replay.guidance import SimulatedGuidance
from weatherglass.guidance_record import MODEL_ID_PATTERN

FORECAST_DAYS = 7
"""Days of a response without the parameter `forecast_hours`."""
_MODEL_ID = re.compile(MODEL_ID_PATTERN)
_NAME = re.compile(r"(\w+?)(?:_previous_day([0-7]))?")


def guidance(replay: Replay, query: Query, now: datetime) -> Any:
    """The response at the real time `now`, UTC.

    Raises:
        BadRequest: the query is invalid.
    """
    model, present = query["models"], replay.clock.time(now)
    if not _MODEL_ID.fullmatch(model):
        raise BadRequest(f"Cannot initialize MultiDomains from invalid String value {model}.")
    names = dict(_variable(name) for name in query.get("hourly", "").split(",") if name)
    times = _times(query, present)
    simulated = SimulatedGuidance(replay.data)
    runs = {days: _runs(simulated, model, present, times, days) for _, days in names.values()}
    unit, factor = speed_unit(query)
    units = {**API_UNITS, API_NAMES["wind_speed"]: unit}
    locations = []
    for number, (latitude, longitude) in enumerate(coordinates(query)):
        index, distance = replay.nearest(latitude, longitude)
        covered = distance <= MAX_DISTANCE_KM
        by_days: dict[int, npt.NDArray] = {
            days: simulated.values(index, model, runs[days] if covered else [None] * len(times), times) for days in runs
        }
        values = {
            name: [number_of(base, value, factor) for value in by_days[days][:, COLUMNS[base]]]
            for name, (base, days) in names.items()
        }
        location = replay.location(number, index)
        location["hourly_units"] = {"time": "iso8601", **{name: units[base] for name, (base, _) in names.items()}}
        location["hourly"] = {"time": [format_time(time) for time in times], **values}
        locations.append({**location, "simulated": True})
    return locations[0] if len(locations) == 1 else locations


def _variable(name: str) -> tuple[str, tuple[str, int]]:
    """A name, its variable in the API, and the days before; 0 for the newest run."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in COLUMNS:
        raise BadRequest(f"Cannot initialize a variable of hourly from invalid String value {name}.")
    return name, (match[1], int(match[2] or 0))


def _times(query: Query, present: datetime) -> list[datetime]:
    if "start_date" not in query:
        midnight = present.replace(hour=0, minute=0, second=0, microsecond=0)
        return list(steps_of(query, "hours", HOUR, present, (midnight, midnight + FORECAST_DAYS * DAY)))
    first, end = date_of(query, "start_date"), date_of(query, "end_date") + DAY
    if end <= first:
        raise BadRequest("End-date must be larger or equals than start-date")
    return [first + number * HOUR for number in range((end - first) // HOUR)]


def _runs(
    simulated: SimulatedGuidance, model: str, present: datetime, times: list[datetime], days: int
) -> list[datetime | None]:
    """The run for each time; none for a run of the replay's future."""
    newest = simulated.newest_run(model, present)
    if days == 0:
        return [newest] * len(times)
    known = (simulated.run_before(model, time - days * DAY) for time in times)
    return [run if run is not None and newest is not None and run <= newest else None for run in known]
