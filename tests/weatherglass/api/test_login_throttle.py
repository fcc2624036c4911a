"""The limit of failed logins for each address, with a clock that the tests move."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from tests.clock import Clock
from weatherglass.api.login_throttle import (
    MAX_ADDRESSES,
    MAX_FAILURES,
    WINDOW_SECONDS,
    FailedLogins,
    LoginThrottleMiddleware,
    client_network,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failed_logins(clock: Clock) -> FailedLogins:
    return FailedLogins(clock)


def fail(failed_logins: FailedLogins, address: str, times: int) -> None:
    for _ in range(times):
        failed_logins.record(address)


def test_an_address_waits_until_its_oldest_failure_leaves_the_window(failed_logins: FailedLogins, clock: Clock) -> None:
    fail(failed_logins, "192.0.2.1", 1)
    clock.now += 60
    fail(failed_logins, "192.0.2.1", MAX_FAILURES - 2)
    assert failed_logins.retry_after("192.0.2.1") == 0
    fail(failed_logins, "192.0.2.1", 1)
    assert failed_logins.retry_after("192.0.2.1") == WINDOW_SECONDS - 60
    assert failed_logins.retry_after("192.0.2.2") == 0
    clock.now += WINDOW_SECONDS - 60
    assert failed_logins.retry_after("192.0.2.1") == 0


def test_the_memory_is_bounded_and_forgets_the_oldest_address(failed_logins: FailedLogins) -> None:
    fail(failed_logins, "first", MAX_FAILURES)
    fail(failed_logins, "second", MAX_FAILURES)
    for number in range(MAX_ADDRESSES - 1):
        fail(failed_logins, f"other {number}", 1)
    assert failed_logins.retry_after("first") == 0
    assert failed_logins.retry_after("second") == WINDOW_SECONDS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("testclient", "other", False),
    ],
)
def test_a_client_cannot_escape_with_other_addresses_of_its_network(one: str, other: str, same: bool) -> None:
    assert (client_network(one) == client_network(other)) is same


def test_logins_are_refused_after_failures_and_other_requests_are_not(clock: Clock) -> None:
    app, calls = FastAPI(), []

    @app.post("/login")
    def login(password: str) -> Response:
        calls.append(password)
        return Response(status_code=201 if password == "right" else 401)

    @app.post("/other")
    def other() -> Response:
        return Response(status_code=401)

    app.add_middleware(LoginThrottleMiddleware, paths=["/login"], failed_logins=FailedLogins(clock))
    with TestClient(app) as client:
        for _ in range(2 * MAX_FAILURES):
            assert client.post("/other").status_code == 401
        for _ in range(MAX_FAILURES):
            assert client.post("/login?password=wrong").status_code == 401
        refused = client.post("/login?password=right")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == str(int(WINDOW_SECONDS))
        assert calls == ["wrong"] * MAX_FAILURES
        clock.now += WINDOW_SECONDS
        assert client.post("/login?password=right").status_code == 201
        assert client.post("/login?password=wrong").status_code == 401


def test_successful_logins_do_not_allow_further_guesses(clock: Clock) -> None:
    """Otherwise a user could guess the password of another, and log in between the guesses."""
    app = FastAPI()

    @app.post("/login")
    def login(password: str) -> Response:
        return Response(status_code=201 if password == "right" else 401)

    app.add_middleware(LoginThrottleMiddleware, paths=["/login"], failed_logins=FailedLogins(clock))
    with TestClient(app) as client:
        for _ in range(MAX_FAILURES):
            assert client.post("/login?password=wrong").status_code == 401
            assert client.get("/login").status_code == 405
            refused = client.post("/login?password=right").status_code
        assert refused == 429


@pytest.mark.parametrize("prefix", ["", "/prefix"])
@pytest.mark.parametrize("address", ["", "https://weather.example"])
def test_a_form_that_redirects_to_itself_has_failed(clock: Clock, prefix: str, address: str) -> None:
    """Also if it is part of a mounted app, and the public address has a prefix."""
    app, pages = FastAPI(root_path=prefix), FastAPI()

    @pages.post("/login/")
    def login(password: str) -> Response:
        target = "/start" if password == "right" else "/auth/login/?next=%2F"
        return Response(status_code=302, headers={"Location": f"{address}{prefix}{target}"})

    app.mount("/auth", pages)
    app.add_middleware(LoginThrottleMiddleware, paths=["/auth/login/"], failed_logins=FailedLogins(clock))
    with TestClient(app, follow_redirects=False) as client:
        for _ in range(2 * MAX_FAILURES):
            assert client.post(f"{prefix}/auth/login/?password=right").status_code == 302
        for _ in range(MAX_FAILURES):
            assert client.post(f"{prefix}/auth/login/?password=wrong").status_code == 302
        assert client.post(f"{prefix}/auth/login/?password=right").status_code == 429
        assert client.post("/auth/login/?password=right").status_code == 429
