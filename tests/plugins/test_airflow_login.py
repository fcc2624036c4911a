"""Users, roles and logins of Airflow in the cluster, behind a proxy with TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.routing import Route

from tests.airflow_server import PASSWORD, AirflowServer, airflow_server
from tests.plugins.test_airflow_mount import fill_store
from weatherglass.api.app import create_app
from weatherglass.api.login_throttle import MAX_FAILURES
from weatherglass.launcher.credentials import MIN_PASSWORD_LENGTH, USER
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

PUBLIC_URL = "https://weather.example"
LOGIN, START = f"{PUBLIC_URL}/auth/login/", f"{PUBLIC_URL}/auth/"
TOKEN_PATHS = ("/auth/token", "/auth/token/cli", "/auth/api/v1/security/login")
ROLES = {"viewer": "Viewer", "operator": "User", "engineer": "Op"}
"""Users that the administrator creates, with their roles."""
READS = ("/weatherglass/stations", "/weatherglass/docs", "/api/v2/dags", "/api/v2/plugins")


class Proxy(httpx.HTTPTransport):
    """Sends requests for the public address to the server, as a proxy with TLS does."""

    def __init__(self, server: str, client: str):
        super().__init__()
        self.server, self.client = httpx.URL(server), client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert f"{request.url.scheme}://{request.url.host}" == PUBLIC_URL
        headers = [*request.headers.multi_items(), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", self.client)]
        url = request.url.copy_with(scheme="http", host=self.server.host, port=self.server.port)
        return super().handle_request(
            httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
        )


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowServer]:
    home = tmp_path_factory.mktemp("airflow")
    fill_store(f"sqlite:///{home / 'state' / 'weatherglass.db'}")
    (home / "dags").mkdir()
    with airflow_server(home, home / "dags", PUBLIC_URL) as server:
        with browser(server) as client:
            bearer = {"Authorization": f"Bearer {token(client, USER)}"}
            for user, role in ROLES.items():
                created = client.post("/auth/fab/v1/users", headers=bearer, json=account(user, role))
                assert created.status_code == 200, created.text
        yield server


def browser(server: AirflowServer, address: str = "192.0.2.1") -> httpx.Client:
    """A client with cookies that has this address."""
    return httpx.Client(base_url=PUBLIC_URL, timeout=60, transport=Proxy(server.url, address))


def account(user: str, role: str) -> dict[str, object]:
    names = {"username": user, "first_name": user, "last_name": "of this test", "email": f"{user}@weather.example"}
    return {**names, "password": PASSWORD, "roles": [{"name": role}]}


def token(client: httpx.Client, user: str) -> str:
    response = client.post("/auth/token", json={"username": user, "password": PASSWORD})
    response.raise_for_status()
    return str(response.json()["access_token"])


def csrf_token(client: httpx.Client, page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get(page).text)
    assert found
    return found[1]


def log_in(client: httpx.Client, user: str = USER, password: str = PASSWORD, query: str = "") -> httpx.Response:
    """Send the form; the response is a redirect."""
    form = {"username": user, "password": password, "csrf_token": csrf_token(client, LOGIN)}
    return client.post(f"{LOGIN}{query}", data=form, headers={"Referer": LOGIN})


NOT_WRITING = {
    "/observations",  # needs a token of a station instead
    "/weather-alerts/backtest",  # computes a result for a rule that is not stored
}


def writing_requests(settings: Settings) -> list[tuple[str, str]]:
    """Method and path of every request that can change something, documented or not, and that needs a login."""
    return [
        (method, re.sub(r"\{\w+\}", "1", route.path))
        for route in create_app(settings).routes
        if isinstance(route, Route) and route.path not in NOT_WRITING
        for method in sorted((route.methods or set()) - {"GET", "HEAD"})
    ]


@pytest.mark.parametrize("user", [USER, *ROLES])
def test_every_role_may_read(airflow: AirflowServer, user: str) -> None:
    with browser(airflow) as client:
        log_in(client, user)
        assert {path: client.get(path).status_code for path in READS} == dict.fromkeys(READS, 200)


def test_a_viewer_may_not_send_any_request_that_changes_something(airflow: AirflowServer, settings: Settings) -> None:
    requests = writing_requests(settings)
    assert len(requests) > 1
    with browser(airflow) as client:
        for user, forbidden in (("viewer", True), ("operator", False), ("engineer", False), (USER, False)):
            log_in(client, user)
            for method, path in requests:
                status = client.request(method, f"/weatherglass{path}", json={}).status_code
                assert (status == 403) is forbidden, (user, method, path, status)
                assert status != 401
            client.cookies.clear()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/v2/dags/unknown/dagRuns", {"operator", "engineer", USER}),
        ("GET", "/api/v2/connections", {"engineer", USER}),
        ("GET", "/auth/fab/v1/users", {USER}),
    ],
)
def test_each_role_of_airflow_has_its_permissions(
    airflow: AirflowServer, method: str, path: str, allowed: set[str]
) -> None:
    with browser(airflow) as client:
        for user in (USER, *ROLES):
            bearer = {"Authorization": f"Bearer {token(client, user)}"}
            status = client.request(method, path, headers=bearer, json={"logical_date": None}).status_code
            assert (status == 403) is (user not in allowed), (user, status)
            assert status != 401


def test_a_verdict_names_the_user(airflow: AirflowServer) -> None:
    with browser(airflow) as client:
        log_in(client, "operator")
        given = client.post("/weatherglass/anomalies/1/verdict", json={"verdict": "confirmed"})
    assert given.json()["verdict"]["by"] == "operator"


def test_cookies_of_a_login_are_protected_and_the_session_is_a_new_one(airflow: AirflowServer) -> None:
    with browser(airflow) as client:
        client.get(LOGIN)
        before = client.cookies["session"]
        response = log_in(client)
        cookies = {cookie.partition("=")[0]: cookie for cookie in response.headers.get_list("set-cookie")}
        assert client.cookies["session"] != before
    assert cookies.keys() == {"session", "_token"}
    for cookie in cookies.values():
        assert {"httponly", "secure", "samesite=lax"} <= set(cookie.lower().split("; ")), cookie


def test_a_logout_ends_the_session_and_revokes_the_token(airflow: AirflowServer) -> None:
    with browser(airflow) as client:
        log_in(client)
        cookies = dict(client.cookies)
        response = client.get("/api/v2/auth/logout", follow_redirects=True)
        assert str(response.url) == LOGIN
        assert "_token" not in client.cookies
        assert client.get("/weatherglass/stations").status_code == 401
    for name in ("_token", "session"):
        with browser(airflow) as copy:
            copy.cookies.set(name, cookies[name])
            copy.get(START)  # would create a token for the session
            assert copy.get("/weatherglass/stations").status_code in (401, 403), name


@pytest.mark.parametrize(
    "target", ["https://elsewhere.example/", "//elsewhere.example", r"/\elsewhere.example", "javascript:alert(1)", ""]
)
def test_a_login_never_redirects_to_another_site(airflow: AirflowServer, target: str) -> None:
    query = "?" + str(httpx.QueryParams({"next": target}))
    with browser(airflow) as client:
        for response in (log_in(client, query=query), client.get(f"{LOGIN}{query}")):
            assert response.status_code == 302
            address = urlsplit(str(httpx.URL(LOGIN).join(response.headers["location"])))
            assert (address.scheme, address.hostname) == ("https", "weather.example")
        assert client.get(f"/api/v2/auth/login{query}").status_code == (400 if target else 307)


def test_a_form_of_another_site_cannot_log_in(airflow: AirflowServer) -> None:
    form = {"username": USER, "password": PASSWORD}
    with browser(airflow, "192.0.2.2") as client:
        form["csrf_token"] = csrf_token(client, LOGIN)
        elsewhere = {"Referer": "https://elsewhere.example/"}
        assert client.post(LOGIN, data=form, headers=elsewhere).status_code == 400
        del form["csrf_token"]
        assert client.post(LOGIN, data=form, headers={"Referer": LOGIN}).status_code == 400


def test_failed_logins_of_an_address_are_limited(airflow: AirflowServer) -> None:
    with browser(airflow, "198.51.100.1") as guesser, browser(airflow, "198.51.100.2") as other:
        for attempt in range(MAX_FAILURES):
            if attempt % 4 == 3:
                response = log_in(guesser, password="wrong")
                assert (response.status_code, urlsplit(response.headers["location"]).path) == (302, "/auth/login/")
            else:
                body = {"username": USER, "password": "wrong", "provider": "db"}
                assert guesser.post(TOKEN_PATHS[attempt % 4], json=body).status_code == 401
        for path in (*TOKEN_PATHS, "/auth/login/"):
            refused = guesser.post(path, json={"username": USER, "password": PASSWORD, "provider": "db"})
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests"), path
        assert token(other, USER)


BAD_PASSWORDS = ("x" * (MIN_PASSWORD_LENGTH - 1), "Password1")


def change_own_password(client: httpx.Client, current: str, new: str) -> httpx.Response:
    page = "/auth/resetmypassword/form"
    form = {"password": new, "conf_password": new, "current_password": current, "csrf_token": csrf_token(client, page)}
    return client.post(page, data=form, headers={"Referer": f"{PUBLIC_URL}{page}"})


def test_own_passwords_are_changed_only_with_the_current_one(airflow: AirflowServer) -> None:
    with browser(airflow, "198.51.100.3") as client:
        log_in(client, "engineer")
        for wrong in ("", "another password"):
            assert change_own_password(client, wrong, "a new password").status_code != 302
        assert change_own_password(client, PASSWORD, "a new password").status_code == 302
    with browser(airflow) as client:
        assert urlsplit(log_in(client, "engineer", PASSWORD).headers["location"]).path == "/auth/login/"
        log_in(client, "engineer", "a new password")
        assert change_own_password(client, "a new password", PASSWORD).status_code == 302
        assert token(client, "engineer")


def test_guesses_of_the_current_password_are_limited(airflow: AirflowServer) -> None:
    with browser(airflow, "198.51.100.4") as client:
        log_in(client, "operator")
        for guess in range(MAX_FAILURES):
            assert change_own_password(client, f"guess {guess}", "a new password").status_code == 403
        assert change_own_password(client, PASSWORD, "a new password").status_code == 429
    with browser(airflow) as client:
        assert token(client, "operator")


@pytest.mark.parametrize("password", BAD_PASSWORDS)
def test_short_and_common_passwords_are_refused_everywhere(airflow: AirflowServer, password: str) -> None:
    with browser(airflow) as client:
        log_in(client, "engineer")
        assert change_own_password(client, PASSWORD, password).status_code == 200
        bearer = {"Authorization": f"Bearer {token(client, USER)}"}
        users = "/auth/fab/v1/users"
        created = client.post(users, headers=bearer, json=account("bad", "Viewer") | {"password": password})
        assert created.status_code == 422
        assert client.get(f"{users}/bad", headers=bearer).status_code == 404
        changed = client.patch(
            f"{users}/engineer?update_mask=roles,password",
            headers=bearer,
            json=account("engineer", "Viewer") | {"password": password},
        )
        assert changed.status_code == 422
        renamed = client.patch(
            f"{users}/engineer?update_mask=last_name", headers=bearer, json=account("engineer", "Op")
        )
        assert renamed.json()["roles"] == [{"name": "Op"}]
    with browser(airflow) as client:
        assert token(client, "engineer")


def test_a_removed_user_has_no_access_any_more(airflow: AirflowServer) -> None:
    with browser(airflow) as client, browser(airflow) as removed:
        bearer = {"Authorization": f"Bearer {token(client, USER)}"}
        assert client.post("/auth/fab/v1/users", headers=bearer, json=account("former", "User")).status_code == 200
        log_in(removed, "former")
        assert client.delete("/auth/fab/v1/users/former", headers=bearer).status_code == 204
        removed.get(START)
        assert removed.get("/weatherglass/stations").status_code in (401, 403)
