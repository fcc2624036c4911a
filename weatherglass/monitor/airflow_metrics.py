"""Airflow, by its REST API: its parts' heartbeats without a login, and how its DAGs' last runs went with one."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any

import requests

from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import JOBS, WATCHER
from weatherglass.alerts.sample import MetricSample
from weatherglass.net import direct_session
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
PATIENCE_SECONDS = 5.0
RUNS_EVERY = timedelta(minutes=1)
RUNS = 100
UNTOLD = (*JOBS, WATCHER, "ingest_observations", "verify_forecasts")
"""Their failures are told of by rules of their own: a job does not run, the source is not polled, a model is worse."""


class AirflowMetrics:
    def __init__(self, settings: Settings, url: str):
        self._url = url
        self._passwords = settings.secrets_dir / "airflow_passwords.json"
        self._token: str | None = None
        self._looked: datetime | None = None
        self._runs: dict[str, dict[str, Any]] = {}

    def look(self, sample: MetricSample) -> None:
        try:
            health = self._get("/api/v2/monitor/health")
        except (requests.RequestException, ValueError) as error:
            log.info("Airflow at %s: %s", self._url, error)
            sample.put(m.AIRFLOW_UP, 0, "api_server")
            return
        sample.put(m.AIRFLOW_UP, 1, "api_server")
        for part in PARTS:
            said = health.get(part) or {}
            sample.put(m.AIRFLOW_UP, said.get("status") == "healthy", part)
            beat = _time(said.get(f"latest_{part}_heartbeat"))
            if beat:
                sample.put(m.AIRFLOW_HEARTBEAT, max((sample.at - beat).total_seconds(), 0.0), part)
        if self._looked is None or sample.at - self._looked >= RUNS_EVERY:
            self._looked = sample.at
            self._read_runs()
        for dag, run in self._runs.items():
            self._run(sample, dag, run)

    def _run(self, sample: MetricSample, dag: str, run: dict[str, Any]) -> None:
        if dag not in UNTOLD:
            sample.put(m.DAG_FAILED, run["state"] == "failed", dag)
        queued, began, ended = (_time(run.get(name)) for name in ("queued_at", "start_date", "end_date"))
        if began and ended:
            sample.put(m.DAG_SECONDS, (ended - began).total_seconds(), dag)
        if queued and began:
            sample.put(m.DAG_QUEUED, max((began - queued).total_seconds(), 0.0), dag)

    def _read_runs(self) -> None:
        """The newest ended run of each DAG; what is known stays where Airflow does not tell."""
        query = f"/api/v2/dags/~/dagRuns?state=success&state=failed&order_by=-end_date&limit={RUNS}"
        try:
            if self._token is None:
                self._token = self._log_in()
            runs = self._get(query)["dag_runs"]
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code in (
                requests.codes.unauthorized,
                requests.codes.forbidden,
            ):
                self._token = None  # it is a day old
            log.info("Airflow at %s does not tell its runs: %s", self._url, error)
            return
        except (requests.RequestException, OSError, ValueError, KeyError) as error:
            log.info("Airflow at %s does not tell its runs: %s", self._url, error)
            return
        newest: dict[str, dict[str, Any]] = {}
        for run in runs:
            newest.setdefault(run["dag_id"], run)
        self._runs |= newest

    def _log_in(self) -> str:
        """With the first login of the stack's own file; raises OSError where there is none."""
        user, password = next(iter(json.loads(self._passwords.read_text(encoding="utf-8")).items()))
        body = {"username": user, "password": password}
        return str(self._ask("/auth/token", body)["access_token"])

    def _get(self, path: str) -> dict[str, Any]:
        return self._ask(path, None)

    def _ask(self, path: str, body: dict[str, str] | None) -> dict[str, Any]:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        with direct_session() as session:
            answer = session.request(
                "POST" if body else "GET", self._url + path, json=body, headers=headers, timeout=PATIENCE_SECONDS
            )
        answer.raise_for_status()
        content = answer.json()
        if not isinstance(content, dict):
            raise ValueError(f"{path} answered no object")
        return content


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
