"""Airflow's client against a server that answers as Airflow does when its database is locked."""

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
    """Refuses the first `locked` calls of the API and does the next `slow` ones without an answer in time; counts those
    that it carried out. A run that is there is not made again.
    """

    def __init__(self, locked: int = 0, slow: int = 0):
        self.locked = locked
        self.slow = slow
        self.runs: set[str] = set()
        self.asked_again = Event()
        self.done: list[tuple[str, str]] = []
        self.url = ""

    def answer(self, method: str, path: str, body: dict[str, str]) -> tuple[int, object]:
        if path == "/auth/token":
            return 201, {"access_token": "word"}
        if self.locked:
            self.locked -= 1
            return 500, LOCKED
        if method == "POST":
            if body["dag_run_id"] in self.runs:
                self.asked_again.set()
                return 409, {"detail": "there already"}
            self.runs.add(body["dag_run_id"])
        self.done.append((method, path))
        if self.slow:
            self.slow -= 1
            self.asked_again.wait(60)
        return 200, {}


@contextmanager
def serving(airflow: Airflow) -> Iterator[AirflowApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = airflow.answer(self.command, self.path, json.loads(given or "{}"))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = answer

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


def test_a_locked_database_is_asked_again_and_each_call_is_carried_out_once() -> None:
    airflow = Airflow(locked=2)
    with serving(airflow) as api:
        api.unpause("rollback_model")
        assert {api.trigger("stream_features", "note")} == airflow.runs
    assert airflow.done == [
        ("PATCH", "/api/v2/dags/rollback_model"),
        ("POST", "/api/v2/dags/stream_features/dagRuns"),
    ]


def test_a_run_whose_start_was_not_answered_in_time_is_not_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "TIMEOUT", 3.0)
    airflow = Airflow(slow=1)
    with serving(airflow) as api:
        assert {api.trigger("stream_features", "note")} == airflow.runs
    assert airflow.done == [("POST", "/api/v2/dags/stream_features/dagRuns")]


def test_a_refusal_that_stays_is_told_in_airflows_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "BUSY", airflow_api.BUSY.new(backoff_factor=0.0))
    airflow = Airflow(locked=1000)
    with serving(airflow) as api, pytest.raises(requests.HTTPError, match=r"refused PATCH .*500 .*Database error"):
        api.unpause("rollback_model")
    assert not airflow.done
