"""Requests of consumer weather stations: the protocols of Weather Underground and Ecowitt, converted to records.

Both send one reading as a form, in imperial units that are part of the names of the fields, and name dozens of further
sensors, which are not used. A sensor that is missing is left out, or sent as an impossible value such as -9999. A value
is converted by the name of its field; what is missing, ambiguous, no number or impossible becomes null and is reported,
so that a broken sensor does not affect the others.

- Weather Underground, "PWS Upload Protocol" (support.weather.com; wiki.wunderground.com): GET, `ID`, `PASSWORD`,
  `dateutc` as `YYYY-MM-DD HH:MM:SS` in UTC, or `now`; `tempf`, `humidity`, `baromin`, `windspeedmph`, `windgustmph`,
  `winddir`; `action=updateraw`; the response is `success`. `baromin` is relative to sea level. Consoles of Fine Offset
  send the absolute pressure as `absbaromin` too (openHAB's ipobserver and wundergroundupdatereceiver bindings).
- Ecowitt, "customized upload" of its consoles and gateways: POST, `PASSKEY`, `dateutc`, `tempf`, `humidity`,
  `baromabsin`, `baromrelin`, `windspeedmph`, `windgustmph`, `winddir`. Not published by the vendor; as read by
  home-assistant-libs/aioecowitt (Home Assistant), which answers `OK`. PASSKEY is the MD5 of the MAC address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from producer.metar_report import ALTIMETER_RANGE
from producer.own_stations import shown
from weatherglass.history.sources.units import UNITS, find_unit
from weatherglass.meteorology import pressure_from_altimeter_setting
from weatherglass.qc.limits import range_limits
from weatherglass.records import iso
from weatherglass.stations import Station

MAX_FIELDS = 300
"""Stations with all extra sensors send about 150."""
FIELDS = {
    "tempf": ("temperature", "temperature", "°F"),
    "humidity": ("humidity", "humidity", "%"),
    "windspeedmph": ("wind_speed", "wind_speed", "mph"),
    "windgustmph": ("wind_gust", "wind_speed", "mph"),
    "winddir": ("wind_direction", "wind_direction", "°"),
}
"""Field of the protocols -> field of the record, its variable, and the unit in the protocols."""
STATION_PRESSURE = ("absbaromin", "baromabsin")
RELATIVE_PRESSURE = ("baromin", "baromrelin")
"""Fields of the two pressures, inHg."""
PRESSURE_UNIT = "inHg"
NOW = "now"
UPDATE = "updateraw"
"""The only action of Weather Underground."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_TIME = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})[ T](\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)


class RefusedRequest(ValueError):
    """A request that is not a reading; the message names the field and what is allowed, without its secrets."""


@dataclass
class ConsoleReading:
    """A reading of a console.

    Attributes:
        record: as in the schema of observations; values that cannot be used are null.
        unused: why, by the name of the field; empty if all fields are usable or missing.
    """

    record: dict[str, object]
    unused: dict[str, str] = field(default_factory=dict)


def parse_form(text: str) -> dict[str, list[str]]:
    """The values of each field of a query or a form.

    Raises:
        RefusedRequest: it has too many fields.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RefusedRequest(f"too many fields; allowed: {MAX_FIELDS}") from None
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value.strip())
    return form


def required(form: Mapping[str, Sequence[str]], name: str) -> str:
    """The value of a field that must be there exactly once.

    Raises:
        RefusedRequest: it is not.
    """
    values = form.get(name, ())
    if len(values) != 1 or not values[0]:
        raise RefusedRequest(f"the field {name} must occur exactly once, with a value")
    return values[0]


def read_reading(form: Mapping[str, Sequence[str]], station: Station, now: datetime) -> ConsoleReading:
    """The reading of a form of one of both protocols.

    Args:
        station: its elevation converts relative pressure.
        now: UTC; the time of a reading with `dateutc=now`.

    Raises:
        RefusedRequest: there is no time, or the request is not a reading.
    """
    action = form.get("action", [UPDATE])
    if set(action) != {UPDATE}:
        raise RefusedRequest(f"action={shown(action[0])}; allowed: {UPDATE}")
    reading = ConsoleReading({"station_id": station.station_id, "timestamp": iso(_time(form, now))})
    values = _Values(form, station, reading.unused)
    for name, (target, variable, unit) in FIELDS.items():
        reading.record[target] = values.value(name, variable, unit)
    reading.record["pressure"] = values.pressure()
    return reading


def _time(form: Mapping[str, Sequence[str]], now: datetime) -> datetime:
    text = required(form, "dateutc")
    if text == NOW:
        return now.replace(microsecond=0)
    if match := _TIME.fullmatch(text):
        try:
            year, month, day, hour, minute, second = map(int, match.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            pass
    raise RefusedRequest(f"dateutc={shown(text)}; allowed: a time in UTC such as 2026-01-05 12:15:00, or {NOW}")


class _Values:
    """Converts the values of a form, and notes in `unused` what cannot be used."""

    def __init__(self, form: Mapping[str, Sequence[str]], station: Station, unused: dict[str, str]):
        self._form, self._station, self._unused = form, station, unused
        self._limits = range_limits(station.latitude, station.elevation)

    def value(self, name: str, variable: str, unit: str) -> float | None:
        """The value of a field in the unit of the records."""
        number = self._number(name, variable, unit)
        return None if number is None else self._possible(name, variable, number)

    def pressure(self) -> float | None:
        """The pressure at the station, hPa: as measured if it is there, else from the one relative to sea level.

        Consoles show the relative pressure after a calibration with a weather report, so it is taken as an altimeter
        setting, like that of the reports of airports.
        """
        for name in STATION_PRESSURE:
            if (measured := self.value(name, "pressure", PRESSURE_UNIT)) is not None:
                return measured
        for name in RELATIVE_PRESSURE:
            relative = self._number(name, "pressure", PRESSURE_UNIT)
            if relative is None:
                continue
            low, high = ALTIMETER_RANGE
            if not low <= relative <= high:
                self._unused[name] = f"{relative:g} hPa at sea level is not possible"
            elif self._station.elevation is None:
                self._unused[name] = "it is relative to sea level, and the elevation of the station is not known"
            else:
                converted = pressure_from_altimeter_setting(relative, self._station.elevation)
                return self._possible(name, "pressure", converted)
        return None

    def _number(self, name: str, variable: str, unit: str) -> float | None:
        texts = self._form.get(name, [""])
        if len(texts) > 1:
            self._unused[name] = "it occurs more than once"
            return None
        if not texts[0]:
            return None
        if not _NUMBER.fullmatch(texts[0]):
            self._unused[name] = f"{shown(texts[0])} is not a number"
            return None
        known = find_unit(variable, unit)
        assert known, f"unit {unit} of {variable}"
        return float(known.convert(float(texts[0])))

    def _possible(self, name: str, variable: str, value: float) -> float | None:
        limit = self._limits[variable]
        if limit.contains(value):
            return round(value, 2)
        unit = UNITS[variable][0].name
        self._unused[name] = f"{value:g} {unit} is not possible; allowed: {limit.low:g} to {limit.high:g} {unit}"
        return None
