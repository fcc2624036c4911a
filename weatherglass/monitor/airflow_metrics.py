"""Metrics of Airflow, from its REST API: heartbeats of its components, and the last run of each DAG."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import requests

from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import JOBS, MONITOR, MQTT, SIMULATION
from weatherglass.alerts.sample import MetricSample
from weatherglass.files import read_json
from weatherglass.net import direct_session
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
TIMEOUT_SECONDS = 5.0
REMEDY = "Restore it from a backup, or remove it and start Weatherglass again: a new one is created"
RUNS_INTERVAL = timedelta(minutes=1)
RUNS_LIMIT = 100
FINISHED = "state=success&state=failed&order_by=-end_date"
DAGS_WITH_OWN_RULES = (*JOBS, SIMULATION, MQTT, MONITOR, "ingest_observations", "verify_forecasts")
"""DAGs whose failures other rules detect: a job is not running, the source is not polled, a model is degraded."""


class AirflowMetrics:
    def __init__(self, settings: Settings, url: str):
        self._url = url
        self._passwords = settings.secrets_dir / "airflow_passwords.json"
        self._token: str | None = None
        self._runs_read_at: datetime | None = None
        self._runs: dict[str, dict[str, Any]] = {}
        """The newest finished run of each DAG."""
        self._unread: set[str] | None = None
        """DAGs whose runs are not among the newest of all, such as one that runs once a week, and were not read yet
        since the start; None before the first reading."""

    def collect(self, sample: MetricSample) -> None:
        self._collect(sample)
        for dag, run in self._runs.items():  # also while Airflow does not respond, as nothing is known to have changed
            self._put_run(sample, dag, run)

    def _collect(self, sample: MetricSample) -> None:
        try:
            health = self._get("/api/v2/monitor/health")
        except (requests.RequestException, ValueError) as error:
            log.warning("Airflow at %s is not available: %s", self._url, error)
            sample.put(m.AIRFLOW_UP, 0, "api_server")
            return
        sample.put(m.AIRFLOW_UP, 1, "api_server")
        for component in COMPONENTS:
            status = health.get(component) or {}
            sample.put(m.AIRFLOW_UP, status.get("status") == "healthy", component)
            heartbeat = _time(status.get(f"latest_{component}_heartbeat"))
            if heartbeat:
                sample.put(m.AIRFLOW_HEARTBEAT, max((sample.at - heartbeat).total_seconds(), 0.0), component)
        if self._runs_read_at is None or sample.at - self._runs_read_at >= RUNS_INTERVAL:
            self._runs_read_at = sample.at
            self._read_runs()

    def _put_run(self, sample: MetricSample, dag: str, run: dict[str, Any]) -> None:
        if dag not in DAGS_WITH_OWN_RULES:
            sample.put(m.DAG_FAILED, run["state"] == "failed", dag)
        queued, started, ended = (_time(run.get(name)) for name in ("queued_at", "start_date", "end_date"))
        if started and ended:
            sample.put(m.DAG_SECONDS, (ended - started).total_seconds(), dag)
        if queued and started:
            sample.put(m.DAG_QUEUE_SECONDS, max((started - queued).total_seconds(), 0.0), dag)

    def _read_runs(self) -> None:
        """Read the newest finished run of each DAG. Keeps the known runs if Airflow does not respond."""
        try:
            if self._token is None:
                self._token = self._log_in()
            runs = self._get(f"/api/v2/dags/~/dagRuns?{FINISHED}&limit={RUNS_LIMIT}")["dag_runs"]
            self._keep(runs)
            if self._unread is None:
                dags = {dag["dag_id"] for dag in self._get(f"/api/v2/dags?limit={RUNS_LIMIT}")["dags"]}
                self._unread = dags - self._runs.keys()
            for dag in sorted(self._unread):
                self._keep(self._get(f"/api/v2/dags/{dag}/dagRuns?{FINISHED}&limit=1")["dag_runs"])
                self._unread.remove(dag)
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code in (
                requests.codes.unauthorized,
                requests.codes.forbidden,
            ):
                self._token = None  # expired
            log.info("DAG runs cannot be read from Airflow at %s: %s", self._url, error)
            return
        except (requests.RequestException, OSError, ValueError, KeyError) as error:
            log.info("DAG runs cannot be read from Airflow at %s: %s", self._url, error)

    def _keep(self, runs: list[dict[str, Any]]) -> None:
        """Keep the first run of each DAG, which is the newest."""
        self._runs |= {run["dag_id"]: run for run in reversed(runs)}

    def _log_in(self) -> str:
        """Log in with the first account of the launcher's password file and return the token.

        Raises:
            OSError: there is no such file.
            DamagedFileError: the file is damaged.
        """
        (user, password), *_ = read_json(self._passwords, lambda content: [*content.items()], REMEDY)
        body = {"username": user, "password": password}
        return str(self._request("/auth/token", body)["access_token"])

    def _get(self, path: str) -> dict[str, Any]:
        return self._request(path, None)

    def _request(self, path: str, body: dict[str, str] | None) -> dict[str, Any]:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        with direct_session() as session:
            response = session.request(
                "POST" if body else "GET", self._url + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS
            )
        response.raise_for_status()
        content = response.json()
        if not isinstance(content, dict):
            raise ValueError(f"the response to {path} is not a JSON object")
        return content


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
