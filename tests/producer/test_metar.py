"""The client of the reports of airports, with a fake server and with the replay server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from producer import request_limit
from producer.api_response import ApiConnectionError, ApiRequestError, ApiResponseError, ParsedResponse
from producer.metar import MAX_PAST_REQUESTS, MAX_REPORTS, RECENT_HOURS, REQUEST_SECONDS, Metar, MetarResponse
from producer.request_limit import RequestLimit
from tests.producer.conftest import FAST_RETRIES, FakeApi
from tests.producer.parts import join_reports
from weatherglass.records import Observation
from weatherglass.stations import Station, bundled_stations

NOW = datetime(2026, 7, 14, 12, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
BACKFILL, HORIZON = 72 * HOUR, 240 * HOUR
STATIONS = tuple(bundled_stations()[name] for name in ("ewr", "jfk", "lga"))
ONE_ATTEMPT = replace(FAST_RETRIES, attempts=1)


@pytest.fixture
def client(fake_api: FakeApi, tmp_path: Path) -> Iterator[Metar]:
    with Metar(fake_api.url, RequestLimit(tmp_path / "limit", 0.0), FAST_RETRIES) as metar:
        yield metar


def report(airport: str, age: timedelta) -> dict[str, Any]:
    return {"icaoId": airport, "obsTime": (NOW - age).timestamp(), "temp": age / HOUR}


def hourly(query: dict[str, str]) -> tuple[int, str]:
    """A report of each requested airport in every requested hour."""
    ages = [HOUR * (hour + 0.5) for hour in range(int(query["hours"]))]
    return 200, json.dumps([report(airport, age) for airport in query["ids"].split(",") for age in ages])


def last(age: timedelta, *stations: Station) -> dict[str, Observation]:
    return {s.station_id: Observation(station_id=s.station_id, timestamp=NOW - age) for s in stations}


def observed(
    client: Metar, published: dict[str, Observation], stations: tuple[Station, ...] = STATIONS
) -> MetarResponse:
    return join_reports(client.observe(stations, published, NOW, BACKFILL, HORIZON, lambda _: None))


def ages(response: ParsedResponse, name: str) -> list[float]:
    found = response.stations[name]
    return [(NOW - o.timestamp) / HOUR for o in (*found.hours, found.current) if o]


def test_a_poll_is_one_request_for_all_airports_with_a_custom_user_agent(client: Metar, fake_api: FakeApi) -> None:
    fake_api.respond = hourly
    response = observed(client, last(HOUR, *STATIONS))
    assert fake_api.paths == ["/api/data/metar"]
    assert fake_api.queries == [{"ids": "KEWR,KJFK,KLGA", "format": "json", "hours": str(RECENT_HOURS)}]
    assert fake_api.user_agents == ["weatherglass"]
    assert ages(response, "jfk") == [2.5, 1.5, 0.5]
    assert not client.replayed


def test_new_stations_get_the_backfill_and_stations_after_a_gap_what_they_missed(
    client: Metar, fake_api: FakeApi
) -> None:
    fake_api.respond = hourly
    ewr, jfk, lga = STATIONS
    response = observed(client, last(HOUR, lga) | last(10 * HOUR, jfk))
    assert [len(ages(response, s.station_id)) for s in (ewr, jfk, lga)] == [72, 72, 3]
    assert ages(response, "ewr") == [hour - 0.5 for hour in range(72, 0, -1)]
    assert sorted(int(query["hours"]) for query in fake_api.queries) == [3, 72]


def test_each_part_has_the_past_and_the_present_of_its_stations_before_the_next_request(
    client: Metar, fake_api: FakeApi
) -> None:
    fake_api.respond = hourly
    ewr, jfk, lga = STATIONS
    published = last(HOUR, ewr) | last(200 * HOUR, jfk) | last(180 * HOUR, lga)
    parts = []
    for part in client.observe(STATIONS, published, NOW, BACKFILL, HORIZON, lambda _: None):
        parts.append({name: len(ages(part, name)) for name in part.stations})
        assert len(fake_api.queries) == len(parts)
        assert part.reporting == {"ewr", "jfk", "lga"}
        assert all(ages(part, name) == sorted(ages(part, name), reverse=True) for name in part.stations)
    assert parts == [{"ewr": RECENT_HOURS}, {"jfk": 200}, {"lga": 180}]


def test_what_is_refused_of_a_station_is_in_its_part(client: Metar, fake_api: FakeApi) -> None:
    def respond(query: dict[str, str]) -> tuple[int, str]:
        reports = json.loads(hourly(query)[1])
        return 200, json.dumps([report | {"temp": "warm", "wspd": 4} for report in reports])

    fake_api.respond = respond
    published = last(HOUR, STATIONS[0]) | last(20 * HOUR, *STATIONS[1:])
    parts = list(client.observe(STATIONS, published, NOW, BACKFILL, HORIZON, lambda _: None))
    assert [{refusal.station_id for refusal in part.refusals} for part in parts] == [{"ewr"}, {"jfk", "lga"}]


def test_a_gap_is_filled_up_to_the_horizon(client: Metar, fake_api: FakeApi) -> None:
    fake_api.respond = hourly
    assert len(ages(observed(client, last(999 * HOUR, *STATIONS), STATIONS[:1]), "ewr")) == 240


def test_a_silent_airport_is_named_and_needs_no_further_request(client: Metar, fake_api: FakeApi) -> None:
    fake_api.responses = [(200, json.dumps([report("KJFK", HOUR), report("KLGA", HOUR)]))]
    response = observed(client, last(50 * HOUR, STATIONS[0]) | last(2 * HOUR, *STATIONS[1:]))
    assert set(response.stations) == {"jfk", "lga"}
    assert set(response.failures) == {"ewr"}
    assert len(fake_api.queries) == 1


@pytest.mark.parametrize("response", [(204, ""), (200, "[]")])
def test_without_any_report_every_station_is_named(client: Metar, fake_api: FakeApi, response: tuple[int, str]) -> None:
    fake_api.responses = [response]
    result = observed(client, {})
    assert not result.stations
    assert set(result.failures) == {"ewr", "jfk", "lga"}
    assert len(fake_api.queries) == 1


def test_a_response_that_may_be_cut_off_is_requested_in_parts(client: Metar, fake_api: FakeApi) -> None:
    def limited(query: dict[str, str]) -> tuple[int, str]:
        status, body = hourly(query)
        return status, json.dumps(json.loads(body)[:MAX_REPORTS])

    fake_api.respond = limited
    response = observed(client, last(200 * HOUR, *STATIONS))
    assert {name: len(ages(response, name)) for name in ("ewr", "jfk", "lga")} == dict.fromkeys(
        ("ewr", "jfk", "lga"), 200
    )


def test_more_reports_of_one_airport_than_a_response_holds_are_requested_in_shorter_periods(
    client: Metar, fake_api: FakeApi
) -> None:
    """A report every ten minutes; the server's clock moves on by a minute between two requests."""
    times = [NOW - timedelta(minutes=minutes) for minutes in range(5, 15 * 24 * 60, 10)]

    def respond(query: dict[str, str]) -> tuple[int, str]:
        end = NOW + len(fake_api.queries) * timedelta(minutes=1)
        if "date" in query:
            end = datetime.strptime(query["date"], "%Y%m%d_%H%M").replace(tzinfo=UTC)
        start = end - timedelta(hours=int(query["hours"]))
        found = [report("KEWR", NOW - time) for time in times if start < time <= end]
        return 200, json.dumps(found[:MAX_REPORTS])

    fake_api.respond = respond
    response = observed(client, last(200 * HOUR, *STATIONS), STATIONS[:1])
    expected = [time for time in times if time > NOW - 200 * HOUR + timedelta(minutes=1)]
    assert ages(response, "ewr")[-len(expected) :] == [(NOW - time) / HOUR for time in reversed(expected)]
    assert {query["ids"] for query in fake_api.queries} == {"KEWR"}


