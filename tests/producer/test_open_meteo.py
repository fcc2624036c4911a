"""The Open-Meteo client with a real HTTP server: parsing, retries, errors, clock skew."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from producer import open_meteo
from producer.open_meteo import OpenMeteo, RetryPolicy, check_budget
from producer.open_meteo_schema import (
    API_UNITS,
    OpenMeteoConnectionError,
    OpenMeteoRequestError,
    OpenMeteoResponseError,
)
from tests.producer.conftest import (
    FAST_RETRIES,
    VALUES,
    FakeOpenMeteo,
    error_response,
    location,
    ok_response,
    three_locations,
)
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.settings import Settings, SettingsError
from weatherglass.stations import Station

Stations = tuple[Station, ...]
TIME = datetime(2026, 9, 25, 23, tzinfo=UTC)


def test_one_request_asks_for_all_stations_in_the_units_of_the_schema(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    fake_open_meteo.responses = [ok_response(three_locations())]
    client.observe(stations)
    (query,) = fake_open_meteo.queries
    assert query["latitude"] == "39.7392,42.3584,25.7743"
    assert query["wind_speed_unit"] == "ms"
    assert query["timezone"] == "UTC"
    assert set(query["current"].split(",")) == set(API_UNITS)
    assert not {"hourly", "minutely_15"} & set(query)
    assert client.calls == 3


def test_values_become_an_observation(client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations) -> None:
    fake_open_meteo.responses = [ok_response(location())]
    observation = client.observe(stations[:1]).stations["denver"].current
    assert observation is not None
    assert observation.timestamp == TIME
    assert (observation.temperature, observation.humidity, observation.pressure) == (16.7, 72, 837.6)
    assert (observation.wind_speed, observation.wind_direction) == (3.74, 164)


def test_locations_are_assigned_by_id_or_by_order(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    shuffled = [location(2, temperature_2m=2), location(1, temperature_2m=1), location(0, temperature_2m=0)]
    shuffled[2]["location_id"] = 0
    fake_open_meteo.responses = [ok_response([location(n, temperature_2m=n) for n in range(3)]), ok_response(shuffled)]
    for _ in range(2):
        observed = client.observe(stations).stations
        assert [observed[name].current.temperature for name in ("denver", "boston", "miami")] == [0, 1, 2]


def test_past_steps_are_requested_without_future_ones(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    content = location(past_quarter_hours=4)
    content["hourly"], content["hourly_units"] = content["minutely_15"], content["minutely_15_units"]
    fake_open_meteo.responses = [ok_response(content)]
    observed = client.observe(stations[:1], past_quarter_hours=4, past_hours=72).stations["denver"]
    query = fake_open_meteo.queries[0]
    assert (query["past_minutely_15"], query["forecast_minutely_15"]) == ("4", "1")
    assert (query["past_hours"], query["forecast_hours"]) == ("72", "1")
    assert [o.timestamp.minute for o in observed.quarter_hours] == [0, 15, 30, 45, 0]
    assert observed.quarter_hours[-1] == observed.current


@pytest.mark.parametrize(
    "failure",
    [
        error_response(429, "Minutely API request limit exceeded. Please try again in one minute."),
        error_response(429, "Too many concurrent requests"),
        error_response(500, "Internal error"),
        error_response(503, "The service is overloaded"),
        (502, "<html><body>Bad Gateway</body></html>"),
    ],
    ids=["minutely", "concurrent", "internal", "overloaded", "gateway"],
)
def test_a_transient_failure_is_retried(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, failure: tuple[int, str]
) -> None:
    fake_open_meteo.responses = [failure, ok_response(three_locations())]
    assert len(client.observe(stations).stations) == 3
    assert len(fake_open_meteo.queries) == 2
    assert client.calls == 6, "a retry uses the budget as well"


def test_retries_are_limited_and_the_error_has_status_and_reason(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    fake_open_meteo.responses = [error_response(503, "The service is overloaded")]
    with pytest.raises(OpenMeteoConnectionError, match="503: The service is overloaded"):
        client.observe(stations)
    assert len(fake_open_meteo.queries) == FAST_RETRIES.attempts


def test_without_a_reason_in_the_body_the_error_has_the_reason_phrase_of_the_status(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    fake_open_meteo.responses = [(404, "<html>")]
    with pytest.raises(OpenMeteoRequestError, match="404: Not Found"):
        client.observe(stations)


def test_waits_between_attempts_grow_up_to_the_limit(
    fake_open_meteo: FakeOpenMeteo, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upper limits of the random waits: 1, 2, 4, 5 and 5 s for a limit of 5 s."""
    limits = []
    monkeypatch.setattr("tenacity.wait.random.uniform", lambda low, high: limits.append((low, high)) or 0.0)
    fake_open_meteo.responses = [error_response(503, "The service is overloaded")]
    policy = RetryPolicy(connect_seconds=20, read_seconds=20, attempts=6, max_wait_seconds=5)
    with (
        OpenMeteo(fake_open_meteo.url, fake_open_meteo.url, policy) as client,
        pytest.raises(OpenMeteoConnectionError),
    ):
        client.observe(stations)
    assert limits[:5] == [(0, 1), (0, 2), (0, 4), (0, 5), (0, 5)]
    assert len(fake_open_meteo.queries) == 6


