"""The client against a real HTTP server on its bad days."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from producer.open_meteo import OpenMeteo, check_budget
from producer.open_meteo_schema import API_UNITS, OpenMeteoAnswerError, OpenMeteoConnectionError, OpenMeteoRequestError
from tests.producer.conftest import HASTY, VALUES, Play, error, good, location, three_locations
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.settings import Settings, SettingsError
from weatherglass.stations import Station

Stations = tuple[Station, ...]
TIME = datetime(2026, 9, 25, 23, tzinfo=UTC)


def test_one_request_for_all_stations_in_our_units(client: OpenMeteo, play: Play, stations: Stations) -> None:
    play.answers = [good(three_locations())]
    client.observe(stations)
    (asked,) = play.asked
    assert asked["latitude"] == "39.7392,42.3584,25.7743"
    assert asked["wind_speed_unit"] == "ms"
    assert asked["timezone"] == "UTC"
    assert set(asked["current"].split(",")) == set(API_UNITS)
    assert not {"hourly", "minutely_15"} & set(asked)


def test_values_become_an_observation(client: OpenMeteo, play: Play, stations: Stations) -> None:
    play.answers = [good(location())]
    found = client.observe(stations[:1]).stations["denver"].current
    assert found is not None
    assert found.timestamp == TIME
    assert (found.temperature, found.humidity, found.pressure) == (16.7, 72, 837.6)
    assert (found.wind_speed, found.wind_direction) == (3.74, 164)


def test_locations_are_joined_by_their_id_then_by_order(client: OpenMeteo, play: Play, stations: Stations) -> None:
    shuffled = [location(2, temperature_2m=2), location(1, temperature_2m=1), location(0, temperature_2m=0)]
    shuffled[2]["location_id"] = 0
    play.answers = [good([location(n, temperature_2m=n) for n in range(3)]), good(shuffled)]
    for _ in range(2):
        found = client.observe(stations).stations
        assert [found[name].current.temperature for name in ("denver", "boston", "miami")] == [0, 1, 2]


def test_past_steps_are_asked_for_and_the_future_is_not(client: OpenMeteo, play: Play, stations: Stations) -> None:
    answer = location(past_quarters=4)
    answer["hourly"], answer["hourly_units"] = answer["minutely_15"], answer["minutely_15_units"]
    play.answers = [good(answer)]
    found = client.observe(stations[:1], past_quarters=4, past_hours=72).stations["denver"]
    asked = play.asked[0]
    assert (asked["past_minutely_15"], asked["forecast_minutely_15"]) == ("4", "1")
    assert (asked["past_hours"], asked["forecast_hours"]) == ("72", "1")
    assert [o.timestamp.minute for o in found.quarters] == [0, 15, 30, 45, 0]
    assert found.quarters[-1] == found.current


@pytest.mark.parametrize(
    "bad_day",
    [
        error(429, "Minutely API request limit exceeded. Please try again in one minute."),
        error(429, "Too many concurrent requests"),
        error(503, "The service is overloaded"),
        (502, "<html><body>Bad Gateway</body></html>"),
    ],
    ids=["minutely", "concurrent", "overloaded", "gateway"],
)
def test_a_passing_failure_is_tried_again(
    client: OpenMeteo, play: Play, stations: Stations, bad_day: tuple[int, str]
) -> None:
    play.answers = [bad_day, good(three_locations())]
    assert len(client.observe(stations).stations) == 3
    assert len(play.asked) == 2


def test_retries_are_bounded_and_the_error_has_the_reason(client: OpenMeteo, play: Play, stations: Stations) -> None:
    play.answers = [error(503, "The service is overloaded")]
    with pytest.raises(OpenMeteoConnectionError, match=r"503: The service is overloaded \(asked 3 times\)"):
        client.observe(stations)
    assert len(play.asked) == HASTY.attempts


def test_silence_is_tried_again_then_a_connection_error(play: Play, stations: Stations) -> None:
    with OpenMeteo(play.url, play.url, replace(HASTY, read_seconds=0.5, attempts=8)) as client:
        play.answers = [None, good(three_locations())]
        assert len(client.observe(stations).stations) == 3
        play.answers = [None]
        with pytest.raises(OpenMeteoConnectionError, match=r"did not answer within .* \(asked 8 times\)"):
            client.observe(stations)


def test_nobody_listening_is_a_connection_error(stations: Stations) -> None:
    url = "http://127.0.0.1:1"
    with OpenMeteo(url, url, HASTY) as client, pytest.raises(OpenMeteoConnectionError, match="cannot be reached"):
        client.observe(stations)


def test_the_daily_limit_is_not_asked_again(client: OpenMeteo, play: Play, stations: Stations) -> None:
    play.answers = [error(429, "Daily API request limit exceeded. Please try again tomorrow.")]
    with pytest.raises(OpenMeteoConnectionError, match="Daily API request limit"):
        client.observe(stations)
    assert len(play.asked) == 1


def test_a_bad_request_fails_at_once_with_the_servers_reason(client: OpenMeteo, play: Play, stations: Stations) -> None:
    play.answers = [error(400, "Latitude must be in range of -90 to 90°. Given: 999.0.")]
    with pytest.raises(OpenMeteoRequestError, match=r"Given: 999\.0"):
        client.observe(stations)
    assert len(play.asked) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<!DOCTYPE html><html>Sign in to the network</html>", "not JSON; it begins with '<!DOCTYPE html>"),
        ("", "not JSON"),
        (json.dumps(three_locations())[:-20], "not JSON"),
        (json.dumps([location(0), location(1)]), "holds 2 locations, 3 were asked for"),
        (json.dumps(location()), "holds 1 locations, 3 were asked for"),
        (json.dumps([location(0), location(1), location(1)]), "location_ids"),
    ],
)
def test_an_answer_that_is_wrong_as_a_whole(
    client: OpenMeteo, play: Play, stations: Stations, body: str, said: str
) -> None:
    play.answers = [(200, body)]
    with pytest.raises(OpenMeteoAnswerError, match=said):
        client.observe(stations)


def without(part: str, name: str) -> dict[str, object]:
    answer = location(1)
    del answer[part][name]
    return answer


@pytest.mark.parametrize(
    ("boston", "said"),
    [
        (
            '{"latitude":nan,"longitude":nan,"generationtime_ms":0.01,"utc_offset_seconds":0,"timezone":"GMT",'
            '"timezone_abbreviation":"GMT","location_id":1}',
            "latitude",
        ),
        (json.dumps(location(1, **dict.fromkeys(VALUES))), "every value of the answer is null"),
        (json.dumps(without("current", "surface_pressure")), "surface_pressure: Field required"),
        (json.dumps({k: v for k, v in location(1).items() if k != "current"}), "has no current"),
        (json.dumps(location(1, temperature_2m="warm")), "temperature_2m"),
        (json.dumps(location(1, time="yesterday")), "time"),
        (json.dumps(location(1) | {"current_units": {"wind_speed_10m": "km/h"}}), "in km/h, m/s was asked for"),
        ("null", "dictionary"),
    ],
    ids=["nan", "null", "missing", "nothing", "text", "time", "units", "no object"],
)
def test_one_bad_station_leaves_the_others_usable(
    client: OpenMeteo, play: Play, stations: Stations, boston: str, said: str
) -> None:
    play.answers = [(200, f"[{json.dumps(location(0))}, {boston}, {json.dumps(location(2))}]")]
    observed = client.observe(stations)
    assert set(observed.stations) == {"denver", "miami"}
    assert set(observed.failures) == {"boston"}
    assert said in observed.failures["boston"]


def test_single_nulls_and_nans_are_missing_numbers(client: OpenMeteo, play: Play, stations: Stations) -> None:
    body = json.dumps(location(wind_speed_10m=None, surface_pressure="NAN")).replace('"NAN"', "nan")
    play.answers = [(200, body)]
    found = client.observe(stations[:1]).stations["denver"].current
    assert found is not None
    assert (found.wind_speed, found.pressure, found.temperature) == (None, None, 16.7)


def test_lists_of_different_length_are_an_error_of_the_station(
    client: OpenMeteo, play: Play, stations: Stations
) -> None:
    answer = location(past_quarters=3)
    answer["minutely_15"]["temperature_2m"].pop()
    play.answers = [good(answer)]
    assert "3 values for 4 times" in client.observe(stations[:1], past_quarters=3).failures["denver"]


def test_the_archive_gives_tidy_history(client: OpenMeteo, play: Play, stations: Stations) -> None:
    answers = []
    for number in range(2):
        answer = location(number, past_quarters=2)
        answer["hourly"] = answer.pop("minutely_15")
        answer["hourly"]["time"] = ["2013-01-01T00:00", "2013-01-01T01:00", "2013-01-01T02:00"]
        for name in VALUES:
            answer["hourly"][name][1] = None
        del answer["current"]
        answers.append(answer)
    play.answers = [good(answers)]
    table = client.archive(stations[:2], date(2013, 1, 1), date(2013, 1, 1))
    assert play.paths == ["/v1/archive"]
    assert (play.asked[0]["start_date"], play.asked[0]["end_date"]) == ("2013-01-01", "2013-01-01")
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert list(table["hour"].dt.hour) == [0, 2, 0, 2]  # the hour without any value is left out
    assert set(table["source"]) == {"open-meteo"}


def test_history_must_be_whole(client: OpenMeteo, play: Play, stations: Stations) -> None:
    play.answers = [good(three_locations())]
    with pytest.raises(OpenMeteoAnswerError, match="no history for denver"):
        client.archive(stations, date(2013, 1, 1), date(2013, 1, 2))


def test_the_budget_of_the_free_api() -> None:
    check_budget(Settings(poll_minutes=5), 20)
    check_budget(Settings(poll_minutes=5), 34)
    with pytest.raises(SettingsError, match=r"POLL_MINUTES=5 with 36 stations would be 10,368 .* fewer stations"):
        check_budget(Settings(poll_minutes=5), 36)
    with pytest.raises(SettingsError, match=r"would be 28,800 calls a day.*10,000; set it to 3 or more"):
        check_budget(Settings(poll_minutes=1), 20)


def test_recorded_answers_of_the_real_api(client: OpenMeteo, play: Play, stations: Stations, test_data) -> None:
    folder = test_data / "openmeteo"
    bodies = {file.name: file.read_bytes() for file in folder.iterdir()}
    play.answers = [(200, bodies["current_denver_ms_utc.json"])]
    assert client.observe(stations[:1]).stations["denver"].current.pressure == 837.6
    play.answers = [(200, bodies["not_covered_location_invalid_json_nan.txt"])]
    assert "denver" in client.observe(stations[:1]).failures
    play.answers = [(400, bodies["error_400_latitude_999.json"])]
    with pytest.raises(OpenMeteoRequestError, match="999"):
        client.observe(stations[:1])
