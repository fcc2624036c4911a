"""Requests to a real HTTP server: retries, limits, errors, clock skew."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
import requests

from producer import api_client
from producer.api_client import RetryPolicy, clock_skew
from producer.api_response import ApiConnectionError, ApiRequestError, ApiResponseError, ResponseProblem
from producer.open_meteo import OpenMeteo
from tests.producer.conftest import (
    FAST_RETRIES,
    TIMEOUT_REACHED,
    FakeApi,
    error_response,
    ok_response,
    three_locations,
)
from weatherglass.stations import Station

Stations = tuple[Station, ...]
TIME = datetime(2026, 9, 25, 23, tzinfo=UTC)


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
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, failure: tuple[int, str]
) -> None:
    fake_api.responses = [failure, ok_response(three_locations())]
    assert len(client.observe(stations).stations) == 3
    assert len(fake_api.queries) == 2
    assert client.calls == 6  # a retry uses the budget as well


def test_retries_are_limited_and_the_error_has_status_and_reason(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.responses = [error_response(503, "The service is overloaded")]
    with pytest.raises(ApiConnectionError, match="503: The service is overloaded"):
        client.observe(stations)
    assert len(fake_api.queries) == FAST_RETRIES.attempts


def test_without_a_reason_in_the_body_the_error_has_the_reason_phrase_of_the_status(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.responses = [(404, "<html>")]
    with pytest.raises(ApiRequestError, match="404: Not Found"):
        client.observe(stations)


def test_waits_between_attempts_grow_up_to_the_limit(
    fake_api: FakeApi, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upper limits of the random waits: 1, 2, 4, 5 and 5 s for a limit of 5 s."""
    limits = []
    # not `random.uniform` itself, which threads of other tests may call
    record = SimpleNamespace(uniform=lambda low, high: limits.append((low, high)) or 0.0)
    monkeypatch.setattr("tenacity.wait.random", record)
    fake_api.responses = [error_response(503, "The service is overloaded")]
    policy = RetryPolicy(connect_seconds=20, read_seconds=20, attempts=6, max_wait_seconds=5)
    with (
        OpenMeteo(fake_api.url, fake_api.url, policy) as client,
        pytest.raises(ApiConnectionError),
    ):
        client.observe(stations)
    assert limits[:5] == [(0, 1), (0, 2), (0, 4), (0, 5), (0, 5)]
    assert len(fake_api.queries) == 6


def test_a_timeout_is_retried_and_then_a_connection_error(fake_api: FakeApi, stations: Stations) -> None:
    url = fake_api.url
    with OpenMeteo(url, url, replace(FAST_RETRIES, read_seconds=0.5, attempts=8)) as client:
        fake_api.responses = [None, ok_response(three_locations())]
        assert len(client.observe(stations).stations) == 3
        fake_api.responses = [None]
        with pytest.raises(ApiConnectionError, match=r"20\.5 s .*\b8\b"):
            client.observe(stations)


def test_an_unreachable_server_is_a_connection_error_with_its_url(stations: Stations) -> None:
    url = "http://127.0.0.1:1"
    with OpenMeteo(url, url, FAST_RETRIES) as client, pytest.raises(ApiConnectionError, match=url):
        client.observe(stations)


@pytest.mark.parametrize("limit", ["Daily", "Hourly"])
def test_an_exceeded_daily_or_hourly_limit_is_not_retried(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, limit: str
) -> None:
    fake_api.responses = [error_response(429, f"{limit} API request limit exceeded. Please try again later.")]
    with pytest.raises(ApiConnectionError, match=f"{limit} API request limit"):
        client.observe(stations)
    assert len(fake_api.queries) == 1


def test_a_response_that_is_too_large_is_not_kept_in_memory(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(three_locations())
    fake_api.responses = [(200, body)]
    monkeypatch.setattr(api_client, "MAX_RESPONSE_BYTES", len(body))
    assert len(client.observe(stations).stations) == len(stations)
    monkeypatch.setattr(api_client, "MAX_RESPONSE_BYTES", len(body) - 1)
    with pytest.raises(ApiResponseError) as error:
        client.observe(stations)
    assert error.value.problem is ResponseProblem.TOO_LARGE


def test_an_incomplete_response_is_retried(client: OpenMeteo, fake_api: FakeApi, stations: Stations) -> None:
    cut = json.dumps(three_locations())[:900] + TIMEOUT_REACHED
    fake_api.responses = [(200, cut), ok_response(three_locations())]
    assert len(client.observe(stations).stations) == 3
    assert len(fake_api.queries) == 2


def test_an_exceeded_limit_with_the_status_200_is_not_retried(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations
) -> None:
    fake_api.responses = [
        ok_response({"error": True, "reason": "Daily API request limit exceeded. Please try again tomorrow."})
    ]
    with pytest.raises(ApiConnectionError, match="Daily"):
        client.observe(stations)
    assert len(fake_api.queries) == 1


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
    assert clock_skew(response) == skew


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_without_a_valid_date_header_the_clock_skew_is_unknown(header: str | None) -> None:
    response = requests.Response()
    if header is not None:
        response.headers["Date"] = header
    assert clock_skew(response) is None
