"""Airflow's client against a server that answers as Airflow does when its database is locked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests

from stack import airflow_api
from stack.airflow_api import AirflowApi
from weatherglass.settings import LOOPBACK

LOCKED = {"detail": {"reason": "Database error", "message": "Serious error when handling your request."}}


class Airflow:
    """Refuses the first `locked` calls of the API; counts those that it carried out."""

    def __init__(self, locked: int):
        self.locked = locked
        self.done: list[tuple[str, str]] = []
        self.url = ""

    def answer(self, method: str, path: str) -> tuple[int, object]:
        if path == "/auth/token":
            return 201, {"access_token": "word"}
        if self.locked:
            self.locked -= 1
            return 500, LOCKED
        self.done.append((method, path))
        return 200, {"dag_run_id": "run"}


@contextmanager
def serving(airflow: Airflow) -> Iterator[AirflowApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = airflow.answer(self.command, self.path)
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
        assert api.trigger("stream_features", "note") == "run"
    assert airflow.done == [
        ("PATCH", "/api/v2/dags/rollback_model"),
        ("POST", "/api/v2/dags/stream_features/dagRuns"),
    ]


def test_a_refusal_that_stays_is_told_in_airflows_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "BUSY", airflow_api.BUSY.new(backoff_factor=0.0))
    airflow = Airflow(locked=1000)
    with serving(airflow) as api, pytest.raises(requests.HTTPError, match=r"refused PATCH .*500 .*Database error"):
        api.unpause("rollback_model")
    assert not airflow.done
