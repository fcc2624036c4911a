"""The guidance client with a real HTTP server: requests, values, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from producer.api_response import ApiRefusalCode, ApiRequestError
from producer.guidance_client import (
    HORIZON_HOURS,
    UNITS,
    GuidanceClient,
    GuidanceResponse,
    parse_guidance,
    request_groups,
)
from producer.open_meteo_client import MAX_LOCATIONS
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


def checked(respond: Callable[[dict[str, str]], tuple[int, str]]) -> Callable[[dict[str, str]], tuple[int, str]]:
    """The responses of a server that rejects lists of different lengths, as Open-Meteo does."""

    def answer(query: dict[str, str]) -> tuple[int, str]:
        lists = (query[name] for name in ("latitude", "longitude", "elevation") if name in query)
        if len({text.count(",") for text in lists}) > 1:
            return error_response(400, "Parameter 'elevation' must have the same number of elements as coordinates")
        return respond(query)

    return answer


@pytest.fixture
def guidance_client(fake_api: FakeApi) -> Iterator[GuidanceClient]:
    with GuidanceClient(fake_api.url, FAST_RETRIES) as client:
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
    """The elevation is that of all locations of a request, or of none."""
    city = kaggle_station({"City": "Nowhere", "Country": "X", "Latitude": "10", "Longitude": "20"})
    fake_api.respond = checked(
        lambda query: ok_response([location(n) for n in range(2)] if "," in query["latitude"] else location())
    )
    groups = request_groups((stations[0], city, stations[1]))
    found = [set(guidance_client.guidance(group, "best_match").stations) for group in groups]
    assert [query.get("elevation") for query in fake_api.queries] == ["1609,14", None]
    assert found == [{"denver", "boston"}, {"nowhere"}]


def test_more_stations_than_a_request_can_have_are_several_groups(stations: Stations) -> None:
    many = [replace(stations[0], station_id=f"s{number}") for number in range(2 * MAX_LOCATIONS + 1)]
    groups = request_groups(many)
    assert [station for group in groups for station in group] == many
    assert all(0 < len(group) <= MAX_LOCATIONS for group in groups)
    assert request_groups([]) == []


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


def test_a_location_that_the_model_does_not_cover_does_not_affect_the_others(stations: Stations) -> None:
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

    fake_api.respond = checked(respond)
    response = guidance_client.guidance(stations, "best_match")
    assert set(response.stations) == {"denver", "miami"}
    assert set(response.failures) == {"boston"}
    assert [query["elevation"] for query in fake_api.queries] == ["1609,14,2", "1609", "14", "2"]
    with pytest.raises(ApiRequestError):
        guidance_client.guidance(stations, "best_match", spare_calls=2)
