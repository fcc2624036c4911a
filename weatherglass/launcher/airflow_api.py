"""Client for the part of Airflow's REST API (version 2) that the launcher uses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from weatherglass.launcher.credentials import USER
from weatherglass.net import direct_session

TIMEOUT = 60.0
"""Seconds per request. On a busy machine the first responses are slow, and a writer waits for other SQLite writers."""
ERROR_LENGTH = 600
ACTIVE = ("running", "queued")
RETRIES = Retry(
    status=5,
    connect=0,
    read=2,
    status_forcelist=(500, 503),
    allowed_methods=None,
    backoff_factor=0.25,
    raise_on_status=False,
)
"""On SQLite, a request that finds the database locked gets status 500, changes nothing, and succeeds when repeated.
A request without a response may have been executed: created objects are named, so creating one again gets status 409.
"""


def airflow_session() -> requests.Session:
    """A session without proxy and .netrc that retries while the database is busy."""
    airflow_session = direct_session()
    airflow_session.mount("http://", HTTPAdapter(max_retries=RETRIES))
    return airflow_session


class AirflowApi:
    """A client that logs in. Every method raises `requests.RequestException` if Airflow does not respond or refuses."""

    def __init__(self, url: str, password: str):
        self.url = url
        self._password = password
        self._session = airflow_session()

    def health_problem(self) -> str | None:
        """Names the components that are not healthy; None if all four are."""
        try:
            components = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=TIMEOUT).json()
        except (requests.RequestException, ValueError):
            return "the api-server does not respond"
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        unhealthy = [name for name in names if (components.get(name) or {}).get("status") != "healthy"]
        return f"not healthy: {', '.join(unhealthy)}" if unhealthy else None

    def dags(self) -> dict[str, dict[str, Any]]:
        """The parsed DAGs, by id."""
        return {dag["dag_id"]: dag for dag in self._get("/dags", limit=100, exclude_stale="true")["dags"]}

    def import_errors(self) -> list[str]:
        return [f"{e['filename']}: {e['stack_trace']}" for e in self._get("/importErrors")["import_errors"]]

    def pause(self, dag_id: str) -> None:
        self._send("PATCH", f"/dags/{dag_id}", {"is_paused": True})

    def unpause(self, dag_id: str) -> None:
        self._send("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def runs(self, dag_id: str, *states: str) -> list[dict[str, Any]]:
        """The 20 newest runs in these states (default: any), newest first."""
        response = self._get(f"/dags/{dag_id}/dagRuns", state=list(states), order_by="-run_after", limit=20)
        return list(response["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self._get(f"/dags/{dag_id}/dagRuns/{run_id}")

    def trigger(self, dag_id: str, note: str) -> str:
        """Start a run and return its id."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        self._create(f"/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "note": note})
        return run_id

    def fail(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, which stops its tasks and their jobs."""
        self._send("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return list(self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create or update a pool."""
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": True}
        if any(existing["name"] == name for existing in self._get("/pools", limit=100)["pools"]):
            self._send("PATCH", f"/pools/{name}", pool)
        else:
            self._create("/pools", pool)

    def failed_task_logs(self, dag_id: str, run_id: str, lines: int = 15) -> str:
        """The failed tasks of a run, each with the end of its log."""
        text = []
        for task in self.tasks(dag_id, run_id):
            if task["state"] in ("failed", "up_for_retry"):
                log = self._log(dag_id, run_id, task)
                text += [f"task {task['task_id']}, try {task['try_number']}:", *log[-lines:]]
        return "\n".join(text) or "no task failed"

    def _log(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{max(task['try_number'], 1)}"
        content = self._get(path, map_index=task.get("map_index", -1))["content"]
        events = content if isinstance(content, list) else str(content).splitlines()
        return [
            f"  {e.get('timestamp') or ''} {e.get('event', '')}{_errors(e)}" if isinstance(e, dict) else f"  {e}"
            for e in events
        ]

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._call("GET", path, params=query)

    def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call(method, path, json=body)

    def _create(self, path: str, body: dict[str, Any]) -> None:
        try:
            self._send("POST", path, body)
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code != requests.codes.conflict:
                raise

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        for is_first_attempt in (True, False):
            if "Authorization" not in self._session.headers:
                self._log_in()
            response = self._session.request(
                method, f"{self.url}/api/v2{path}", timeout=TIMEOUT, headers={"Accept": "application/json"}, **arguments
            )
            if response.status_code == requests.codes.unauthorized and is_first_attempt:
                del self._session.headers["Authorization"]  # the token has expired
                continue
            if not response.ok:
                raise requests.HTTPError(
                    f"Airflow refused {method} {path}: {response.status_code} {response.text[:500]}", response=response
                )
            break
        return dict(response.json())

    def _log_in(self) -> None:
        body = {"username": USER, "password": self._password}
        response = self._session.post(f"{self.url}/auth/token", json=body, timeout=TIMEOUT)
        response.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _errors(event: dict[str, Any]) -> str:
    details = event.get("error_detail") or []
    return "".join(
        f"\n  {d.get('exc_type')}: {str(d.get('exc_value'))[:ERROR_LENGTH]}" for d in details if isinstance(d, dict)
    )