def test_a_poll_requests_the_past_of_some_stations_and_a_later_one_that_of_the_others(
    client: Metar, fake_api: FakeApi
) -> None:
    fake_api.respond = hourly
    numbers = range(MAX_PAST_REQUESTS + 2)
    stations = tuple(replace(STATIONS[0], station_id=f"s-{n}", metar_id=f"K{n:03}") for n in numbers)
    first = observed(client, last(239 * HOUR, *stations), stations)
    assert len(first.stations) == MAX_PAST_REQUESTS
    assert first.reporting == {station.station_id for station in stations}
    assert first.failures.keys() | first.stations.keys() == first.reporting
    done = [station for station in stations if station.station_id in first.stations]
    others = [station for station in stations if station not in done]
    second = observed(client, last(HOUR, *done) | last(239 * HOUR, *others), stations)
    assert second.failures == {}
    assert len(fake_api.queries) == 1 + MAX_PAST_REQUESTS + 1 + len(others)


def test_after_a_failure_to_connect_no_further_past_is_requested(client: Metar, fake_api: FakeApi) -> None:
    fake_api.respond = lambda query: hourly(query) if query["hours"] == "3" else (500, "")
    response = observed(client, last(239 * HOUR, *STATIONS))
    assert set(response.failures) == {"ewr", "jfk", "lga"}
    assert len(fake_api.queries) == 1 + FAST_RETRIES.attempts


def test_if_the_past_is_not_available_the_station_waits_for_the_next_poll(client: Metar, fake_api: FakeApi) -> None:
    fake_api.respond = lambda query: hourly(query) if query["hours"] == "3" else (500, "")
    response = observed(client, last(HOUR, *STATIONS[:2]))
    assert set(response.stations) == {"ewr", "jfk"}
    assert set(response.failures) == {"lga"}


@pytest.mark.parametrize(
    ("response", "error", "attempts"),
    [
        ((429, "Too Many Requests"), ApiConnectionError, 1),  # a retry would prolong the block
        ((500, ""), ApiConnectionError, FAST_RETRIES.attempts),
        ((502, "<html>Bad Gateway</html>"), ApiConnectionError, FAST_RETRIES.attempts),
        ((200, "[{"), ApiResponseError, FAST_RETRIES.attempts),
        ((200, "<html>Maintenance</html>"), ApiResponseError, 1),
        ((400, '{"status":"error","error":"Invalid hours"}'), ApiRequestError, 1),
    ],
    ids=["rate limit", "error", "gateway", "cut off", "html", "rejected"],
)
def test_failures(
    client: Metar, fake_api: FakeApi, response: tuple[int, str], error: type[Exception], attempts: int
) -> None:
    fake_api.responses = [response]
    with pytest.raises(error):
        observed(client, {})
    assert len(fake_api.queries) == attempts


def test_requests_of_all_clients_have_the_interval_of_the_api_between_them(
    fake_api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, requests = [1000.0], []
    fake = SimpleNamespace(time=lambda: clock[0], sleep=lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(request_limit, "time", fake)

    def respond(query: dict[str, str]) -> tuple[int, str]:
        requests.append(clock[0])
        return hourly(query)

    fake_api.respond = respond
    limit = RequestLimit(tmp_path / "limit", REQUEST_SECONDS)
    with Metar(fake_api.url, limit, ONE_ATTEMPT) as first, Metar(fake_api.url, limit, ONE_ATTEMPT) as second:
        observed(first, {})
        observed(second, last(HOUR, *STATIONS))
    assert requests == [1000.0, 1060.0, 1120.0]
