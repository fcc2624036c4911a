"""The API alone: who may ask, and that it really runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.conftest import free_ports
from weatherglass.api.app import create_app
from weatherglass.api.auth import local_only, with_token
from weatherglass.api.dashboard.login import add_login
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.store.migrate import migrate

TOKEN = "a-token-of-more-than-16-characters"


@pytest.mark.parametrize("path", ["/stations", "/docs", "/openapi.json", "/health"])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"]
)
def test_without_the_token_nobody_passes(settings: Settings, store: Engine, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    with TestClient(create_app(settings, guard=with_token(TOKEN))) as client:
        answer = client.get(path, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


def test_the_token_passes(settings: Settings, store: Engine) -> None:
    with TestClient(create_app(settings, guard=with_token(TOKEN))) as client:
        assert client.get("/stations", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_gives_the_token_once(settings: Settings, store: Engine) -> None:
    app = create_app(settings, guard=with_token(TOKEN))
    add_login(app, TOKEN)
    html = {"Accept": "text/html"}
    with TestClient(app, follow_redirects=False) as client:
        turned = client.get("/dashboard", headers=html)
        assert (turned.status_code, turned.headers["location"]) == (303, "/login")
        assert client.get("/stations").status_code == 401
        assert client.get("/login").status_code == 200
        for wrong in ("", "token=", "token=wrong", "other=" + TOKEN, "token=" + "x" * 5000):
            refused = client.post("/login", content=wrong)
            assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        accepted = client.post("/login", content=f"token={TOKEN}")
        assert accepted.status_code == 303
        cookie = accepted.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert client.get("/dashboard", headers=html).status_code == 200
        assert client.get("/stations").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("evil.example", 421)]
)
def test_without_a_token_only_this_machine_is_answered(
    settings: Settings, store: Engine, host: str, status: int
) -> None:
    with TestClient(create_app(settings, guard=local_only)) as client:
        assert client.get("/stations", headers={"Host": host}).status_code == status


def run_alone(tmp_path: Path, **settings: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEATHERGLASS_")}
    ours = {f"WEATHERGLASS_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "weatherglass.api"],
        env={**inherited, "WEATHERGLASS_STATE_DIR": str(tmp_path), **ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.integration
def test_another_address_is_refused_without_a_token(tmp_path: Path) -> None:
    said, _ = run_alone(tmp_path, api_host="0.0.0.0").communicate(timeout=120)
    assert "WEATHERGLASS_API_TOKEN" in said


@pytest.mark.integration
def test_it_runs_alone(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'weatherglass.db'}")
    (port,) = free_ports(1)
    process = run_alone(tmp_path, api_port=str(port))
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            try:
                answer = httpx.get(f"http://{LOOPBACK}:{port}/stations", timeout=30)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        assert answer.status_code == 200
        assert answer.json()["stations"] == []
    finally:
        process.terminate()
        process.communicate(timeout=60)
