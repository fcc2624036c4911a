"""The API and the dashboard inside a running Airflow require Airflow's login."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import jwt
import pytest

from tests.airflow_server import JWT_SECRET, PASSWORD, AirflowServer, airflow_server
from tests.own_station_table import add_own_station
from tests.weatherglass.api.browser import CHROMIUM, CHROMIUM_ARGUMENTS, TIMEOUT_MS
from tests.weatherglass.store.samples import a_prediction
from weatherglass.api.login_throttle import MAX_FAILURES
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationTokens
from weatherglass.store import predictions
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

pytestmark = pytest.mark.integration

PATHS = (
    "/docs",
    "/docs/try",
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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of Airflow; the state folder of the pipeline is `state` in it."""
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def airflow(home: Path) -> Iterator[AirflowServer]:
    fill_store(f"sqlite:///{home / 'state' / 'weatherglass.db'}")
    (home / "dags").mkdir()
    with airflow_server(home, home / "dags") as server:
        yield server


def fill_store(url: str) -> None:
    migrate(url)
    store = open_store(url)
    with store.begin() as connection:
        predictions.save(connection, [a_prediction(failed=("step",))], datetime.now(UTC))
    store.dispose()


@pytest.mark.parametrize("path", PATHS)
def test_a_request_without_login_is_rejected(airflow: AirflowServer, path: str) -> None:
    with airflow.client() as client:
        response = client.get(f"/weatherglass{path}")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert "new-york" not in response.text.replace(path, "")


def test_a_forged_token_is_rejected(airflow: AirflowServer) -> None:
    claims = jwt.decode(airflow.token(), options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(airflow.token())["alg"]
    issued = int(claims["iat"])
    expired = claims | {"iat": issued - 3600, "nbf": issued - 3600, "exp": issued - 600}  # Airflow allows ten seconds
    tokens = {
        "no token": "made-up",
        "no algorithm": jwt.encode(claims, "", algorithm="none"),
        "another key": jwt.encode(claims, JWT_SECRET[::-1], algorithm=algorithm),
        "another algorithm": jwt.encode(claims, JWT_SECRET, algorithm="HS256"),
        "key in the token": jwt.encode(claims, JWT_SECRET[::-1], algorithm=algorithm, headers={"jwk": {"kty": "oct"}}),
        "expired": jwt.encode(expired, JWT_SECRET, algorithm=algorithm),
    }
    for name, token in {"valid": jwt.encode(claims, JWT_SECRET, algorithm=algorithm), **tokens}.items():
        with airflow.client(headers={"Authorization": f"Bearer {token}"}) as client:
            status = client.get("/weatherglass/stations").status_code
        assert (status == 200) if name == "valid" else status in (401, 403), (name, status)


def test_a_bearer_token_is_accepted(airflow: AirflowServer) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as client:
        response = client.get("/weatherglass/predictions/new-york")
    assert response.status_code == 200, response.text
    assert len(response.json()["leads"]) == 24


def test_failed_logins_of_an_address_are_limited(airflow: AirflowServer) -> None:
    wrong = {"username": "admin", "password": "wrong"}
    right = {"username": "admin", "password": PASSWORD}
    with httpx.Client(
        base_url=airflow.url, timeout=60, transport=httpx.HTTPTransport(local_address="127.0.0.5")
    ) as guesser:
        for path in ("/auth/token", "/auth/token/cli"):
            for _ in range(MAX_FAILURES // 2):
                assert guesser.post(path, json=wrong).status_code == 401
        assert guesser.post("/auth/token", json=right).status_code == 429
    assert airflow.token()


def test_the_session_cookie_is_accepted(airflow: AirflowServer) -> None:
    with airflow.client(cookies={"_token": airflow.token()}) as client:
        assert client.get("/weatherglass/stations").json()["stations"][0]["station"]["station_id"] == "new-york"
        assert client.get("/weatherglass/docs").status_code == 200


def test_the_api_documentation_contains_the_mount_path(airflow: AirflowServer) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as client:
        assert client.get("/weatherglass/openapi.json").json()["servers"] == [{"url": "/weatherglass"}]
        assert 'href="/weatherglass/stations"' in client.get("/weatherglass/docs").text


def test_airflow_loads_the_plugin_with_its_views(airflow: AirflowServer) -> None:
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as client:
        assert client.get("/api/v2/plugins/importErrors").json()["import_errors"] == []
        plugins = client.get("/api/v2/plugins").json()["plugins"]
    (plugin,) = [plugin for plugin in plugins if plugin["name"] == "weatherglass"]
    assert {view["href"] for view in plugin["external_views"]} == {
        "/weatherglass/dashboard",
        "/weatherglass/docs",
        "/weatherglass/dashboard/of/{DAG_ID}",
    }


def test_a_verdict_requires_write_permission_and_the_same_origin(airflow: AirflowServer) -> None:
    def post_verdict(user: str, **headers: str) -> httpx.Response:
        verdict = {"verdict": "confirmed", "note": "seen on site"}
        with airflow.client(cookies={"_token": airflow.token(user)}, headers=headers) as client:
            return client.post("/weatherglass/anomalies/1/verdict", json=verdict)

    assert post_verdict("viewer").status_code == 403
    assert post_verdict("admin", Origin="https://elsewhere.example").status_code == 403
    accepted = post_verdict("admin", Origin=airflow.url)
    assert accepted.status_code == 200, accepted.text
    assert (accepted.json()["verdict"]["verdict"], accepted.json()["verdict"]["by"]) == ("confirmed", "admin")


def test_own_stations_need_a_token_of_their_own_instead_of_a_login(airflow: AirflowServer, home: Path) -> None:
    settings = Settings(state_dir=home / "state")
    add_own_station(settings, "garden")
    secret = StationTokens(settings).add("garden", ["garden"], datetime.now(UTC))
    record = {"station_id": "garden", "timestamp": "2026-01-05T12:15:00", "temperature": 3.2}

    def publish(client: httpx.Client) -> httpx.Response:
        return client.post("/weatherglass/observations", json=record)

    with airflow.client(headers={"Authorization": f"Bearer {secret}"}) as station:
        refused = publish(station)
        assert station.get("/weatherglass/stations").status_code in (401, 403)
    # There is no broker here, so the record is one that is refused after the token is accepted.
    assert (refused.status_code, refused.json()["problems"][0]["code"]) == (422, "no_zone")
    with airflow.client(headers={"Authorization": f"Bearer {airflow.token()}"}) as user:
        assert publish(user).status_code == 401
    with airflow.client(cookies={"_token": airflow.token()}) as user:
        assert publish(user).status_code == 401


def test_the_dashboard_opens_within_airflow(airflow: AirflowServer, pictures: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(TIMEOUT_MS)
        airflow.log_in(page)
        page.locator("a[href='/plugin/weatherglass']").first.click()
        frame = page.frame_locator("iframe[title=Weather]")
        expect(frame.locator("#stations tr")).to_have_count(1, timeout=TIMEOUT_MS)
        frame.get_by_role("link", name="System").click()
        expect(frame.locator("#components > div").first).to_be_visible(timeout=TIMEOUT_MS)
        expect(page).to_have_url(re.compile("/plugin/weatherglass/weatherglass/dashboard/system"), timeout=TIMEOUT_MS)
        page.screenshot(path=str(pictures / "in-airflow.png"))
        page.goto(f"{airflow.url}/weatherglass/docs/try")
        page.locator("[id^=operations-stations]").first.get_by_role("button").first.click()
        with page.expect_response("**/weatherglass/stations") as response:
            page.get_by_role("button", name="Execute").click()
        assert response.value.status == 200
        browser.close()
