"""Client of Ray's job REST API. Plain HTTP, because importing Ray into Airflow takes too much time and memory.

Source: docs.ray.io, "Ray Jobs REST API"; the token's header as in Ray's `http_token_authentication`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from weatherglass.net import direct_session

TIMEOUT_SECONDS = 20.0
"""Timeout of one request. The first submission starts an agent on the head, which takes a few seconds."""


class RayHeadError(RuntimeError):
    """The head did not respond, or it rejected a request."""


AGENT_TIMEOUT_SECONDS = 90.0
"""How long to wait for the job agent of a head that is starting."""


@dataclass(frozen=True)
class Submission:
    """State of a job in Ray; `status` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    status: str
    message: str

    @property
    def ended(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class RayJobs:
    """The jobs of one Ray head.

    Args:
        dashboard: the URL of the head's dashboard.
        token: token of the head's token authentication; None if it is disabled.

    Every method raises RayHeadError if the head does not respond or rejects the request.
    """

    def __init__(self, dashboard: str, token: str | None = None):
        self.dashboard = dashboard.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def find(self, submission_id: str) -> Submission | None:
        """The job with this id; None if there is none."""
        response = self._call("GET", f"/{quote(submission_id)}", none_if_missing=True)
        return None if response is None else Submission(str(response["status"]), str(response.get("message") or ""))

    def submit(self, submission_id: str, entrypoint: str, environment: Mapping[str, str]) -> None:
        body = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "runtime_env": {"env_vars": dict(environment)},
        }
        end = time.monotonic() + AGENT_TIMEOUT_SECONDS
        while True:
            try:
                self._call("POST", "/", json=body)
                return
            except RayHeadError as error:
                # A head that has just started responds before its agent accepts jobs.
                if "No available agent" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(1)

    def log(self, submission_id: str) -> str:
        """The output of the job so far."""
        response = self._call("GET", f"/{quote(submission_id)}/logs", none_if_missing=True)
        return str((response or {}).get("logs") or "")

    def stop(self, submission_id: str) -> None:
        self._call("POST", f"/{quote(submission_id)}/stop", none_if_missing=True)

    def _call(self, method: str, path: str, none_if_missing: bool = False, **request: Any) -> dict[str, Any] | None:
        url = f"{self.dashboard}/api/jobs{path}"
        try:
            with direct_session() as session:
                response = session.request(method, url, headers=self._headers, timeout=TIMEOUT_SECONDS, **request)
        except requests.RequestException as error:
            raise RayHeadError(
                f"the Ray head does not respond at {self.dashboard} ({str(error) or type(error).__name__}); "
                "check that it runs and read its log (docs/troubleshooting.md, Logs), "
                "or set WEATHERGLASS_RAY_DASHBOARD_PORT to the port of its dashboard"
            ) from None
        if response.status_code == requests.codes.not_found and none_if_missing:
            return None
        if response.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise RayHeadError(
                f"the Ray head at {self.dashboard} rejects the token; "
                "RAY_AUTH_TOKEN_PATH must be the file that the head was started with"
            )
        if not response.ok:
            last_line = (response.text.strip().splitlines() or [""])[-1]
            raise RayHeadError(f"the Ray head rejected {method} {path}: {response.status_code} {last_line}")
        try:
            content = response.json()
        except ValueError:
            raise RayHeadError(f"{url} is not a Ray head, response: {response.text[:80]!r}") from None
        return content if isinstance(content, dict) else {}


def token_from(environment: Mapping[str, str]) -> str | None:
    """The token that Ray's own clients use: RAY_AUTH_TOKEN, or the content of the file RAY_AUTH_TOKEN_PATH.

    Raises:
        RayHeadError: the token is empty.
    """
    origin, token = "RAY_AUTH_TOKEN", environment.get("RAY_AUTH_TOKEN")
    if not token:
        origin = environment.get("RAY_AUTH_TOKEN_PATH", "")
        if not origin:
            return None
        token = Path(origin).read_text(encoding="utf-8")
    if not token.strip():
        raise RayHeadError(f"the token in {origin} is empty; restore it and restart the head with it")
    return token.strip()
