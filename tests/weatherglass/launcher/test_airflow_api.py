"""Airflow's client against a server that responds as Airflow does when its database is locked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
import requests

from weatherglass.launcher import airflow_api
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.settings import LOOPBACK

LOCKED = {"detail": {"reason": "Database error", "message": "Serious error when handling your request."}}


class Airflow:
    """Responds with status 500 to the first `locked` calls, and does not respond in time to the next `slow` calls.

    `executed` are the executed calls, including the slow ones. A run that exists is not created again (status 409).
    """

    def __init__(self, locked: int = 0, slow: int = 0):
        self.locked = locked
        self.slow = slow
        self.runs: set[str] = set()
        self.repeated = Event()
        self.executed: list[tuple[str, str]] = []
        self.url = ""

    def respond(self, method: str, path: str, body: dict[str, str]) -> tuple[int, object]:
        if path == "/auth/token":
            return 201, {"access_token": "token"}
        if self.locked:
            self.locked -= 1
            return 500, LOCKED
        if method == "POST":
            if body["dag_run_id"] in self.runs:
                self.repeated.set()
                return 409, {"detail": "exists"}
            self.runs.add(body["dag_run_id"])
        self.executed.append((method, path))
        if self.slow:
            self.slow -= 1
            self.repeated.wait(60)
        return 200, {}


@contextmanager
def serving(airflow: Airflow) -> Iterator[AirflowApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            request = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = airflow.respond(self.command, self.path, json.loads(request or "{}"))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_request

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield AirflowApi(f"http://{LOOPBACK}:{server.server_port}", "password")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_calls_are_retried_while_the_database_is_locked_and_executed_once() -> None:
    airflow = Airflow(locked=2)
    with serving(airflow) as api:
        api.unpause("rollback_model")
        assert {api.trigger("stream_features", "note")} == airflow.runs
    assert airflow.executed == [
        ("PATCH", "/api/v2/dags/rollback_model"),
        ("POST", "/api/v2/dags/stream_features/dagRuns"),
    ]


def test_a_trigger_that_times_out_does_not_start_a_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "TIMEOUT", 3.0)
    airflow = Airflow(slow=1)
    with serving(airflow) as api:
        assert {api.trigger("stream_features", "note")} == airflow.runs
    assert airflow.executed == [("POST", "/api/v2/dags/stream_features/dagRuns")]


def test_a_permanent_error_raises_with_airflows_status_and_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "RETRIES", airflow_api.RETRIES.new(backoff_factor=0.0))
    airflow = Airflow(locked=1000)
    with serving(airflow) as api, pytest.raises(requests.HTTPError) as raised:
        api.unpause("rollback_model")
    assert raised.value.response.status_code == 500
    assert LOCKED["detail"]["reason"] in str(raised.value)
    assert not airflow.executed
