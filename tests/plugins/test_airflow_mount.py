"""The API inside a really running Airflow: nobody passes without Airflow's login."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_ports
from tests.weatherglass.api.browser import ARGUMENTS, CHROMIUM, PATIENCE_MS
from tests.weatherglass.store.samples import a_prediction
from weatherglass.settings import LOOPBACK, PROJECT_ROOT
from weatherglass.store import predictions
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

pytestmark = pytest.mark.integration

PASSWORD = "a-password-made-for-this-test"
START_SECONDS = 180
PATHS = (
    "/docs",
    "/dashboard",
    "/dashboard/station",
    "/dashboard/static/shell.js",
    "/events",
    "/metrics",
    "/openapi.json",
    "/stations",
    "/predictions/new-york",
    "/anomalies",
    "/observations/new-york",
    "/health",
)


@dataclass(frozen=True)
class Airflow:
    url: str

    def client(self, **kwargs: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **kwargs)  # type: ignore[arg-type]

    def token(self, user: str = "admin") -> str:
        with self.client() as client:
            answer = client.post("/auth/token", json={"username": user, "password": PASSWORD})
            answer.raise_for_status()
            return answer.json()["access_token"]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    (port,) = free_ports(1)
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": PASSWORD, "onlooker": PASSWORD}))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "WEATHERGLASS_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,onlooker:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-this-test-of-more-than-sixty-four-characters-in-all-of-it",
        "WEATHERGLASS_STATE_DIR": str(home / "state"),
    }
    fill_store(f"sqlite:///{home / 'state' / 'weatherglass.db'}")
    command = [sys.executable, "-m", "airflow"]
    subprocess.run([*command, "db", "migrate"], env=environment, check=True, capture_output=True, timeout=300)
    with (home / "api.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "api-server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await_answer(f"http://{LOOPBACK}:{port}/api/v2/version", server, home / "api.log")
        yield Airflow(f"http://{LOOPBACK}:{port}")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def fill_store(url: str) -> None:
    migrate(url)
    store = open_store(url)
    with store.begin() as connection:
        predictions.save(connection, [a_prediction(failed=("step",))], datetime.now(UTC))
    store.dispose()


def await_answer(url: str, server: subprocess.Popen, log: Path) -> None:  # type: ignore[type-arg]
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"Airflow's api-server did not answer:\n{log.read_text()[-4000:]}")


@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_nothing_is_answered(airflow: Airflow, path: str) -> None:
    with airflow.client() as client:
        answer = client.get(f"/weatherglass{path}")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "new-york" not in answer.text.replace(path, "")


@pytest.mark.parametrize("credential", ["made-up", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."])
def test_a_forged_token_is_refused(airflow: Airflow, credential: str) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {credential}"}) as client:
        assert client.get("/weatherglass/stations").status_code in (401, 403)


def test_a_bearer_token_passes(airflow: Airflow) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as client:
        answer = client.get("/weatherglass/predictions/new-york")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["leads"]) == 24


def test_the_session_cookie_passes(airflow: Airflow) -> None:
    with airflow.client(cookies={"_token": airflow.token()}) as client:
        assert client.get("/weatherglass/stations").json()["stations"][0]["station"]["station_id"] == "new-york"
        assert client.get("/weatherglass/docs").status_code == 200


def test_the_documentation_knows_where_it_is_mounted(airflow: Airflow) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as client:
        assert client.get("/weatherglass/openapi.json").json()["servers"] == [{"url": "/weatherglass"}]
        assert 'href="/weatherglass/stations"' in client.get("/weatherglass/docs").text


def test_airflow_knows_the_plugin_and_its_entry(airflow: Airflow) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as client:
        assert client.get("/api/v2/plugins/importErrors").json()["import_errors"] == []
        plugins = client.get("/api/v2/plugins").json()["plugins"]
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "weatherglass"]
    assert {view["href"] for view in ours["external_views"]} == {
        "/weatherglass/dashboard",
        "/weatherglass/docs",
        "/weatherglass/dashboard/of/{DAG_ID}",
    }


def test_a_verdict_needs_more_than_a_look(airflow: Airflow) -> None:
    def give(user: str, **headers: str) -> httpx.Response:
        said = {"verdict": "confirmed", "note": "seen on site"}
        with airflow.client(cookies={"_token": airflow.token(user)}, headers=headers) as client:
            return client.post("/weatherglass/anomalies/1/verdict", json=said)

    assert give("onlooker").status_code == 403
    assert give("admin", Origin="https://elsewhere.example").status_code == 403
    kept = give("admin", Origin=airflow.url)
    assert kept.status_code == 200, kept.text
    assert (kept.json()["verdict"]["verdict"], kept.json()["verdict"]["by"]) == ("confirmed", "admin")


def test_the_dashboard_opens_within_airflow(airflow: Airflow, pictures: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(airflow.url)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("button[type=submit]").click()
        page.locator("a[href='/plugin/weatherglass']").first.click()
        frame = page.frame_locator("iframe[title=Weather]")
        expect(frame.locator("#stations tr")).to_have_count(1, timeout=PATIENCE_MS)
        frame.get_by_role("link", name="System").click()
        expect(frame.locator("#parts > div").first).to_be_visible(timeout=PATIENCE_MS)
        expect(page).to_have_url(re.compile("/plugin/weatherglass/weatherglass/dashboard/system"), timeout=PATIENCE_MS)
        page.screenshot(path=str(pictures / "in-airflow.png"))
        browser.close()
