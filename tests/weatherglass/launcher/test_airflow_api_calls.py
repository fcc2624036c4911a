"""The requests of Airflow's client, and what it makes of the responses."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from weatherglass.launcher.airflow_api import ERROR_LENGTH, AirflowApi

URL = "http://airflow.example"
HEALTHY = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")}


class Server(BaseAdapter):
    """Responds with the given documents by method and path; each login gives the next token, `valid` are accepted."""

    def __init__(self, responses: dict[str, Any]):
        super().__init__()
        self.responses = responses
        self.valid = {"token-1", "token-2"}
        self.logins = 0
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        assert request.url
        path = request.url.removeprefix(URL).removeprefix("/api/v2")
        response = requests.Response()
        response.request, response.url, response.status_code = request, request.url, 200
        if path == "/auth/token":
            self.logins += 1
            document: Any = {"access_token": f"token-{self.logins}"}
        elif path != "/monitor/health" and request.headers["Authorization"].removeprefix("Bearer ") not in self.valid:
            response.status_code, document = 401, {}
        else:
            self.requests.append(request)
            document = self.responses.get(f"{request.method} {path.partition('?')[0]}", (404, {}))
            if isinstance(document, tuple):
                response.status_code, document = document
        response._content = document if isinstance(document, bytes) else requests.compat.json.dumps(document).encode()
        return response

    def close(self) -> None: ...

    def sent(self) -> list[tuple[str | None, str, Any]]:
        """Method, path with query, and body of each accepted request."""
        bodies = [request.body and requests.compat.json.loads(request.body) for request in self.requests]
        paths = [str(request.url).removeprefix(f"{URL}/api/v2") for request in self.requests]
        return [(request.method, *rest) for request, *rest in zip(self.requests, paths, bodies, strict=True)]


def client(server: Server) -> AirflowApi:
    api = AirflowApi(URL, "password")
    api._session.mount("http://", server)
    return api


@pytest.mark.parametrize(
    ("response", "named"),
    [
        (HEALTHY, None),
        ({**HEALTHY, "scheduler": {"status": "unhealthy"}, "triggerer": None}, ["scheduler", "triggerer"]),
        ({}, list(HEALTHY)),
        (b"<html>", ["api-server"]),
    ],
)
def test_components_that_are_not_healthy_are_named(response: Any, named: list[str] | None) -> None:
    server = Server({"GET /monitor/health": response})
    problem = client(server).health_problem()
    assert (problem is None) == (named is None)
    assert [name for name in (*HEALTHY, "api-server") if name in (problem or "")] == (named or [])
    assert server.logins == 0


def test_a_client_logs_in_once_and_again_when_its_token_has_expired() -> None:
    server = Server({"GET /importErrors": {"import_errors": [{"filename": "a.py", "stack_trace": "x"}]}})
    api = client(server)
    assert api.import_errors() == api.import_errors() == ["a.py: x"]
    assert server.logins == 1
    server.valid = {"token-2"}
    assert api.import_errors() == ["a.py: x"]
    assert server.logins == 2
    server.valid = set()
    with pytest.raises(requests.HTTPError, match="401"):
        api.import_errors()
    assert server.logins == 3, "one new token, not more"


def test_calls_have_airflows_paths_and_bodies() -> None:
    runs = [{"dag_run_id": "r"}]
    server = Server(
        {
            "GET /dags": {"dags": [{"dag_id": "a", "is_paused": True}]},
            "PATCH /dags/a": {},
            "GET /dags/a/dagRuns": {"dag_runs": runs},
            "GET /dags/a/dagRuns/r": runs[0],
            "POST /dags/a/dagRuns": {},
        }
    )
    api = client(server)
    assert api.dags() == {"a": {"dag_id": "a", "is_paused": True}}
    api.pause("a")
    api.unpause("a")
    assert api.runs("a", "running", "queued") == runs
    assert api.run("a", "r") == runs[0]
    run_id = api.trigger("a", "why")
    assert server.sent() == [
        ("GET", "/dags?limit=100&exclude_stale=true", None),
        ("PATCH", "/dags/a", {"is_paused": True}),
        ("PATCH", "/dags/a", {"is_paused": False}),
        ("GET", "/dags/a/dagRuns?state=running&state=queued&order_by=-run_after&limit=20", None),
        ("GET", "/dags/a/dagRuns/r", None),
        ("POST", "/dags/a/dagRuns", {"dag_run_id": run_id, "logical_date": None, "note": "why"}),
    ]


@pytest.mark.parametrize(("existing", "sent"), [("other", ("POST", "/pools")), ("heavy", ("PATCH", "/pools/heavy"))])
def test_a_pool_is_created_or_updated(existing: str, sent: tuple[str, str]) -> None:
    server = Server({"GET /pools": {"pools": [{"name": existing}]}, "POST /pools": (409, {}), "PATCH /pools/heavy": {}})
    client(server).ensure_pool("heavy", 1, "one at a time")  # a conflict means that it was created meanwhile
    body = {"name": "heavy", "slots": 1, "description": "one at a time", "include_deferred": True}
    assert server.sent()[1:] == [(*sent, body)]


def test_a_refused_request_raises_with_status_and_text() -> None:
    server = Server({"GET /pools": {"pools": []}, "POST /pools": (403, b"f" * 600), "GET /dags": (409, b"conflict")})
    with pytest.raises(requests.HTTPError) as refused:
        client(server).ensure_pool("heavy", 1, "")
    assert "403" in str(refused.value)
    assert "f" * 500 in str(refused.value)
    assert "f" * 501 not in str(refused.value)
    with pytest.raises(requests.HTTPError, match="409"):
        client(server).dags()


def test_the_logs_of_failed_tasks_are_shown_from_their_end() -> None:
    tasks = [
        {"task_id": "fetch", "state": "failed", "try_number": 2, "map_index": 3},
        {"task_id": "store", "state": "up_for_retry", "try_number": 0},
        {"task_id": "plot", "state": "success", "try_number": 1},
    ]
    error = {"exc_type": "ValueError", "exc_value": "v" * (ERROR_LENGTH + 1)}
    events = [{"timestamp": "T", "event": f"line {i}"} for i in range(20)]
    events[-1] |= {"error_detail": [error, "text"]}
    path = "/dags/a/dagRuns/r/taskInstances"
    server = Server(
        {
            f"GET {path}": {"task_instances": tasks},
            f"GET {path}/fetch/logs/2": {"content": events},
            f"GET {path}/store/logs/1": {"content": "one\ntwo\nthree"},
        }
    )
    api = client(server)
    lines = api.failed_task_logs("a", "r").splitlines()
    assert lines[0] == "task fetch, try 2:"
    assert lines[1:16] == [f"  T line {i}" for i in range(5, 20)]
    assert lines[16:] == [f"  ValueError: {'v' * ERROR_LENGTH}", "task store, try 0:", "  one", "  two", "  three"]
    assert [path.partition("?")[2] for _, path, _ in server.sent()[1:]] == ["map_index=3", "map_index=-1"]
    assert api.failed_task_logs("a", "r", lines=1).splitlines()[-1] == "  three"
    server.responses[f"GET {path}"] = {"task_instances": tasks[2:]}
    assert api.failed_task_logs("a", "r") == "no task failed"
