"""The guidance client with a real HTTP server: requests, values, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from producer.api_response import ApiRefusalCode, ApiRequestError
from producer.guidance_client import (
    HORIZON_HOURS,
    UNITS,
    GuidanceClient,
    GuidanceResponse,
    parse_guidance,
    parse_past_guidance,
)
from producer.open_meteo_client import calls_of
from tests.producer.conftest import FAST_RETRIES, FakeApi, error_response, ok_response
from weatherglass.stations import Station, kaggle_station

Stations = tuple[Station, ...]
HOURLY = {
    "temperature_2m": [3.1, 3.4, None],
    "relative_humidity_2m": [81, 79, 78],
    "surface_pressure": [1013.1, 1012.9, 1012.5],
    "wind_speed_10m": [4.12, 4.0, 3.9],
    "wind_direction_10m": [220, 225, 230],
}
FIRST = datetime(2026, 9, 25, 23, tzinfo=UTC)


def location(number: int = 0, **changed: Any) -> dict[str, Any]:
    """A location in the format of the forecast API; `changed` replaces lists of `hourly`."""
    response: dict[str, Any] = {
        "latitude": 39.7,
        "longitude": -104.9,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "elevation": 1599.0,
        "hourly_units": {"time": "iso8601", **UNITS},
        "hourly": {"time": ["2026-09-25T23:00", "2026-09-26T00:00", "2026-09-26T01:00"], **HOURLY, **changed},
    }
    return response | {"location_id": number} if number else response


@pytest.fixture
def guidance_client(fake_api: FakeApi) -> Iterator[GuidanceClient]:
    with GuidanceClient(fake_api.url, fake_api.url, FAST_RETRIES) as client:
        yield client


def parse(stations: Stations, *locations: Any) -> GuidanceResponse:
    return parse_guidance(json.dumps(list(locations) if len(locations) > 1 else locations[0]).encode(), stations)


def test_one_request_asks_a_model_for_all_stations_at_their_elevation(
    guidance_client: GuidanceClient, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.responses = [ok_response([location(n, temperature_2m=[n, n, n]) for n in range(3)])]
    response = guidance_client.guidance(stations, "ecmwf_ifs025")
    (query,) = fake_api.queries
    assert fake_api.paths == ["/v1/forecast"]
    assert (query["models"], query["forecast_hours"]) == ("ecmwf_ifs025", str(HORIZON_HOURS))
    assert (query["wind_speed_unit"], query["timezone"]) == ("ms", "UTC")
    assert query["elevation"] == "1609,14,2"
    assert query["hourly"].split(",") == list(UNITS)
    assert "current" not in query
    assert guidance_client.calls == 3
    assert {name: run.temperature for name, run in response.stations.items()} == {
        "denver": [0, 0, 0],
        "boston": [1, 1, 1],
        "miami": [2, 2, 2],
    }


def test_stations_without_an_elevation_are_requested_apart(
    guidance_client: GuidanceClient, fake_api: FakeApi, stations: Stations
) -> None:
    city = kaggle_station({"City": "Nowhere", "Country": "X", "Latitude": "10", "Longitude": "20"})
    fake_api.respond = lambda query: ok_response(
        [location(n) for n in range(2)] if "," in query["latitude"] else location()
    )
    response = guidance_client.guidance((stations[0], city, stations[1]), "best_match")
    assert [query.get("elevation") for query in fake_api.queries] == ["1609,14", None]
    assert set(response.stations) == {"denver", "nowhere", "boston"}


def test_values_and_times_become_a_run(stations: Stations) -> None:
    run = parse(stations[:1], location()).stations["denver"]
    assert run.valid_times == [FIRST, FIRST.replace(day=26, hour=0), FIRST.replace(day=26, hour=1)]
    assert (run.temperature, run.humidity) == ([3.1, 3.4, None], [81, 79, 78])
    assert (run.pressure, run.wind_speed, run.wind_direction) == (
        [1013.1, 1012.9, 1012.5],
        [4.12, 4.0, 3.9],
        [220, 225, 230],
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"temperature_2m": [3.1, 99.0, 4.0]}, ApiRefusalCode.RANGE),
        ({"temperature_2m": [3.1, "4", 4.0]}, ApiRefusalCode.NOT_A_NUMBER),
    ],
)
def test_a_refused_value_is_null_and_the_others_are_used(
    stations: Stations, change: dict[str, Any], code: ApiRefusalCode
) -> None:
    response = parse(stations[:1], location(**change))
    run = response.stations["denver"]
    assert run.temperature == [3.1, None, 4.0]
    assert run.humidity == [81, 79, 78]
    assert [(refusal.field, refusal.code) for refusal in response.refusals] == [("hourly.temperature_2m", code)]


def test_a_variable_in_an_unknown_unit_is_refused_and_the_others_are_used(stations: Stations) -> None:
    content = location()
    content["hourly_units"]["wind_speed_10m"] = "km/h"
    response = parse(stations[:1], content)
    assert response.stations["denver"].wind_speed == [None] * 3
    assert response.stations["denver"].temperature == HOURLY["temperature_2m"]
    assert [refusal.code for refusal in response.refusals] == [ApiRefusalCode.UNIT]


def test_a_location_that_the_model_does_not_cover_costs_no_other(stations: Stations) -> None:
    nothing = location(1, **{name: [None] * 3 for name in HOURLY})
    response = parse(stations, location(), nothing, location(2))
    assert set(response.stations) == {"denver", "miami"}
    assert set(response.failures) == {"boston"}


def test_a_rejected_station_leaves_the_others_with_guidance(
    guidance_client: GuidanceClient, fake_api: FakeApi, stations: Stations
) -> None:
    def respond(query: dict[str, str]) -> tuple[int, str]:
        if str(stations[1].latitude) in query["latitude"]:
            return error_response(400, "No data is available for this location")
        return ok_response(location())

    fake_api.respond = respond
    response = guidance_client.guidance(stations, "best_match")
    assert set(response.stations) == {"denver", "miami"}
    assert set(response.failures) == {"boston"}
    with pytest.raises(ApiRequestError):
        guidance_client.guidance(stations, "best_match", spare_calls=2)


def test_past_guidance_has_the_values_of_each_lead(
    guidance_client: GuidanceClient, fake_api: FakeApi, stations: Stations
) -> None:
    content = location()
    content["hourly"] = {"time": content["hourly"]["time"][:2]}
    content["hourly_units"] = {"time": "iso8601"}
    for lead in (1, 2):
        for name, unit in UNITS.items():
            content["hourly"][f"{name}_previous_day{lead}"] = [lead, None]
            content["hourly_units"][f"{name}_previous_day{lead}"] = unit
    content["hourly"]["surface_pressure_previous_day2"] = [None, 1013.0]
    content["hourly"]["surface_pressure_previous_day1"] = [1012.0, None]
    fake_api.responses = [ok_response(content)]
    response = guidance_client.past_guidance(
        stations[0], "gfs_seamless", date(2026, 9, 1), date(2026, 9, 28), leads=(1, 2)
    )
    (query,) = fake_api.queries
    assert (query["models"], query["start_date"], query["end_date"]) == ("gfs_seamless", "2026-09-01", "2026-09-28")
    assert len(query["hourly"].split(",")) == 10
    assert guidance_client.calls == 2  # ten variables for four weeks
    second = FIRST.replace(day=26, hour=0)
    assert response.stations["denver"] == {
        1: {FIRST: (1, 1, 1012.0, 1, 1)},
        2: {FIRST: (2, 2, None, 2, 2), second: (None, None, 1013.0, None, None)},
    }


@pytest.mark.parametrize(
    ("locations", "variables", "days", "calls"),
    [(1, 5, 2, 1), (3, 10, 14, 3), (2, 15, 7, 3), (1, 10, 28, 2), (1, 35, 14, 4), (1, 5, 28, 1), (1, 5, 365, 14)],
)
def test_calls_are_counted_as_by_the_server(locations: int, variables: int, days: float, calls: int) -> None:
    """By `calculateQueryWeight`: max(1, variables / 10, variables / 10 * days / 14) for each location."""
    assert calls_of(locations, variables, days) == calls


def test_the_recorded_response_of_the_previous_runs_api_is_read(test_data: Path, stations: Stations) -> None:
    body = (test_data / "openmeteo" / "previous_runs_trimmed.json").read_bytes()
    rows = parse_past_guidance(body, stations[:1], (1, 2)).stations["denver"]
    first = datetime(2026, 10, 2, tzinfo=UTC)
    assert [rows[lead][first][0] for lead in (1, 2)] == [14.2, 14.4]
