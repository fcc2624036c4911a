"""Responses of the replay to `/api/data/metar` and `/api/data/stationinfo`, in the format of the Aviation Weather
Center's data API.

Each airport of the data makes a routine report at minute 51 of every hour, as the three of the bundled data did. It has
the values of the hour that follows, to which it belongs by the rule of the hour, in the units and steps of a report.
The query parameters are `ids`, `hours`, and `date`, the end of the hours; the format is always JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from producer.metar_report import METRES_PER_SECOND_PER_KNOT
from producer.replay.api import HOUR, BadRequest, Replay
from weatherglass.meteorology import altimeter_setting, dew_point
from weatherglass.records import iso
from weatherglass.stations import Station

BEFORE_HOUR = timedelta(minutes=9)
"""A report is made at minute 51."""
DEFAULT_HOURS = 1.5
MAX_HOURS = 15 * 24
MAX_REPORTS = 400
HPA_PER_INHG = 33.8639


def metar(replay: Replay, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
    """The reports of the requested airports in the hours before `date`, the newest first, at the real time `now`, UTC.

    Raises:
        BadRequest: the query is invalid.
    """
    if "ids" not in query:
        raise BadRequest("Must specify station IDs or bounding box, zoom, and density")
    try:
        hours = float(query.get("hours", DEFAULT_HOURS))
    except ValueError:
        hours = math.nan
    if not 0 < hours <= MAX_HOURS:
        raise BadRequest(f"Invalid hours: {query['hours']}")
    ids = {name.strip().upper() for name in query["ids"].split(",")}
    indices = [i for i, station in enumerate(replay.data.stations) if station.metar_id in ids]
    present = replay.clock.time(now)
    if "date" in query:
        try:
            present = min(present, datetime.strptime(query["date"], "%Y%m%d_%H%M").replace(tzinfo=UTC))
        except ValueError:
            raise BadRequest(f"Invalid date: {query['date']}") from None
    reports = [
        _report(station, time, values)
        for index in indices
        for station in [replay.data.stations[index]]
        for time in _times(present - timedelta(hours=hours), present)
        if (values := _values(replay, index, time + BEFORE_HOUR)) is not None
    ]
    return sorted(reports, key=lambda report: -report["obsTime"])[:MAX_REPORTS]


def station_info(replay: Replay, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """The requested airports."""
    ids = {name.strip().upper() for name in query.get("ids", "").split(",")}
    return [
        {"icaoId": s.metar_id, "site": s.name, "lat": s.latitude, "lon": s.longitude, "elev": s.elevation}
        for s in replay.data.stations
        if s.metar_id in ids
    ]


def _times(start: datetime, end: datetime) -> Iterator[datetime]:
    """The times of routine reports after `start`, up to `end`."""
    time = start.replace(minute=0, second=0, microsecond=0) - BEFORE_HOUR
    while (time := time + HOUR) <= end:
        if time > start:
            yield time


def _values(replay: Replay, index: int, hour: datetime) -> list[float | None] | None:
    """Temperature, humidity, pressure, wind speed and direction; None if all are missing."""
    data_time = replay.data.calendar.data_time(hour)
    row = replay.data.values_at(index, data_time)
    row = replay.faults.disturbed(index, data_time, row) if replay.faults else row
    values = [None if math.isnan(value) else float(value) for value in row]
    return values if any(value is not None for value in values) else None


def _report(station: Station, time: datetime, values: list[float | None]) -> dict[str, Any]:
    temperature, humidity, pressure, speed, direction = values
    dew = None
    if temperature is not None and humidity:
        dew = round(float(dew_point(temperature, humidity)), 1)
    knots = None if speed is None else round(speed / METRES_PER_SECOND_PER_KNOT)
    setting = None if pressure is None else round(altimeter_setting(pressure, station.elevation or 0.0), 1)
    degrees = None if direction is None else int(direction)
    return {
        "icaoId": station.metar_id,
        "receiptTime": iso(time),
        "obsTime": int(time.timestamp()),
        "reportTime": iso(time + BEFORE_HOUR),
        "temp": temperature,
        "dewp": dew,
        "wdir": "VRB" if knots and not degrees else degrees,
        "wspd": knots,
        "altim": setting,
        "metarType": "METAR",
        "rawOb": _text(station, time, temperature, dew, knots, degrees, setting),
        "lat": station.latitude,
        "lon": station.longitude,
        "elev": station.elevation,
        "name": station.name,
    }


def _text(
    station: Station,
    time: datetime,
    temperature: float | None,
    dew: float | None,
    knots: int | None,
    degrees: int | None,
    setting: float | None,
) -> str:
    """The report itself, as an American airport writes it; groups without a value are left out."""
    direction = f"{degrees:03}" if degrees and knots else "VRB" if knots else "000"
    wind = f"{direction}{knots:02}KT" if knots is not None else ""
    body = f"{_degrees(temperature)}/{_degrees(dew)}" if temperature is not None else ""
    altimeter = f"A{setting / HPA_PER_INHG * 100:.0f}" if setting is not None else ""
    tenths = "T" + _tenths(temperature) + (_tenths(dew) if dew is not None else "") if temperature is not None else ""
    groups = (f"METAR {station.metar_id} {time:%d%H%M}Z AUTO", wind, body, altimeter, "RMK AO2", tenths)
    return " ".join(filter(None, groups))


def _degrees(value: float | None) -> str:
    if value is None:
        return ""
    whole = math.floor(abs(value) + 0.5)
    return f"{'M' if value < 0 else ''}{whole:02}"


def _tenths(value: float) -> str:
    return f"{int(value < 0)}{abs(round(value * 10)):03}"