def test_a_timeout_is_retried_and_then_a_connection_error(fake_open_meteo: FakeOpenMeteo, stations: Stations) -> None:
    url = fake_open_meteo.url
    with OpenMeteo(url, url, replace(FAST_RETRIES, read_seconds=0.5, attempts=8)) as client:
        fake_open_meteo.responses = [None, ok_response(three_locations())]
        assert len(client.observe(stations).stations) == 3
        fake_open_meteo.responses = [None]
        with pytest.raises(OpenMeteoConnectionError, match=r"20\.5 s .*\b8\b"):
            client.observe(stations)


def test_an_unreachable_server_is_a_connection_error_with_its_url(stations: Stations) -> None:
    url = "http://127.0.0.1:1"
    with OpenMeteo(url, url, FAST_RETRIES) as client, pytest.raises(OpenMeteoConnectionError, match=url):
        client.observe(stations)


@pytest.mark.parametrize("limit", ["Daily", "Hourly"])
def test_an_exceeded_daily_or_hourly_limit_is_not_retried(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, limit: str
) -> None:
    fake_open_meteo.responses = [error_response(429, f"{limit} API request limit exceeded. Please try again later.")]
    with pytest.raises(OpenMeteoConnectionError, match=f"{limit} API request limit"):
        client.observe(stations)
    assert len(fake_open_meteo.queries) == 1


