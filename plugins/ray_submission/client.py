"""Ray's job API over plain HTTP: what these calls need weighs less than importing Ray into Airflow.

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

TIMEOUT = 20.0
"""Seconds for one answer. The first submission starts an agent on the head, which takes a few."""


class RayHeadError(RuntimeError):
    """The head did not answer, or refused."""


AGENT_PATIENCE = 90.0
"""Seconds for which a head that is still starting is waited for."""


@dataclass(frozen=True)
class Submission:
    """A job as Ray sees it: `status` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    status: str
    message: str

    @property
    def ended(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class RayJobs:
    """The jobs of one Ray head.

    Args:
        dashboard: the URL of the head's dashboard.
        token: what the head's token authentication wants; None if it is off.

    Every method raises RayHeadError where the head does not answer or refuses.
    """

    def __init__(self, dashboard: str, token: str | None = None):
        self.dashboard = dashboard.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def find(self, submission_id: str) -> Submission | None:
        """The job of this id; None if the head knows none."""
        answer = self._call("GET", f"/{quote(submission_id)}", absent_is_none=True)
        return None if answer is None else Submission(str(answer["status"]), str(answer.get("message") or ""))

    def submit(self, submission_id: str, entrypoint: str, environment: Mapping[str, str]) -> None:
        body = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "runtime_env": {"env_vars": dict(environment)},
        }
        end = time.monotonic() + AGENT_PATIENCE
        while True:
            try:
                self._call("POST", "/", json=body)
                return
            except RayHeadError as error:
                # A head that has just started answers before its agent takes jobs.
                if "No available agent" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(1)

    def log(self, submission_id: str) -> str:
        """All that the job has printed so far."""
        answer = self._call("GET", f"/{quote(submission_id)}/logs", absent_is_none=True)
        return str((answer or {}).get("logs") or "")

    def stop(self, submission_id: str) -> None:
        self._call("POST", f"/{quote(submission_id)}/stop", absent_is_none=True)

    def _call(self, method: str, path: str, absent_is_none: bool = False, **what: Any) -> dict[str, Any] | None:
        url = f"{self.dashboard}/api/jobs{path}"
        try:
            with direct_session() as session:
                answer = session.request(method, url, headers=self._headers, timeout=TIMEOUT, **what)
        except requests.RequestException as error:
            raise RayHeadError(
                f"the Ray head does not answer at {self.dashboard} ({str(error) or type(error).__name__}); "
                "see whether it runs and read its log (docs/troubleshooting.md, Logs), "
                "or set WEATHERGLASS_RAY_DASHBOARD_PORT to where its dashboard is"
            ) from None
        if answer.status_code == requests.codes.not_found and absent_is_none:
            return None
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise RayHeadError(
                f"the Ray head at {self.dashboard} refuses our token; "
                "RAY_AUTH_TOKEN_PATH must name the file with which the head was started"
            )
        if not answer.ok:
            last = (answer.text.strip().splitlines() or [""])[-1]
            raise RayHeadError(f"the Ray head refused {method} {path}: {answer.status_code} {last}")
        try:
            content = answer.json()
        except ValueError:
            raise RayHeadError(f"{url} is no Ray head: it answered {answer.text[:80]!r}") from None
        return content if isinstance(content, dict) else {}


def token_from(environment: Mapping[str, str]) -> str | None:
    """The token that Ray's own clients would use: from RAY_AUTH_TOKEN, else the file RAY_AUTH_TOKEN_PATH."""
    if token := environment.get("RAY_AUTH_TOKEN"):
        return token.strip()
    file = environment.get("RAY_AUTH_TOKEN_PATH")
    return Path(file).read_text(encoding="utf-8").strip() if file else None
