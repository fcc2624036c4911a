"""The operator with a real job host: starts, attaches, waits, and tells why a job ended."""

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

from plugins import policy
from plugins.supervision import operator as operator_module
from plugins.supervision.operator import LongLivedJobOperator
from plugins.supervision.trigger import USER, JobTrigger
from tests.plugins.conftest import GENEROUS, HASTY
from tests.waiting import until
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.host import Host
from weatherglass.records import iso

pytestmark = pytest.mark.integration

Command = Callable[[str], list[str]]


def an_operator(folder: JobFolder, argv: list[str], **more: Any) -> LongLivedJobOperator:
    return LongLivedJobOperator(task_id="features", folder=folder.path, argv=argv, **more)


def deferred(operator: LongLivedJobOperator) -> JobTrigger:
    """Run the task up to where it waits; its trigger."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute({})
    assert caught.value.method_name == "ended"
    assert isinstance(caught.value.trigger, JobTrigger)
    return caught.value.trigger


async def event_of(trigger: JobTrigger) -> dict[str, Any]:
    async with asyncio.timeout(GENEROUS):
        return (await anext(aiter(trigger.run()))).payload


def test_it_starts_the_job_and_a_second_try_attaches(job_host: Host, folder: JobFolder, command: Command) -> None:
    deferred(an_operator(folder, command("polite")))
    assert folder.alive()
    first = folder.started()["pid"]
    deferred(an_operator(folder, command("polite")))
    assert folder.started()["pid"] == first


def test_a_crash_fails_the_try_with_the_last_words(
    job_host: Host, folder: JobFolder, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    operator = an_operator(folder, command("crash"))
    event = asyncio.run(event_of(deferred(operator)))
    with pytest.raises(AirflowException, match="the disk is full") as caught:
        operator.ended({}, event)
    assert "org.example.Disk.write" not in str(caught.value)
    deferred(an_operator(folder, command("polite")))
    assert folder.alive()


def test_a_command_that_cannot_be_started_fails_the_try(job_host: Host, folder: JobFolder) -> None:
    operator = an_operator(folder, ["/nowhere/spark-submit"])
    event = asyncio.run(event_of(deferred(operator)))
    with pytest.raises(AirflowException, match="/nowhere/spark-submit"):
        operator.ended({}, event)


def test_a_silent_job_fails_the_try(job_host: Host, folder: JobFolder, command: Command) -> None:
    operator = an_operator(folder, command("silent"), silence_seconds=1.5, grace_seconds=0)
    event = asyncio.run(event_of(deferred(operator)))
    with pytest.raises(AirflowException, match="no progress"):
        operator.ended({}, event)


def test_without_a_host_it_says_how_to_start_one(
    folder: JobFolder, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_module, "TAKE_SECONDS", 0.3)
    with pytest.raises(AirflowException, match=r"python -m weatherglass\.jobs\.host"):
        an_operator(folder, command("polite")).execute({})
    assert not folder.start.exists()


def test_a_try_after_a_clear_waits_for_the_old_process(job_host: Host, folder: JobFolder, command: Command) -> None:
    job_host.patience = HASTY
    deferred(an_operator(folder, command("deaf")))
    first = folder.started()["pid"]
    folder.request_stop(USER)
    deferred(an_operator(folder, command("polite")))
    assert folder.started()["pid"] != first
    assert folder.alive()
    assert not folder.stop.exists()


def test_a_stop_for_an_earlier_try_that_lands_late_starts_the_job_again(
    job_host: Host, folder: JobFolder, command: Command
) -> None:
    operator = an_operator(folder, command("polite"))
    earlier = deferred(operator)
    later = deferred(operator)

    async def scene() -> dict[str, Any]:
        watching = asyncio.create_task(event_of(later))
        await asyncio.sleep(0.2)
        await earlier.on_kill()
        return await watching

    event = asyncio.run(scene())
    assert not folder.alive()
    with pytest.raises(TaskDeferred):
        operator.ended({}, event)
    assert folder.alive()


def test_a_job_ended_by_the_stack_is_started_again_at_its_next_start(
    job_host: Host, folder: JobFolder, command: Command
) -> None:
    operator = an_operator(folder, command("polite"))
    trigger = deferred(operator)
    until("the job works, and heeds a stop", folder.heartbeat.exists)
    folder.request_stop("make down")
    until("the job stops", lambda: not folder.alive())
    event = asyncio.run(event_of(trigger))  # only now does the triggerer run again
    with pytest.raises(TaskDeferred):
        operator.ended({}, event)
    assert folder.alive()


def test_a_stop_by_somebody_else_fails_the_try_and_the_next_one_starts_it(
    job_host: Host, folder: JobFolder, command: Command
) -> None:
    operator = an_operator(folder, command("polite"))
    trigger = deferred(operator)
    until("the job works, and heeds a stop", folder.heartbeat.exists)

    async def scene() -> dict[str, Any]:
        watching = asyncio.create_task(event_of(trigger))
        await asyncio.sleep(0.2)
        folder.request_stop("make down")
        return await watching

    event = asyncio.run(scene())
    with pytest.raises(AirflowException, match="make down"):
        operator.ended({}, event)


@pytest.mark.parametrize(("hours_of_work", "delay"), [(1, timedelta(seconds=1)), (0, None)])
def test_only_a_job_that_had_worked_is_tried_again_at_once(
    folder: JobFolder, hours_of_work: int, delay: timedelta | None
) -> None:
    operator = an_operator(folder, [sys.executable], **policy.LONG_LIVED["default_args"])
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.heartbeat.touch()
    folder.write_json(folder.process, {"at": iso(datetime.now(UTC) - timedelta(hours=hours_of_work))})
    with pytest.raises(AirflowException, match="died without a word") as caught:
        operator.ended({}, {"ok": False, "why": folder.outcome().why, "stopped_by": None, "attended": True})
    assert operator.retry_policy is not None
    assert operator.retry_policy.evaluate(caught.value, try_number=9, max_tries=99).retry_delay == delay


def test_a_task_ended_before_it_waits_leaves_no_request(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = an_operator(folder, [sys.executable])

    def interrupted(*_: object) -> bool:
        operator.on_kill()
        raise KeyboardInterrupt

    monkeypatch.setattr(operator_module, "_within", interrupted)
    with pytest.raises(KeyboardInterrupt):
        operator.execute({})
    assert not folder.start.exists()


def test_two_tries_at_once_start_one_process(job_host: Host, folder: JobFolder, command: Command) -> None:
    from concurrent.futures import ThreadPoolExecutor

    operators = [an_operator(folder, command("polite")) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(deferred, operator) for operator in operators]:
            future.result()
    pid = folder.started()["pid"]
    os.kill(pid, signal.SIGKILL)
    until("no second process holds the lock", lambda: not folder.alive())
