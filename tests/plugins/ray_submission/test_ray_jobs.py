"""The operator and its trigger with jobs on a Ray head with token authentication."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from plugins.ray_submission import client
from plugins.ray_submission.client import RayHeadError, RayJobs, token_from
from plugins.ray_submission.operator import RayJobOperator, submission_id_of
from plugins.ray_submission.trigger import RayJobTrigger, readable_lines
from tests.conftest import free_ports, make_settings
from tests.ray_heads import ray_heads
from tests.waiting import until
from weatherglass.launcher.credentials import Credentials
from weatherglass.settings import LOOPBACK

LONG_TIMEOUT = 120.0
TOKEN = "0123456789abcdef" * 4


def context(run_id: str) -> Any:
    return {"ti": SimpleNamespace(dag_id="train_models", task_id="train_first", run_id=run_id)}


def test_the_submission_id_is_the_same_for_every_try_and_differs_between_runs() -> None:
    first, second = (submission_id_of(context(f"manual__2026-01-0{day}T00:00:00+00:00")) for day in (1, 2))
    assert first == submission_id_of(context("manual__2026-01-01T00:00:00+00:00"))
    assert first != second
    assert "/" not in first
    assert "+" not in first


def test_a_progress_bar_becomes_one_line() -> None:
    assert readable_lines("one\n\n 10%\r 50%\r100%\nlast") == ["one", "100%", "last"]


def test_the_token_is_read_from_ray_environment_variables(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert token_from({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}) == "secret"
    assert token_from({"RAY_AUTH_TOKEN": "other", "RAY_AUTH_TOKEN_PATH": "/nowhere"}) == "other"
    assert token_from({}) is None


def test_an_empty_token_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    for environment in ({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}, {"RAY_AUTH_TOKEN": " "}):
        with pytest.raises(RayHeadError):
            token_from(environment)


def test_an_unreachable_head_is_named_in_the_error() -> None:
    (port,) = free_ports(1)
    with pytest.raises(RayHeadError, match=f"{LOOPBACK}:{port}"):
        RayJobs(f"http://{LOOPBACK}:{port}").find("any")


@pytest.fixture(autouse=True)
def long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests must pass on a slow machine."""
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", LONG_TIMEOUT)
    monkeypatch.setattr(client, "AGENT_TIMEOUT_SECONDS", LONG_TIMEOUT)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a head's dashboard."""
    settings = make_settings(tmp_path_factory.mktemp("ray"), ray_cpus=1)
    Credentials(settings)  # creates the folder
    (settings.secrets_dir / "ray_token").write_text(TOKEN)
    url, output = settings.ray_dashboard, settings.state_dir / "head.log"
    with ray_heads(settings, output) as start:
        process = start()

        def responds() -> bool:
            assert process.poll() is None, output.read_text()
            try:
                return httpx.get(f"{url}/api/version", headers={"Authorization": f"Bearer {TOKEN}"}).is_success
            except httpx.HTTPError:
                return False

        until("the head's dashboard", responds)
        yield url


@pytest.fixture
def with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


def make_operator(head: str, code: str) -> RayJobOperator:
    return RayJobOperator(task_id="train_first", dashboard=head, argv=[sys.executable, "-c", code])


def deferred(operator: RayJobOperator, run: str) -> RayJobTrigger:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context(run))
    trigger = caught.value.trigger
    assert isinstance(trigger, RayJobTrigger)
    trigger.poll_seconds = 0.3
    return trigger


async def first_event(trigger: RayJobTrigger) -> dict[str, Any]:
    async with asyncio.timeout(LONG_TIMEOUT):
        return (await anext(aiter(trigger.run()))).payload


@pytest.mark.integration
@pytest.mark.usefixtures("with_token")
class TestOnRay:
    def test_a_job_receives_the_settings_and_succeeds(self, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEATHERGLASS_POLL_MINUTES", "4")
        operator = make_operator(head, "import os; print('poll minutes', os.environ['WEATHERGLASS_POLL_MINUTES'])")
        event = asyncio.run(first_event(deferred(operator, "succeeds")))
        assert event["status"] == "SUCCEEDED", event
        assert "poll minutes 4" in event["log_tail"]
        operator.job_ended({}, event)

    def test_a_failed_job_fails_the_try_with_its_output_and_a_retry_runs_it_again(self, head: str) -> None:
        operator = make_operator(head, "raise SystemExit('no history: run prepare_history first')")
        for _ in range(2):
            event = asyncio.run(first_event(deferred(operator, "fails")))
            assert event["status"] == "FAILED"
            with pytest.raises(AirflowException, match="no history"):
                operator.job_ended({}, event)

    def test_a_second_try_attaches_and_a_kill_by_a_user_stops_the_job(self, head: str) -> None:
        operator = make_operator(head, "import time; print('working', flush=True); time.sleep(600)")
        deferred(operator, "long")
        jobs = RayJobs(head, TOKEN)
        submission = submission_id_of(context("long"))
        until("the job to print", lambda: "working" in jobs.log(submission).splitlines())
        second = deferred(operator, "long")
        assert jobs.log(submission).splitlines().count("working") == 1

        async def scenario() -> dict[str, Any]:
            running = asyncio.create_task(first_event(second))
            await second.on_kill()
            return await running

        assert asyncio.run(scenario())["status"] == "STOPPED"

    def test_a_job_unknown_to_the_head_is_lost(self, head: str) -> None:
        event = asyncio.run(first_event(RayJobTrigger(head, "of-an-earlier-head")))
        assert event["status"] == "LOST"

    def test_a_wrong_token_is_reported(self, head: str) -> None:
        with pytest.raises(RayHeadError, match="RAY_AUTH_TOKEN_PATH"):
            RayJobs(head, "wrong").find("any")
