"""Reports of airports (METAR, SPECI) as the Aviation Weather Center's data API returns them, and their conversion.

One object per report: `icaoId`; `obsTime`, Unix seconds of the observation (`reportTime` is rounded to the hour);
`temp` and `dewp`, °C; `wdir`, degrees or `VRB`; `wspd` and `wgst`, knots; `altim`, the altimeter setting, hPa; `elev`,
m; `receiptTime`; `rawOb`, the report itself. A value that is missing in a report is null or has no field. What is
wrong in one report or value is refused and named; the rest remains usable.

Sources: aviationweather.gov/data/api, its OpenAPI schema, and recorded responses (see the tests).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from producer.api_response import (
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
from weatherglass.meteorology import pressure_from_altimeter_setting, relative_humidity
from weatherglass.records import Observation
from weatherglass.stations import Station

METRES_PER_SECOND_PER_KNOT = 1852 / 3600
WHOLE_DEGREES, TENTHS = 1.0, 0.1
"""Resolution of temperature and dew point in the body of a report, and in the T-group of its remarks."""
ROUNDING = 1e-6
ALTIMETER_RANGE = (850.0, 1100.0)
"""Altimeter settings, hPa, beyond the lowest and highest on record; a value in inHg is far outside."""
VARIABLE = "VRB"
NO_REPORT = "no report: the airport has been silent, or is not known to the source"

_T_GROUP = re.compile(r"\sRMK\s(?:.*\s)?T([01])(\d{3})(?:([01])(\d{3}))?(?=[\s=$]|$)")
"""Temperature and dew point in tenths of a degree, with 1 for minus: T01610150 is 16.1 and 15.0 °C. Source: Federal
Meteorological Handbook No. 1, 12.7.2."""
_CORRECTION = re.compile(r"(?:^|\s)(?:COR|CC([A-Z]))(?=\s)")
"""A corrected report: COR (United States, WMO), or CCA, CCB, … for the first, second, … correction (Canada)."""


def decode_reports(body: bytes) -> list[Any]:
    """The reports of a response; none for an empty body, which comes with status 204.

    Raises:
        ApiResponseError: the body is not complete JSON, or not a list of reports.
    """
    content = decode(body) if body.strip() else []
    if not isinstance(content, list):
        error = content.get("error") if isinstance(content, dict) else None
        raise ApiResponseError(ResponseProblem.ERROR, f"The response is not a list of reports: {error or content!r}")
    return content


def parse_reports(content: Sequence[Any], stations: Sequence[Station]) -> ParsedResponse:
    """The observations of the stations whose `metar_id` was requested.

    The newest observation of a station is `current`, all others are in `hours`. Of several reports of the same time,
    the last correction counts, otherwise the one received last.
    """
    response = ParsedResponse()
    reports: dict[str, list[dict[str, Any]]] = {station.metar_id: [] for station in stations if station.metar_id}
    for report in content:
        name = report.get("icaoId") if isinstance(report, dict) else None
        if isinstance(name, str) and name in reports:
            reports[name].append(report)
        else:
            value = repr(report if name is None else name)[:60]
            code = ApiRefusalCode.NOT_REQUESTED if name else ApiRefusalCode.NOT_AN_OBJECT
            response.refusals.append(ApiRefusal("", "icaoId", code, value, "a report of a requested airport"))
    for station in stations:
        parser = _ReportParser(station)
        observations = parser.parse(reports.get(station.metar_id or "", []))
        response.refusals.extend(parser.refusals)
        if observations:
            response.stations[station.station_id] = StationObservations(observations[-1], (), observations[:-1])
        else:
            response.failures[station.station_id] = summarize(parser.refusals) or NO_REPORT
    return response


class _ReportParser:
    """Parses the reports of one station and collects what it refuses."""

    def __init__(self, station: Station):
        self.station = station
        self.refusals: list[ApiRefusal] = []

    def parse(self, reports: Sequence[dict[str, Any]]) -> tuple[Observation, ...]:
        """The observations in order of time, one for each time."""
        by_time: dict[datetime, dict[str, Any]] = {}
        for report in sorted(reports, key=_precedence):
            if time := self._time(report):
                by_time[time] = report
        observations = (self._observation(time, report) for time, report in sorted(by_time.items()))
        return tuple(observation for observation in observations if observation)

    def _observation(self, time: datetime, report: dict[str, Any]) -> Observation | None:
        """The observation; None if it has no value or an impossible time."""
        temperature, dew_point, resolution = self._temperatures(report)
        speed, direction, gust = self._wind(report)
        values = {
            "temperature": temperature,
            "humidity": self._humidity(temperature, dew_point, resolution),
            "pressure": self._pressure(report),
            "wind_speed": speed,
            "wind_direction": direction,
            "wind_gust": gust,
        }
        if all(value is None for value in values.values()):
            return None
        values["temperature_resolution"] = None if temperature is None else resolution
        try:
            return Observation(station_id=self.station.station_id, timestamp=time, **values)
        except ValidationError:
            self._refuse("obsTime", ApiRefusalCode.TIME, str(time), "a time that a record can have")
            return None

    def _refuse(self, name: str, code: ApiRefusalCode, value: Any, allowed: str) -> None:
        text = repr(value)
        text = text if len(text) <= 60 else f"{text[:60]}…"
        self.refusals.append(ApiRefusal(self.station.station_id, name, code, text, allowed))

    def _time(self, report: dict[str, Any]) -> datetime | None:
        seconds = self._number(report, "obsTime")
        try:
            if seconds is not None:
                return datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            pass
        self._refuse("obsTime", ApiRefusalCode.TIME, report.get("obsTime"), "Unix seconds")
        return None

    def _number(self, report: dict[str, Any], name: str) -> float | None:
        """A number, also one in a string; None if it is missing or refused."""
        value = report.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value.strip(), re.ASCII):
            value = float(value)
        if is_number(value):
            return float(value)
        self._refuse(name, ApiRefusalCode.NOT_A_NUMBER, value, "a finite number, or null")
        return None

    def _temperatures(self, report: dict[str, Any]) -> tuple[float | None, float | None, float]:
        """Temperature and dew point, °C, and their resolution: the T-group if there is one, else the fields."""
        fields = self._number(report, "temp"), self._number(report, "dewp")
        group = _T_GROUP.search(str(report.get("rawOb") or ""))
        if not group:
            whole = all(value is None or value == round(value) for value in fields)
            return *fields, WHOLE_DEGREES if whole else TENTHS
        signs, digits = group.group(1, 3), group.group(2, 4)
        tenths = [
            None if digit is None else (-1 if sign == "1" else 1) * int(digit) / 10 + 0.0
            for sign, digit in zip(signs, digits, strict=True)
        ]
        checked: list[float | None] = []
        for name, value, precise in zip(("temp", "dewp"), fields, tenths, strict=True):
            if value is not None and precise is not None and abs(value - precise) > WHOLE_DEGREES:
                self._refuse(name, ApiRefusalCode.CONTRADICTION, value, f"the value of the T-group, {precise}")
                checked.append(None)
            else:
                checked.append(value if precise is None else precise)
        return checked[0], checked[1], TENTHS

    def _humidity(self, temperature: float | None, dew_point: float | None, resolution: float) -> float | None:
        if temperature is None or dew_point is None:
            return None
        if dew_point > temperature + resolution + ROUNDING:
            self._refuse("dewp", ApiRefusalCode.CONTRADICTION, dew_point, f"at most the temperature, {temperature}")
            return None
        return round(float(relative_humidity(temperature, min(dew_point, temperature))), 1)

    def _pressure(self, report: dict[str, Any]) -> float | None:
        """Station pressure at the elevation of the station, hPa.

        A station of the table may lie at another elevation than its airport; its pressure is used at its own elevation.
        """
        setting = self._number(report, "altim")
        if setting is None:
            return None
        low, high = ALTIMETER_RANGE
        if not low <= setting <= high:
            self._refuse("altim", ApiRefusalCode.UNIT, setting, f"{low:g} to {high:g} hPa")
            return None
        elevation = self.station.elevation
        if elevation is None:
            elevation = self._number(report, "elev")
        if elevation is None:
            self._refuse("elev", ApiRefusalCode.MISSING_VARIABLE, None, "an elevation, if the station has none")
            return None
        return round(pressure_from_altimeter_setting(setting, elevation), 1)

    def _wind(self, report: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
        """Speed, m/s, direction, degrees, and gust, m/s. A calm and a variable wind have no direction."""
        speed, gust = self._speed(report, "wspd"), self._speed(report, "wgst")
        direction = None
        if not (isinstance(text := report.get("wdir"), str) and text.strip().upper() == VARIABLE):
            direction = self._number(report, "wdir")
        if not speed or direction is None:
            return speed, None, gust
        if not 0 < direction <= 360:
            self._refuse("wdir", ApiRefusalCode.RANGE, direction, "1 to 360 degrees with a wind, or VRB")
            return speed, None, gust
        return speed, direction, gust

    def _speed(self, report: dict[str, Any], name: str) -> float | None:
        knots = self._number(report, name)
        if knots is None:
            return None
        if knots < 0:
            self._refuse(name, ApiRefusalCode.RANGE, knots, "0 knots or more")
            return None
        return round(knots * METRES_PER_SECOND_PER_KNOT, 2)


def _precedence(report: dict[str, Any]) -> tuple[str, str]:
    """Order of the reports of one time; the last one counts."""
    correction = _CORRECTION.search(str(report.get("rawOb") or "").partition(" RMK ")[0])
    rank = (correction.group(1) or "A") if correction else ""
    return rank, str(report.get("receiptTime") or "")
