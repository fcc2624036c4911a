"""The operator with a running job host: it starts jobs, attaches to them and reports why they ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from plugins.supervision import operator as operator_module
from plugins.supervision.operator import LongLivedJobOperator
from plugins.supervision.trigger import AIRFLOW_USER, JobTrigger
from tests.plugins.conftest import LONG_TIMEOUT, SHORT_TIMEOUTS
from tests.waiting import until
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.host import JobHost
from weatherglass.records import iso

pytestmark = pytest.mark.integration

Command = Callable[[str], list[str]]


def make_operator(folder: JobFolder, argv: list[str], **options: Any) -> LongLivedJobOperator:
    return LongLivedJobOperator(task_id="features", folder=folder.path, argv=argv, **options)


def deferred(operator: LongLivedJobOperator) -> JobTrigger:
    """Run the task until it defers and return its trigger."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute({})
    assert caught.value.method_name == "job_ended"
    assert isinstance(caught.value.trigger, JobTrigger)
    return caught.value.trigger


async def first_event(trigger: JobTrigger) -> dict[str, Any]:
    async with asyncio.timeout(LONG_TIMEOUT):
        return (await anext(aiter(trigger.run()))).payload


def test_the_first_try_starts_the_job_and_the_second_attaches(
    job_host: JobHost, folder: JobFolder, command: Command
) -> None:
    deferred(make_operator(folder, command("cooperative")))
    assert folder.alive()
    first = folder.started()["pid"]
    deferred(make_operator(folder, command("cooperative")))
    assert folder.started()["pid"] == first


def test_a_crash_fails_the_try_with_the_end_of_the_output(
    job_host: JobHost, folder: JobFolder, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    operator = make_operator(folder, command("crash"))
    event = asyncio.run(first_event(deferred(operator)))
    with pytest.raises(AirflowException, match="the disk is full") as caught:
        operator.job_ended({}, event)
    assert "org.example.Disk.write" not in str(caught.value)
    deferred(make_operator(folder, command("cooperative")))
    assert folder.alive()


def test_a_command_that_cannot_be_started_fails_the_try(job_host: JobHost, folder: JobFolder) -> None:
    operator = make_operator(folder, ["/nowhere/spark-submit"])
    event = asyncio.run(first_event(deferred(operator)))
    with pytest.raises(AirflowException, match="/nowhere/spark-submit"):
        operator.job_ended({}, event)


def test_a_job_without_heartbeat_fails_the_try(job_host: JobHost, folder: JobFolder, command: Command) -> None:
    operator = make_operator(folder, command("silent"), heartbeat_timeout=1.5, startup_grace=0)
    event = asyncio.run(first_event(deferred(operator)))
    assert event["code"] == "hung"
    with pytest.raises(AirflowException):
        operator.job_ended({}, event)


def test_without_a_host_the_error_names_the_command_that_starts_one(
    folder: JobFolder, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_module, "START_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(AirflowException, match=r"python -m weatherglass\.jobs\.host"):
        make_operator(folder, command("cooperative")).execute({})
    assert not folder.start.exists()


def test_a_try_after_a_clear_waits_for_the_end_of_the_old_process(
    job_host: JobHost, folder: JobFolder, command: Command
) -> None:
    job_host.timeouts = SHORT_TIMEOUTS
    deferred(make_operator(folder, command("ignores-stop")))
    first = folder.started()["pid"]
    folder.request_stop(AIRFLOW_USER)
    deferred(make_operator(folder, command("cooperative")))
    assert folder.started()["pid"] != first
    assert folder.alive()
    assert not folder.stop.exists()


def test_a_late_stop_for_an_earlier_try_restarts_the_job(
    job_host: JobHost, folder: JobFolder, command: Command
) -> None:
    operator = make_operator(folder, command("cooperative"))
    earlier = deferred(operator)
    later = deferred(operator)

    async def scenario() -> dict[str, Any]:
        running = asyncio.create_task(first_event(later))
        await asyncio.sleep(0.2)
        await earlier.on_kill()
        return await running

    event = asyncio.run(scenario())
    assert not folder.alive()
    with pytest.raises(TaskDeferred):
        operator.job_ended({}, event)
    assert folder.alive()


def test_a_job_stopped_by_make_down_is_restarted_at_the_next_start(
    job_host: JobHost, folder: JobFolder, command: Command
) -> None:
    operator = make_operator(folder, command("cooperative"))
    trigger = deferred(operator)
    until("the first heartbeat", folder.heartbeat.exists)
    folder.request_stop("make down")
    until("the end of the job", lambda: not folder.alive())
    event = asyncio.run(first_event(trigger))  # the triggerer starts after the end of the job
    with pytest.raises(TaskDeferred):
        operator.job_ended({}, event)
    assert folder.alive()


def test_a_stop_by_another_requester_fails_the_try(job_host: JobHost, folder: JobFolder, command: Command) -> None:
    operator = make_operator(folder, command("cooperative"))
    trigger = deferred(operator)
    until("the first heartbeat", folder.heartbeat.exists)

    async def scenario() -> dict[str, Any]:
        running = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.2)
        folder.request_stop("make down")
        return await running

    event = asyncio.run(scenario())
    with pytest.raises(AirflowException, match="make down"):
        operator.job_ended({}, event)


@pytest.mark.parametrize(
    ("hours_worked", "stopped_by", "restarted"), [(1, None, True), (0, None, False), (1, "make down", False)]
)
def test_only_a_job_that_had_worked_and_was_not_stopped_is_restarted_by_the_same_try(
    job_host: JobHost,
    folder: JobFolder,
    command: Command,
    hours_worked: int,
    stopped_by: str | None,
    restarted: bool,
) -> None:
    operator = make_operator(folder, command("cooperative"))
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.heartbeat.touch()
    folder.write_json(folder.process, {"at": iso(datetime.now(UTC) - timedelta(hours=hours_worked))})
    event = {"ok": False, "reason": folder.outcome().reason, "stopped_by": stopped_by, "observed": True}
    with pytest.raises(TaskDeferred if restarted else AirflowException):
        operator.job_ended({}, event)
    assert folder.alive() == restarted


def test_a_task_ended_before_it_defers_withdraws_its_request(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make_operator(folder, [sys.executable])

    def interrupted(*_: object) -> bool:
        operator.on_kill()
        raise KeyboardInterrupt

    monkeypatch.setattr(operator_module, "wait_until", interrupted)
    with pytest.raises(KeyboardInterrupt):
        operator.execute({})
    assert not folder.start.exists()


def test_concurrent_tries_start_one_process(job_host: JobHost, folder: JobFolder, command: Command) -> None:
    from concurrent.futures import ThreadPoolExecutor

    operators = [make_operator(folder, command("cooperative")) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(deferred, operator) for operator in operators]:
            future.result()
    pid = folder.started()["pid"]
    os.kill(pid, signal.SIGKILL)
    until("the lock to be released", lambda: not folder.alive())
