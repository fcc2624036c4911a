"""Access control of the standalone API, and its process."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.conftest import free_ports
from tests.waiting import until
from weatherglass.api.app import create_app
from weatherglass.api.auth import COOKIE_NAME, SECURE_COOKIE_NAME, local_only, require_token
from weatherglass.api.dashboard.login import add_login
from weatherglass.api.login_throttle import MAX_FAILURES
from weatherglass.api.sessions import Sessions
from weatherglass.net import accepts_connections
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.store.migrate import migrate

TOKEN = "a-token-of-more-than-16-characters"


@pytest.mark.parametrize("path", ["/stations", "/docs", "/docs/try", "/openapi.json", "/health"])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"]
)
def test_a_request_without_the_token_returns_401(
    settings: Settings, store: Engine, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    with TestClient(create_app(settings, require_access=require_token(TOKEN, Sessions()))) as client:
        response = client.get(path, headers=headers)  # type: ignore[arg-type]
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in response.text


def test_a_request_with_the_token_returns_200(settings: Settings, store: Engine) -> None:
    with TestClient(create_app(settings, require_access=require_token(TOKEN, Sessions()))) as client:
        assert client.get("/stations", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def protected_app(settings: Settings) -> FastAPI:
    sessions = Sessions()
    app = create_app(settings, require_access=require_token(TOKEN, sessions))
    add_login(app, TOKEN, sessions)
    return app


def test_a_login_starts_a_session_and_a_logout_ends_it(settings: Settings, store: Engine) -> None:
    html = {"Accept": "text/html"}
    with TestClient(protected_app(settings), follow_redirects=False) as client:
        redirect = client.get("/dashboard", headers=html)
        assert (redirect.status_code, redirect.headers["location"]) == (303, "/login")
        assert client.get("/stations").status_code == 401
        assert client.get("/login").status_code == 200
        for wrong in ("", "token=", "token=wrong", "other=" + TOKEN, "token=" + "x" * 5000):
            rejected = client.post("/login", content=wrong)
            assert (rejected.status_code, "set-cookie" in rejected.headers) == (401, False)
        accepted = client.post("/login", content=f"token={TOKEN}")
        assert accepted.status_code == 303
        cookie = accepted.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert "secure" not in cookie.lower()
        assert 'action="/logout"' in client.get("/dashboard", headers=html).text
        assert client.get("/stations").status_code == 200
        session = {"Cookie": f"{COOKIE_NAME}={client.cookies[COOKIE_NAME]}"}
        assert client.post("/logout", headers={"Origin": "http://attacker.example"}).status_code == 403
        assert client.get("/stations").status_code == 200
        logged_out = client.post("/logout")
        assert (logged_out.status_code, logged_out.headers["location"]) == (303, "/login")
        assert COOKIE_NAME not in client.cookies
        assert '"cache"' in logged_out.headers["clear-site-data"]
        assert client.get("/stations", headers=session).status_code == 401


def test_a_login_ends_the_previous_session_of_the_browser(settings: Settings, store: Engine) -> None:
    with TestClient(protected_app(settings), follow_redirects=False) as client:
        client.post("/login", content=f"token={TOKEN}")
        before = {"Cookie": f"{COOKIE_NAME}={client.cookies[COOKIE_NAME]}"}
        client.post("/login", content=f"token={TOKEN}")
        assert client.get("/stations").status_code == 200
        client.cookies.clear()
        assert client.get("/stations", headers=before).status_code == 401


def test_the_login_form_masks_the_token_and_allows_pasting(settings: Settings, store: Engine) -> None:
    with TestClient(protected_app(settings)) as client:
        html = client.get("/login").text
    (field,) = re.findall(r"<input[^>]*>", html)
    assert 'type="password"' in field
    assert 'autocomplete="current-password"' in field
    assert "onpaste" not in html


@pytest.mark.parametrize("name", ["token", "access_token", "api_token", COOKIE_NAME, "authorization"])
def test_a_token_in_the_url_is_not_accepted(settings: Settings, store: Engine, name: str) -> None:
    with TestClient(protected_app(settings)) as client:
        assert client.get("/stations", params={name: TOKEN}).status_code == 401
        assert client.post("/login", params={name: TOKEN}).status_code == 401


def test_failed_logins_are_limited(settings: Settings, store: Engine) -> None:
    with TestClient(protected_app(settings), follow_redirects=False) as client:
        statuses = {client.post("/login", content="token=wrong").status_code for _ in range(MAX_FAILURES)}
        assert statuses == {401}
        assert client.post("/login", content=f"token={TOKEN}").status_code == 429
        assert client.get("/stations", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_behind_tls_the_cookie_is_secure_and_https_is_enforced(settings: Settings, store: Engine) -> None:
    app = ProxyHeadersMiddleware(protected_app(settings), trusted_hosts="testclient")  # as uvicorn adds it
    with TestClient(app, follow_redirects=False) as client:
        response = client.post("/login", content=f"token={TOKEN}", headers={"X-Forwarded-Proto": "https"})
        name, _, attributes = response.headers["set-cookie"].partition("=")
        assert name == SECURE_COOKIE_NAME
        assert {"secure", "path=/"} <= {part.strip() for part in attributes.lower().split(";")}
        assert "domain" not in attributes.lower()  # which the prefix of the name forbids
        session = {"Cookie": f"{name}={attributes.partition(';')[0]}"}
        assert client.get("/stations", headers={**session, "X-Forwarded-Proto": "https"}).status_code == 200
        assert client.get("/stations", headers=session).status_code == 401
        assert response.headers["strict-transport-security"].startswith("max-age=")
        assert "strict-transport-security" not in client.get("/login").headers


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("evil.example", 421)]
)
def test_without_a_token_only_local_host_names_are_allowed(
    settings: Settings, store: Engine, host: str, status: int
) -> None:
    with TestClient(create_app(settings, require_access=local_only)) as client:
        response = client.get("/stations", headers={"Host": host})
    assert response.status_code == status
    assert response.json().get("code") == ("misdirected_request" if status == 421 else None)


def start_api(tmp_path: Path, **settings: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEATHERGLASS_")}
    configured = {f"WEATHERGLASS_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "weatherglass.api"],
        env={**inherited, "WEATHERGLASS_STATE_DIR": str(tmp_path), **configured},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.integration
def test_a_public_address_without_a_token_fails(tmp_path: Path) -> None:
    process = start_api(tmp_path, api_host="0.0.0.0")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "WEATHERGLASS_API_TOKEN" in output


@contextmanager
def standalone(tmp_path: Path, **settings: str) -> Iterator[httpx.Client]:
    """A client of `python -m weatherglass.api`, which responds."""
    migrate(f"sqlite:///{tmp_path / 'weatherglass.db'}")
    (port,) = free_ports(1)
    process = start_api(tmp_path, api_port=str(port), **settings)
    try:
        until("the API", lambda: process.poll() is not None or accepts_connections(f"{LOOPBACK}:{port}"))
        assert process.poll() is None
        with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.integration
def test_standalone_api_serves_requests(tmp_path: Path) -> None:
    with standalone(tmp_path) as client:
        response = client.get("/stations")
        assert response.status_code == 200
        assert response.json()["stations"] == []
        assert client.get("/login").status_code == 404  # without a token nobody needs to log in


def connected(address: httpx.URL) -> socket.socket:
    assert address.port
    return socket.create_connection((address.host, address.port), timeout=120)


@pytest.mark.integration
def test_standalone_api_with_a_token_has_a_login_and_closes_incomplete_requests(tmp_path: Path) -> None:
    with standalone(tmp_path, api_token=TOKEN) as client, connected(client.base_url) as incomplete:
        incomplete.sendall(b"GET /stations HTTP/1.1\r\nHost: ")
        assert client.get("/stations").status_code == 401
        assert client.get("/stations", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/login").status_code == 200
        assert incomplete.recv(1) == b""
