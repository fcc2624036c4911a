"""Airflow's REST API (version 2), as far as the launcher needs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from weatherglass.launcher.credentials import USER
from weatherglass.net import direct_session

TIMEOUT = 60.0
"""Seconds for one answer; on a busy machine the first ones are slow, and a writer waits for SQLite's other writers."""
ERROR_LENGTH = 600
ACTIVE = ("running", "queued")
BUSY = Retry(
    status=5,
    connect=0,
    read=2,
    status_forcelist=(500, 503),
    allowed_methods=None,
    backoff_factor=0.25,
    raise_on_status=False,
)
"""On SQLite, Airflow's processes get in each other's way: a request that found the database locked is answered 500, has
changed nothing, and succeeds when it is sent again. What gets no answer may have been done: what is created has a name,
and is there already when it is created again."""


def session() -> requests.Session:
    """A session for the loopback: no proxy, no .netrc, and patience with a busy database."""
    session = direct_session()
    session.mount("http://", HTTPAdapter(max_retries=BUSY))
    return session


class AirflowApi:
    """A logged-in client. Every method raises `requests.RequestException` where Airflow does not answer or refuses."""

    def __init__(self, url: str, password: str):
        self.url = url
        self._password = password
        self._session = session()

    def healthy(self) -> str | None:
        """None if all four processes live, else which do not."""
        try:
            parts = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=TIMEOUT).json()
        except (requests.RequestException, ValueError):
            return "the api-server does not answer"
        wanted = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        ill = [part for part in wanted if (parts.get(part) or {}).get("status") != "healthy"]
        return f"not healthy: {', '.join(ill)}" if ill else None

    def dags(self) -> dict[str, dict[str, Any]]:
        """The DAGs that Airflow knows, by id."""
        return {dag["dag_id"]: dag for dag in self._get("/dags", limit=100, exclude_stale="true")["dags"]}

    def import_errors(self) -> list[str]:
        return [f"{e['filename']}: {e['stack_trace']}" for e in self._get("/importErrors")["import_errors"]]

    def pause(self, dag_id: str) -> None:
        self._send("PATCH", f"/dags/{dag_id}", {"is_paused": True})

    def unpause(self, dag_id: str) -> None:
        self._send("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def runs(self, dag_id: str, *states: str) -> list[dict[str, Any]]:
        """Runs in these states, or in any, newest first."""
        answer = self._get(f"/dags/{dag_id}/dagRuns", state=list(states), order_by="-run_after", limit=20)
        return list(answer["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self._get(f"/dags/{dag_id}/dagRuns/{run_id}")

    def trigger(self, dag_id: str, note: str) -> str:
        """Start a run; its id."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        self._create(f"/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "note": note})
        return run_id

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return list(self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool, or set it right."""
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": True}
        if any(known["name"] == name for known in self._get("/pools", limit=100)["pools"]):
            self._send("PATCH", f"/pools/{name}", pool)
        else:
            self._create("/pools", pool)

    def last_words(self, dag_id: str, run_id: str, lines: int = 15) -> str:
        """Which tasks of a run failed, and the end of their logs."""
        words = []
        for task in self.tasks(dag_id, run_id):
            if task["state"] in ("failed", "up_for_retry"):
                log = self._log(dag_id, run_id, task)
                words += [f"task {task['task_id']}, try {task['try_number']}:", *log[-lines:]]
        return "\n".join(words) or "no task failed"

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

    def _call(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        for first in (True, False):
            if "Authorization" not in self._session.headers:
                self._log_in()
            answer = self._session.request(
                method, f"{self.url}/api/v2{path}", timeout=TIMEOUT, headers={"Accept": "application/json"}, **what
            )
            if answer.status_code == requests.codes.unauthorized and first:
                del self._session.headers["Authorization"]  # the token is a day old
                continue
            if not answer.ok:
                raise requests.HTTPError(
                    f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}", response=answer
                )
            break
        return dict(answer.json())

    def _log_in(self) -> None:
        body = {"username": USER, "password": self._password}
        answer = self._session.post(f"{self.url}/auth/token", json=body, timeout=TIMEOUT)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _errors(event: dict[str, Any]) -> str:
    details = event.get("error_detail") or []
    return "".join(
        f"\n  {d.get('exc_type')}: {str(d.get('exc_value'))[:ERROR_LENGTH]}" for d in details if isinstance(d, dict)
    )