def test_a_bad_request_is_not_retried_and_has_the_reason_of_the_server(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    fake_open_meteo.responses = [error_response(400, "Latitude must be in range of -90 to 90°. Given: 999.0.")]
    with pytest.raises(OpenMeteoRequestError, match=r"Given: 999\.0"):
        client.observe(stations)
    assert len(fake_open_meteo.queries) == 1


@pytest.mark.parametrize(
    "body",
    [
        "<!DOCTYPE html><html>Sign in to the network</html>",
        "",
        json.dumps(three_locations())[:-20],
        json.dumps([location(0), location(1)]),
        json.dumps(location()),
        json.dumps([location(0), location(1), location(1)]),
    ],
    ids=["html", "empty", "truncated", "two locations", "one location", "duplicate location_id"],
)
def test_an_unusable_response_is_a_response_error(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, body: str
) -> None:
    fake_open_meteo.responses = [(200, body)]
    with pytest.raises(OpenMeteoResponseError):
        client.observe(stations)
    assert len(fake_open_meteo.queries) == 1


def without(section: str, name: str) -> dict[str, object]:
    content = location(1)
    del content[section][name]
    return content


@pytest.mark.parametrize(
    ("boston", "named"),
    [
        (
            '{"latitude":nan,"longitude":nan,"generationtime_ms":0.01,"utc_offset_seconds":0,"timezone":"GMT",'
            '"timezone_abbreviation":"GMT","location_id":1}',
            "latitude",
        ),
        (json.dumps(location(1, **dict.fromkeys(VALUES))), "null"),
        (json.dumps(without("current", "surface_pressure")), "surface_pressure"),
        (json.dumps({k: v for k, v in location(1).items() if k != "current"}), "current"),
        (json.dumps(location(1, temperature_2m="warm")), "temperature_2m"),
        (json.dumps(location(1, time="yesterday")), "time"),
        (json.dumps(location(1) | {"current_units": {"wind_speed_10m": "km/h"}}), "km/h"),
        ("null", ""),
    ],
    ids=["nan", "null", "missing value", "missing section", "text", "time", "units", "no object"],
)
def test_one_bad_location_leaves_the_others_usable(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, boston: str, named: str
) -> None:
    fake_open_meteo.responses = [(200, f"[{json.dumps(location(0))}, {boston}, {json.dumps(location(2))}]")]
    response = client.observe(stations)
    assert set(response.stations) == {"denver", "miami"}
    assert set(response.failures) == {"boston"}
    assert named in response.failures["boston"]


def test_a_null_or_nan_is_a_missing_number(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    body = json.dumps(location(wind_speed_10m=None, surface_pressure="NAN")).replace('"NAN"', "nan")
    fake_open_meteo.responses = [(200, body)]
    observation = client.observe(stations[:1]).stations["denver"].current
    assert observation is not None
    assert (observation.wind_speed, observation.pressure, observation.temperature) == (None, None, 16.7)


def test_lists_of_different_length_are_a_failure_of_the_station(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    content = location(past_quarter_hours=3)
    content["minutely_15"]["temperature_2m"].pop()
    fake_open_meteo.responses = [ok_response(content)]
    assert "temperature_2m" in client.observe(stations[:1], past_quarter_hours=3).failures["denver"]


def test_the_archive_is_a_table_of_hours(client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations) -> None:
    locations = []
    for number in range(2):
        content = location(number, past_quarter_hours=2)
        content["hourly"] = content.pop("minutely_15")
        content["hourly"]["time"] = ["2013-01-01T00:00", "2013-01-01T01:00", "2013-01-01T02:00"]
        for name in VALUES:
            content["hourly"][name][1] = None
        del content["current"]
        locations.append(content)
    fake_open_meteo.responses = [ok_response(locations)]
    table = client.archive(stations[:2], date(2013, 1, 1), date(2013, 1, 1))
    assert fake_open_meteo.paths == ["/v1/archive"]
    query = fake_open_meteo.queries[0]
    assert (query["start_date"], query["end_date"]) == ("2013-01-01", "2013-01-01")
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert list(table["hour"].dt.hour) == [0, 2, 0, 2], "the hour without any value is omitted"
    assert set(table["source"]) == {"open-meteo"}


def test_an_archive_without_hours_of_a_station_is_a_response_error(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations
) -> None:
    fake_open_meteo.responses = [ok_response(three_locations())]
    with pytest.raises(OpenMeteoResponseError, match="denver"):
        client.archive(stations, date(2013, 1, 1), date(2013, 1, 2))


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


@pytest.mark.parametrize(
    ("ahead", "elapsed", "skew"),
    [
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0),  # the Date header has full seconds
        (1.25, 0.0, 1.25),
        (3.5, 2.5, 0.0),  # explained by the transfer and the full second
        (3.75, 2.5, 3.75),
        (-0.25, 2.5, -0.25),  # this clock is behind the server's
        (-7200.0, 0.0, -7200.0),
        (7200.0, 0.5, 7200.0),
    ],
)
def test_the_clock_skew_is_the_difference_that_the_transfer_does_not_explain(
    monkeypatch: pytest.MonkeyPatch, ahead: float, elapsed: float, skew: float
) -> None:
    response = requests.Response()
    response.headers["Date"] = format_datetime(TIME, usegmt=True)
    response.elapsed = timedelta(seconds=elapsed)
    monkeypatch.setattr(time, "time", lambda: TIME.timestamp() + ahead)
    assert open_meteo._clock_skew(response) == skew


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_without_a_valid_date_header_the_clock_skew_is_unknown(header: str | None) -> None:
    response = requests.Response()
    if header is not None:
        response.headers["Date"] = header
    assert open_meteo._clock_skew(response) is None


def test_recorded_responses_of_the_real_api(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, test_data
) -> None:
    folder = test_data / "openmeteo"
    bodies = {file.name: file.read_bytes() for file in folder.iterdir()}
    fake_open_meteo.responses = [(200, bodies["current_denver_ms_utc.json"])]
    assert client.observe(stations[:1]).stations["denver"].current.pressure == 837.6
    fake_open_meteo.responses = [(200, bodies["not_covered_location_invalid_json_nan.txt"])]
    assert "denver" in client.observe(stations[:1]).failures
    fake_open_meteo.responses = [(400, bodies["error_400_latitude_999.json"])]
    with pytest.raises(OpenMeteoRequestError, match="999"):
        client.observe(stations[:1])


def test_a_request_without_stations_is_refused(client: OpenMeteo, fake_open_meteo: FakeOpenMeteo) -> None:
    with pytest.raises(ValueError, match="0 stations"):
        client.observe([])
    assert fake_open_meteo.paths == []
