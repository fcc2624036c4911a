"""Jobs on a real Ray head with token authentication, through the operator and its trigger."""

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
from plugins.ray_submission.trigger import RayJobTrigger, readable
from tests.conftest import free_ports, make_settings
from tests.ray_heads import ray_heads
from tests.waiting import until
from weatherglass.launcher.credentials import Credentials
from weatherglass.settings import LOOPBACK

GENEROUS = 120.0
TOKEN = "a-token-made-for-this-test-0123456789abcdef"


def a_context(run_id: str) -> Any:
    return {"ti": SimpleNamespace(dag_id="train_models", task_id="train_first", run_id=run_id)}


def test_the_id_of_a_submission_is_the_same_for_every_try_and_another_for_every_run() -> None:
    first, second = (submission_id_of(a_context(f"manual__2026-01-0{day}T00:00:00+00:00")) for day in (1, 2))
    assert first == submission_id_of(a_context("manual__2026-01-01T00:00:00+00:00"))
    assert first != second
    assert "/" not in first
    assert "+" not in first


def test_a_progress_bar_is_one_line() -> None:
    assert readable("one\n\n 10%\r 50%\r100%\nlast") == ["one", "100%", "last"]


def test_a_token_is_read_where_ray_reads_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert token_from({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}) == "secret"
    assert token_from({"RAY_AUTH_TOKEN": "other", "RAY_AUTH_TOKEN_PATH": "/nowhere"}) == "other"
    assert token_from({}) is None


def test_a_head_that_is_not_there_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(RayHeadError, match=f"{LOOPBACK}:{port}"):
        RayJobs(f"http://{LOOPBACK}:{port}").find("any")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is not the matter here."""
    monkeypatch.setattr(client, "TIMEOUT", GENEROUS)
    monkeypatch.setattr(client, "AGENT_PATIENCE", GENEROUS)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a head's dashboard."""
    settings = make_settings(tmp_path_factory.mktemp("ray"), ray_cpus=1)
    Credentials(settings)  # makes the folder
    (settings.secrets_dir / "ray_token").write_text(TOKEN)
    url, output = settings.ray_dashboard, settings.state_dir / "head.log"
    with ray_heads(settings, output) as start:
        process = start()

        def answers() -> bool:
            assert process.poll() is None, output.read_text()
            try:
                return httpx.get(f"{url}/api/version", headers={"Authorization": f"Bearer {TOKEN}"}).is_success
            except httpx.HTTPError:
                return False

        until("the head's dashboard", answers)
        yield url


@pytest.fixture
def with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


def an_operator(head: str, code: str) -> RayJobOperator:
    return RayJobOperator(task_id="train_first", dashboard=head, argv=[sys.executable, "-c", code])


def deferred(operator: RayJobOperator, run: str) -> RayJobTrigger:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(a_context(run))
    trigger = caught.value.trigger
    assert isinstance(trigger, RayJobTrigger)
    trigger.look_seconds = 0.3
    return trigger


async def event_of(trigger: RayJobTrigger) -> dict[str, Any]:
    async with asyncio.timeout(GENEROUS):
        return (await anext(aiter(trigger.run()))).payload


@pytest.mark.integration
@pytest.mark.usefixtures("with_token")
class TestOnRay:
    def test_a_job_gets_the_settings_and_succeeds(self, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEATHERGLASS_POLL_MINUTES", "4")
        operator = an_operator(head, "import os; print('polls every', os.environ['WEATHERGLASS_POLL_MINUTES'])")
        event = asyncio.run(event_of(deferred(operator, "succeeds")))
        assert event["status"] == "SUCCEEDED", event
        assert "polls every 4" in event["words"]
        operator.ended({}, event)

    def test_a_failed_job_fails_the_try_with_its_last_words_and_a_retry_runs_it_anew(self, head: str) -> None:
        operator = an_operator(head, "raise SystemExit('no history: run prepare_history first')")
        for _ in range(2):
            event = asyncio.run(event_of(deferred(operator, "fails")))
            assert event["status"] == "FAILED"
            with pytest.raises(AirflowException, match="no history"):
                operator.ended({}, event)

    def test_a_second_try_attaches_and_a_users_kill_stops_the_job(self, head: str) -> None:
        operator = an_operator(head, "import time; print('at work', flush=True); time.sleep(600)")
        deferred(operator, "long")
        jobs = RayJobs(head, TOKEN)
        submission = submission_id_of(a_context("long"))
        until("the job to be at work", lambda: "at work" in jobs.log(submission).splitlines())
        second = deferred(operator, "long")
        assert jobs.log(submission).splitlines().count("at work") == 1

        async def scene() -> dict[str, Any]:
            watching = asyncio.create_task(event_of(second))
            await second.on_kill()
            return await watching

        assert asyncio.run(scene())["status"] == "STOPPED"

    def test_a_job_the_head_does_not_know_is_lost(self, head: str) -> None:
        event = asyncio.run(event_of(RayJobTrigger(head, "of-an-earlier-head")))
        assert event["status"] == "LOST"

    def test_a_wrong_token_is_said(self, head: str) -> None:
        with pytest.raises(RayHeadError, match="RAY_AUTH_TOKEN_PATH"):
            RayJobs(head, "wrong").find("any")
