"""The client of Ray's job API against scripted responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from plugins.ray_submission import client
from plugins.ray_submission.client import RayHeadError, RayJobs, Submission


class Head:
    """Returns the given responses in order, the last one repeatedly; a clock that runs while the client sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *responses: tuple[int, str]):
        self.responses, self.now = list(responses), 0.0
        self.requests: list[tuple[str, str, Any, Any]] = []
        monkeypatch.setattr(requests.Session, "request", self.respond)
        monkeypatch.setattr(client.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(client.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def respond(self, method: str, url: str, headers: Any = None, json: Any = None, **_: Any) -> requests.Response:
        self.requests.append((method, url, headers, json))
        response = requests.Response()
        response.status_code, text = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        response._content = text.encode()
        return response


JOBS = RayJobs("http://head:8265/", "a-token")
NO_AGENT = (500, "Traceback\nException: No available agent to submit job")


def test_calls_have_rays_paths_the_token_and_the_environment_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(monkeypatch, (200, json.dumps({"status": "RUNNING", "message": None, "logs": "line"})))
    JOBS.submit("a/b", "python -m x", {"A": "1"})
    assert JOBS.find("a/b") == Submission("RUNNING", "")
    assert JOBS.log("a/b") == "line"
    JOBS.stop("a/b")
    url, headers = "http://head:8265/api/jobs", {"Authorization": "Bearer a-token"}
    body = {"submission_id": "a/b", "entrypoint": "python -m x", "runtime_env": {"env_vars": {"A": "1"}}}
    assert [request[:3] for request in head.requests] == [
        ("POST", f"{url}/", headers),
        ("GET", f"{url}/a/b", headers),
        ("GET", f"{url}/a/b/logs", headers),
        ("POST", f"{url}/a/b/stop", headers),
    ]
    assert head.requests[0][3] == body
    RayJobs("http://head:8265").stop("c")
    assert head.requests[-1][2] == {}


def test_a_missing_job_is_none_and_a_missing_path_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Head(monkeypatch, (404, "not found"))
    assert JOBS.find("x") is None
    assert JOBS.log("x") == ""
    JOBS.stop("x")
    with pytest.raises(RayHeadError, match="404 not found"):
        JOBS.submit("x", "y", {})


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((401, ""), "token"),
        ((403, ""), "token"),
        ((500, "first\nlast\n"), "500 last$"),
        ((500, ""), "500 $"),
        ((200, "<html>"), "not a Ray head"),
    ],
)
def test_a_refused_call_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, response: tuple[int, str], message: str
) -> None:
    Head(monkeypatch, response)
    with pytest.raises(RayHeadError, match=message):
        JOBS.find("x")


def test_a_submission_is_repeated_until_the_head_has_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(monkeypatch, NO_AGENT, NO_AGENT, (200, "{}"))
    JOBS.submit("x", "y", {})
    assert len(head.requests) == 3
    assert head.now == 2
    endless = Head(monkeypatch, NO_AGENT)
    with pytest.raises(RayHeadError, match="No available agent"):
        JOBS.submit("x", "y", {})
    assert client.AGENT_TIMEOUT_SECONDS < endless.now <= client.AGENT_TIMEOUT_SECONDS + 1
    other = Head(monkeypatch, (500, "other"))
    with pytest.raises(RayHeadError, match="other"):
        JOBS.submit("x", "y", {})
    assert len(other.requests) == 1


@pytest.mark.parametrize(
    ("status", "ended"), [("PENDING", False), ("RUNNING", False), ("SUCCEEDED", True), ("FAILED", True)]
)
def test_a_submission_has_ended_with_success_or_failure(status: str, ended: bool) -> None:
    assert Submission(status, "").ended == ended
