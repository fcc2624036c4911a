"""An Airflow API server with its own home, database and users, for tests over HTTP and in the browser.

Either as on one machine, with the simple auth manager, or as in the cluster, with users in the database.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conftest import free_ports
from weatherglass.launcher import airflow
from weatherglass.settings import LOOPBACK, PROJECT_ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "password-of-this-test"
JWT_SECRET = "a-secret-of-this-test-of-more-than-sixty-four-characters-in-all-of-it"
START_TIMEOUT_SECONDS = 400


@dataclass(frozen=True)
class AirflowServer:
    """A running server. Its users have the password `PASSWORD`: `admin`, and without a public address `viewer`."""

    url: str

    def client(self, **kwargs: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **kwargs)  # type: ignore[arg-type]

    def token(self, user: str = "admin") -> str:
        with self.client() as client:
            response = client.post("/auth/token", json={"username": user, "password": PASSWORD})
            response.raise_for_status()
            return str(response.json()["access_token"])

    def log_in(self, page: Page) -> None:
        """Log in as `admin` in the browser."""
        page.goto(self.url)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("button[type=submit]").click()


def simple_users(home: Path) -> dict[str, str]:
    """Options for the simple auth manager with two users."""
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": PASSWORD, "viewer": PASSWORD}))
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


@contextmanager
def airflow_server(home: Path, dags_folder: Path, public_url: str = "") -> Iterator[AirflowServer]:
    """Start an API server with this project's plugin. The state folder of the pipeline is `home / "state"`.

    Args:
        public_url: the address behind a proxy of a server as in the cluster; without it, a server as on one machine.
    """
    (port,) = free_ports(1)
    if public_url:
        users = airflow.cluster_options(public_url) | {
            "AIRFLOW__CORE__AUTH_MANAGER": "plugins.auth.manager.ClusterFabAuthManager",
            "AIRFLOW__API__BASE_URL": public_url,
            "AIRFLOW_PASSWORD": PASSWORD,
        }
        preparation = ["plugins.auth.users"]
    else:
        users, preparation = simple_users(home), ["airflow", "dags", "reserialize"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "WEATHERGLASS_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **users,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API_AUTH__JWT_SECRET": JWT_SECRET,
        "PYTHONPATH": str(PROJECT_ROOT),
        "WEATHERGLASS_STATE_DIR": str(home / "state"),
    }
    run = [sys.executable, "-m"]
    for arguments in (["airflow", "db", "migrate"], preparation):
        subprocess.run(
            [*run, *arguments], env=environment, cwd=PROJECT_ROOT, check=True, capture_output=True, timeout=300
        )
    listening = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    log = home / "api.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [*run, "airflow", *airflow.arguments("api-server", public_url), *listening],
            env=environment,
            cwd=PROJECT_ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for_response(f"http://{LOOPBACK}:{port}/api/v2/version", server, log)
        yield AirflowServer(f"http://{LOOPBACK}:{port}")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for_response(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"Airflow's API server does not respond:\n{log.read_text()[-4000:]}")
