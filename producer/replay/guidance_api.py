"""Responses of the replay to requests for a weather model: simulated guidance, marked by `simulated` in each location.

`/v1/forecast` with the parameter `models`, the id of one model, is answered like Open-Meteo's forecast API, with the
newest available run.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

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
    format_time,
    number_of,
    speed_unit,
    steps_of,
    variables_of,
)
from producer.replay.guidance import SimulatedGuidance
from weatherglass.guidance_record import MODEL_ID_PATTERN

FORECAST_DAYS = 7
"""Days of a response without the parameter `forecast_hours`."""
_MODEL_ID = re.compile(MODEL_ID_PATTERN)


def guidance(replay: Replay, query: Query, now: datetime) -> Any:
    """The response at the real time `now`, UTC.

    Raises:
        BadRequest: the query is invalid.
    """
    model, present = query["models"], replay.clock.time(now)
    if not _MODEL_ID.fullmatch(model):
        raise BadRequest(f"Cannot initialize MultiDomains from invalid String value {model}.")
    names = variables_of(query, "hourly")
    midnight = present.replace(hour=0, minute=0, second=0, microsecond=0)
    times = list(steps_of(query, "hours", HOUR, present, (midnight, midnight + FORECAST_DAYS * DAY)))
    simulated = SimulatedGuidance(replay.data)
    run = simulated.newest_run(model, present)
    unit, factor = speed_unit(query)
    units = {**API_UNITS, API_NAMES["wind_speed"]: unit}
    locations = []
    for number, (latitude, longitude) in enumerate(coordinates(query)):
        index, distance = replay.nearest(latitude, longitude)
        known = run if distance <= MAX_DISTANCE_KM else None
        rows = simulated.values(index, model, [known] * len(times), times)
        values = {name: [number_of(name, value, factor) for value in rows[:, COLUMNS[name]]] for name in names}
        location = replay.location(number, index)
        location["hourly_units"] = {"time": "iso8601", **{name: units[name] for name in names}}
        location["hourly"] = {"time": [format_time(time) for time in times], **values}
        locations.append({**location, "simulated": True})
    return locations[0] if len(locations) == 1 else locations
