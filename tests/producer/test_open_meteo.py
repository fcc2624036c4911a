"""The Open-Meteo client with a real HTTP server: requests, responses, rejected stations, archive, budget."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from producer.api_response import ApiRefusalCode, ApiRequestError, ApiResponseError, ResponseProblem
from producer.open_meteo import OpenMeteo, check_budget
from producer.open_meteo_schema import API_UNITS
from tests.producer.conftest import (
    FAST_RETRIES,
    TIMEOUT_REACHED,
    VALUES,
    FakeApi,
    error_response,
    location,
    ok_response,
    three_locations,
)
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.settings import Settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import Station

Stations = tuple[Station, ...]
TIME = datetime(2026, 9, 25, 23, tzinfo=UTC)


def test_one_request_asks_for_all_stations_in_the_units_of_the_schema(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.responses = [ok_response(three_locations())]
    client.observe(stations)
    (query,) = fake_api.queries
    assert query["latitude"] == "39.7392,42.3584,25.7743"
    assert query["wind_speed_unit"] == "ms"
    assert query["timezone"] == "UTC"
    assert set(query["current"].split(",")) == set(API_UNITS)
    assert not {"hourly", "minutely_15"} & set(query)
    assert client.calls == 3


def test_values_become_an_observation(client: OpenMeteo, fake_api: FakeApi, stations: Stations) -> None:
    fake_api.responses = [ok_response(location())]
    observation = client.observe(stations[:1]).stations["denver"].current
    assert observation is not None
    assert observation.timestamp == TIME
    assert (observation.temperature, observation.humidity, observation.pressure) == (16.7, 72, 837.6)
    assert (observation.wind_speed, observation.wind_direction) == (3.74, 164)


def test_locations_are_assigned_by_id_or_by_order(client: OpenMeteo, fake_api: FakeApi, stations: Stations) -> None:
    shuffled = [location(2, temperature_2m=2), location(1, temperature_2m=1), location(0, temperature_2m=0)]
    shuffled[2]["location_id"] = 0
    fake_api.responses = [ok_response([location(n, temperature_2m=n) for n in range(3)]), ok_response(shuffled)]
    for _ in range(2):
        observed = client.observe(stations).stations
        assert [observed[name].current.temperature for name in ("denver", "boston", "miami")] == [0, 1, 2]


def test_past_steps_are_requested_without_future_ones(client: OpenMeteo, fake_api: FakeApi, stations: Stations) -> None:
    content = location(past_quarter_hours=4, past_hours=4)
    fake_api.responses = [ok_response(content)]
    observed = client.observe(stations[:1], past_quarter_hours=4, past_hours=72).stations["denver"]
    query = fake_api.queries[0]
    assert (query["past_minutely_15"], query["forecast_minutely_15"]) == ("4", "1")
    assert (query["past_hours"], query["forecast_hours"]) == ("72", "1")
    assert [o.timestamp.minute for o in observed.quarter_hours] == [0, 15, 30, 45, 0]
    assert observed.quarter_hours[-1] == observed.current


LATITUDE_ERROR = error_response(400, "Latitude must be in range of -90 to 90°. Given: 151.2.")
"""The response to a request with one such location among others. Source: the recorded `error_400_latitude_999.json`."""
NO_DATA = error_response(400, "No data is available for this location")


def server_rejecting(*rejected: Station) -> Callable[[dict[str, str]], tuple[int, str]]:
    """A server that rejects a request with one of these stations; otherwise the temperatures are the latitudes."""

    def respond(query: dict[str, str]) -> tuple[int, str]:
        latitudes = [float(text) for text in query["latitude"].split(",")]
        if set(latitudes) & {station.latitude for station in rejected}:
            return LATITUDE_ERROR
        return ok_response([location(n, temperature_2m=latitude) for n, latitude in enumerate(latitudes)])

    return respond


def test_a_rejected_station_leaves_the_others_observed(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.respond = server_rejecting(stations[1])
    response = client.observe(stations)
    temperatures = {name: observed.current.temperature for name, observed in response.stations.items()}
    assert temperatures == {station.station_id: station.latitude for station in (stations[0], stations[2])}
    assert set(response.failures) == {"boston"}
    assert "151.2" in response.failures["boston"]
    assert client.calls == 6  # no retry: each station is requested twice


def test_stations_are_requested_alone_only_within_the_spare_calls(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.respond = server_rejecting(stations[1])
    with pytest.raises(ApiRequestError, match=r"151\.2"):
        client.observe(stations, spare_calls=2)
    assert client.calls == 3
    assert len(client.observe(stations, spare_calls=3).stations) == 2


def test_a_request_that_is_rejected_for_every_station_is_a_request_error(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.responses = [error_response(400, "Invalid variable")]
    with pytest.raises(ApiRequestError, match="Invalid variable"):
        client.observe(stations)
    assert len(fake_api.queries) == 1 + len(stations)


def test_an_exceeded_limit_ends_the_requests_for_single_stations(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    limit = error_response(429, "Daily API request limit exceeded. Please try again tomorrow.")
    fake_api.responses = [NO_DATA, ok_response(location()), limit]
    response = client.observe(stations)
    assert set(response.stations) == {"denver"}
    assert set(response.failures) == {"boston", "miami"}
    assert len(fake_api.queries) == 3


@pytest.mark.parametrize(
    ("body", "problem", "requests_sent"),
    [
        ("<!DOCTYPE html><html>Sign in to the network</html>", ResponseProblem.NOT_JSON, 1),
        ("", ResponseProblem.INCOMPLETE, FAST_RETRIES.attempts + 3),
        (json.dumps(three_locations())[:-20], ResponseProblem.INCOMPLETE, FAST_RETRIES.attempts + 3),
        (
            json.dumps(three_locations())[:900] + TIMEOUT_REACHED,
            ResponseProblem.INCOMPLETE,
            FAST_RETRIES.attempts + 3,
        ),
        (
            TIMEOUT_REACHED,
            ResponseProblem.INCOMPLETE,
            FAST_RETRIES.attempts + 3,
        ),
        # open-meteo/open-meteo, issue 1629
        ('{"reason":"Something went wrong.","error":true}', ResponseProblem.ERROR, 4),
        (json.dumps([location(0), location(1)]), ResponseProblem.LOCATIONS, 4),
        (json.dumps([location(n) for n in range(4)]), ResponseProblem.LOCATIONS, 4),
        (json.dumps([location(0), location(1), location(1)]), ResponseProblem.LOCATIONS, 4),
        (json.dumps([location(0), location(1), location(3)]), ResponseProblem.LOCATIONS, 4),
    ],
    ids=[
        "html",
        "empty",
        "cut",
        "timeoutReached",
        "only timeoutReached",
        "error with status 200",
        "two locations",
        "four locations",
        "repeated location_id",
        "unknown location_id",
    ],
)
def test_an_unusable_response_to_every_request_is_a_response_error(
    client: OpenMeteo,
    fake_api: FakeApi,
    stations: Stations,
    body: str,
    problem: ResponseProblem,
    requests_sent: int,
) -> None:
    fake_api.responses = [(200, body)]
    with pytest.raises(ApiResponseError) as error:
        client.observe(stations)
    assert error.value.problem is problem
    assert len(fake_api.queries) == requests_sent


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(three_locations())[:900] + TIMEOUT_REACHED,
        json.dumps([location(0), location(1)]),
        json.dumps(location()),
        '{"reason":"Something went wrong.","error":true}',
    ],
    ids=["timeoutReached", "two locations", "one location", "error with status 200"],
)
def test_after_an_unusable_response_for_all_stations_each_is_requested_alone(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, body: str
) -> None:
    def respond(query: dict[str, str]) -> tuple[int, str]:
        latitudes = query["latitude"].split(",")
        return ok_response(location(temperature_2m=float(latitudes[0]))) if len(latitudes) == 1 else (200, body)

    fake_api.respond = respond
    observed = client.observe(stations).stations
    assert {name: station.current.temperature for name, station in observed.items()} == {
        station.station_id: station.latitude for station in stations
    }


def archive_location(number: int = 0, **times: list[str]) -> dict[str, Any]:
    content = location(number, "2013-01-01T02:00", past_hours=2)
    del content["current"]
    content["hourly"] |= times
    return content


def test_the_archive_is_a_table_of_hours(client: OpenMeteo, fake_api: FakeApi, stations: Stations) -> None:
    locations = [archive_location(number) for number in range(2)]
    for content in locations:
        for name in VALUES:
            content["hourly"][name][1] = None
    fake_api.responses = [ok_response(locations)]
    table, refusals = client.archive(stations[:2], date(2013, 1, 1), date(2013, 1, 1))
    assert fake_api.paths == ["/v1/archive"]
    query = fake_api.queries[0]
    assert (query["start_date"], query["end_date"]) == ("2013-01-01", "2013-01-01")
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert list(table["hour"].dt.hour) == [0, 2, 0, 2]  # the hour without any value is omitted
    assert set(table["source"]) == {"open-meteo"}
    assert refusals == ()


def test_hours_outside_the_requested_days_are_refused(client: OpenMeteo, fake_api: FakeApi, stations: Stations) -> None:
    times = ["2012-12-31T23:00", "2013-01-01T23:00", "2013-01-02T00:00"]
    fake_api.responses = [ok_response(archive_location(time=times))]
    table, refusals = client.archive(stations[:1], date(2013, 1, 1), date(2013, 1, 1))
    assert list(table["hour"]) == [pd.Timestamp("2013-01-01T23:00Z")]
    assert [(refusal.field, refusal.code, refusal.count) for refusal in refusals] == [
        ("hourly.time", ApiRefusalCode.TIME, 2)
    ]


@pytest.mark.parametrize(
    "content",
    [three_locations()[0], archive_location(time=["2014-01-01T00:00", "2014-01-01T01:00", "2014-01-01T02:00"])],
    ids=["no hours", "no requested hour"],
)
def test_an_archive_without_hours_of_a_station_is_a_response_error(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, content: dict[str, Any]
) -> None:
    fake_api.responses = [ok_response(content)]
    with pytest.raises(ApiResponseError, match="denver"):
        client.archive(stations[:1], date(2013, 1, 1), date(2013, 1, 2))


@pytest.mark.parametrize(
    ("poll_minutes", "stations", "numbers"),
    [
        (5, 20, None),  # 5,760 calls a day
        (5, 34, None),  # 9,792
        (3, 20, None),  # 9,600
        (1, 6, None),  # 8,640
        (5, 36, ["5", "36", "10,368", "10,000"]),  # no interval fits
        (1, 20, ["1", "20", "28,800", "10,000", "3"]),  # 14,400 for 2 minutes, 9,600 for 3
        (1, 7, ["1", "7", "10,080", "10,000", "2"]),
        (3, 34, ["3", "34", "16,320", "10,000", "5"]),  # 12,240 for 4 minutes, 9,792 for 5
    ],
)
def test_polls_beyond_the_daily_budget_are_refused_with_the_smallest_interval_that_fits(
    poll_minutes: int, stations: int, numbers: list[str] | None
) -> None:
    settings = Settings(poll_minutes=poll_minutes)
    if numbers is None:
        check_budget(settings, stations)
        return
    with pytest.raises(SettingsError, match="WEATHERGLASS_POLL_MINUTES") as error:
        check_budget(settings, stations)
    assert re.findall(r"[\d,]*\d", str(error.value)) == numbers


def test_recorded_responses_of_the_real_api(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, test_data
) -> None:
    folder = test_data / "openmeteo"
    bodies = {file.name: file.read_bytes() for file in folder.iterdir()}
    fake_api.responses = [(200, bodies["current_denver_ms_utc.json"])]
    assert client.observe(stations[:1]).stations["denver"].current.pressure == 837.6
    fake_api.responses = [(200, bodies["archive_historical_weather_trimmed.json"])]
    table, refusals = client.archive(stations[:1], date(1953, 1, 30), date(1953, 1, 31))
    assert list(table["hour"]) == list(pd.date_range("1953-01-30T22:00", periods=3, freq="h", tz="UTC"))
    assert {refusal.code for refusal in refusals if refusal.field == "hourly.wind_speed_10m"} == {ApiRefusalCode.UNIT}
    fake_api.responses = [(200, bodies["not_covered_location_invalid_json_nan.txt"])]
    assert "denver" in client.observe(stations[:1]).failures
    fake_api.responses = [(400, bodies["error_400_latitude_999.json"])]
    with pytest.raises(ApiRequestError, match="999"):
        client.observe(stations[:1])


def test_a_request_without_stations_is_refused(client: OpenMeteo, fake_api: FakeApi) -> None:
    with pytest.raises(ValueError, match="0 stations"):
        client.observe([])
    assert fake_api.paths == []
