"""Metrics of Airflow against servers that respond as Airflow does, and against one that is not Airflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.weatherglass.monitor.receivers import raw_server
from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.airflow_metrics import AirflowMetrics
from weatherglass.settings import LOOPBACK, Settings

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PASSWORD = {"username": "admin", "password": "password"}
NOT_HTTP = b"SSH-2.0-OpenSSH_9.6\r\n"
TRUNCATED = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"


class Airflow:
    """Responds to the requests of the metrics; `tokens` are the valid ones, and each login returns the next number."""

    def __init__(self) -> None:
        self.url = ""
        self.health: dict[str, Any] = {}
        self.runs: list[dict[str, Any]] = []
        self.older_runs: dict[str, list[dict[str, Any]]] = {}
        self.available = True
        self.tokens: set[str] = set()
        self.requests: list[str] = []

    def respond(self, path: str, body: Any, token: str | None) -> tuple[int, object]:
        path, _, _ = path.partition("?")
        self.requests.append(path)
        if path == "/api/v2/monitor/health":
            return 200, self.health
        if not self.available:
            return 503, {}
        if path == "/auth/token" and body == PASSWORD:
            self.tokens.add(f"token-{self.requests.count(path)}")
            return 201, {"access_token": max(self.tokens)}
        if (token or "").removeprefix("Bearer ") not in self.tokens:
            return 401, {}
        if path == "/api/v2/dags/~/dagRuns":
            return 200, {"dag_runs": self.runs}
        if path == "/api/v2/dags":
            names = {*self.older_runs, *(run["dag_id"] for run in self.runs)}
            return 200, {"dags": [{"dag_id": name} for name in names]}
        return 200, {"dag_runs": self.older_runs[path.split("/")[4]]}


@pytest.fixture
def airflow(settings: Settings) -> Iterator[Airflow]:
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / "airflow_passwords.json").write_text(json.dumps({"admin": "password"}))
    with serving(Airflow()) as airflow:
        yield airflow


@contextmanager
def serving(airflow: Airflow) -> Iterator[Airflow]:
    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            request = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = airflow.respond(self.path, json.loads(request or "null"), self.headers["Authorization"])
            response = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

        do_GET = do_POST = handle_request

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        airflow.url = f"http://{LOOPBACK}:{server.server_port}"
        yield airflow
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sampled(metrics: AirflowMetrics, at: datetime) -> MetricSample:
    sample = MetricSample(at)
    metrics.collect(sample)
    return sample


def run(dag: str, state: str, queued: int | None, started: int | None, ended: int | None) -> dict[str, Any]:
    """A run as the REST API returns it; times in seconds after `NOW`."""
    times = {"queued_at": queued, "start_date": started, "end_date": ended}
    return {
        "dag_id": dag,
        "state": state,
        **{name: None if at is None else (NOW + at * SECOND).isoformat() for name, at in times.items()},
    }


def test_components_are_up_if_healthy_and_the_age_of_a_heartbeat_is_never_negative(
    settings: Settings, airflow: Airflow
) -> None:
    airflow.health = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": (NOW - 30 * SECOND).isoformat()},
        "triggerer": {"status": "unhealthy", "latest_triggerer_heartbeat": (NOW + 5 * SECOND).isoformat()},
        "dag_processor": {"status": None, "latest_dag_processor_heartbeat": None},
    }
    sample = sampled(AirflowMetrics(settings, airflow.url), NOW)
    up = {"api_server": 1.0, "metadatabase": 1.0, "scheduler": 1.0, "triggerer": 0.0, "dag_processor": 0.0}
    assert sample.series(m.AIRFLOW_UP) == {(component,): value for component, value in up.items()}
    assert sample.series(m.AIRFLOW_HEARTBEAT) == {("scheduler",): 30.0, ("triggerer",): 0.0}


def test_the_newest_run_of_each_dag_has_a_state_a_duration_and_a_time_in_the_queue(
    settings: Settings, airflow: Airflow
) -> None:
    airflow.runs = [
        run("train_models", "failed", 0, 10, 100),
        run("train_models", "success", -500, -400, -100),
        run("ingest_observations", "failed", 0, 5, 20),
        run("refresh_history", "success", 3, 2, 9),
        run("backfill_features", "failed", 0, None, 50),
    ]
    sample = sampled(AirflowMetrics(settings, airflow.url), NOW)
    assert sample.series(m.DAG_FAILED) == {
        ("train_models",): 1.0,
        ("refresh_history",): 0.0,
        ("backfill_features",): 1.0,
    }
    assert sample.series(m.DAG_SECONDS) == {
        ("train_models",): 90.0,
        ("ingest_observations",): 15.0,
        ("refresh_history",): 7.0,
    }
    assert sample.series(m.DAG_QUEUE_SECONDS) == {
        ("train_models",): 10.0,
        ("ingest_observations",): 5.0,
        ("refresh_history",): 0.0,
    }


def test_runs_are_read_every_minute_with_the_same_token_until_it_expires(settings: Settings, airflow: Airflow) -> None:
    metrics = AirflowMetrics(settings, airflow.url)

    def requests_at(seconds: int) -> list[str]:
        airflow.requests.clear()
        sample = sampled(metrics, NOW + seconds * SECOND)
        assert sample.series(m.DAG_SECONDS) == {("train_models",): 90.0}, "runs are kept between readings"
        return airflow.requests

    health, login, runs, dags = "/api/v2/monitor/health", "/auth/token", "/api/v2/dags/~/dagRuns", "/api/v2/dags"
    airflow.runs = [run("train_models", "success", 0, 10, 100)]
    assert requests_at(0) == [health, login, runs, dags]
    assert requests_at(59) == [health]
    assert requests_at(60) == [health, runs]
    airflow.tokens.clear()
    assert requests_at(120) == [health, runs], "the token has expired"
    assert requests_at(180) == [health, login, runs]
    airflow.available = False
    assert requests_at(240) == [health, runs]
    airflow.available = True
    assert requests_at(300) == [health, runs], "an error of the server does not end the session"


def test_a_run_that_is_not_among_the_newest_is_known_after_a_start(settings: Settings, airflow: Airflow) -> None:
    airflow.runs = [run("train_models", "success", 0, 10, 100)]
    airflow.older_runs = {"train_weekly": [run("train_weekly", "failed", 0, 10, 20)], "rollback_model": []}
    sample = sampled(AirflowMetrics(settings, airflow.url), NOW)
    assert sample.series(m.DAG_FAILED) == {("train_models",): 0.0, ("train_weekly",): 1.0}


def test_runs_are_kept_while_airflow_does_not_respond(
    settings: Settings, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow.runs = [run("train_models", "failed", 0, 10, 100)]
    metrics = AirflowMetrics(settings, airflow.url)
    sampled(metrics, NOW)
    with raw_server(NOT_HTTP) as address:
        monkeypatch.setattr(metrics, "_url", address)
        sample = sampled(metrics, NOW + SECOND)
    assert sample.series(m.AIRFLOW_UP) == {("api_server",): 0.0}
    assert sample.series(m.DAG_FAILED) == {("train_models",): 1.0}


@pytest.mark.parametrize("response", [NOT_HTTP, TRUNCATED])
def test_an_invalid_response_is_reported_as_airflow_down(settings: Settings, response: bytes) -> None:
    sample = MetricSample(datetime.now(UTC))
    with raw_server(response) as address:
        AirflowMetrics(settings, address).collect(sample)
    assert sample.series(m.AIRFLOW_UP) == {("api_server",): 0.0}


def test_unreadable_dag_runs_do_not_affect_the_other_metrics(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / "airflow_passwords.json").write_text(json.dumps({"admin": "password"}))
    sample = MetricSample(datetime.now(UTC))
    with raw_server(TRUNCATED) as address:
        airflow = AirflowMetrics(settings, address)
        monkeypatch.setattr(airflow, "_get", lambda path: {})
        airflow.collect(sample)
    assert sample.series(m.AIRFLOW_UP)[("api_server",)] == 1.0
    assert sample.series(m.DAG_FAILED) == {}
