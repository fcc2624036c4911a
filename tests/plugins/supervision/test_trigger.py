"""The trigger with processes that are killed, hang, or are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from plugins.supervision import trigger as trigger_module
from plugins.supervision.trigger import AIRFLOW_USER, HeartbeatMonitor, JobTrigger
from tests.plugins.conftest import LONG_TIMEOUT, SHORT_TIMEOUTS
from tests.waiting import until
from weatherglass.jobs.folder import NO_EXIT_FILE, JobFolder, StartRequest
from weatherglass.jobs.host import JobHost

pytestmark = pytest.mark.integration

Command = Callable[[str], list[str]]


def start_job(folder: JobFolder, argv: list[str]) -> int:
    before = folder.started().get("start_id")
    folder.request_start(StartRequest(argv))

    def has_started() -> bool:
        """The heartbeat may exist before the host has written `process.json`."""
        return folder.alive() and folder.heartbeat.exists() and folder.started().get("start_id") != before

    until("the start of the job", has_started)
    return int(folder.started()["pid"])


async def first_event(trigger: BaseTrigger) -> dict[str, Any]:
    async with asyncio.timeout(LONG_TIMEOUT):
        async for event in trigger.run():
            return event.payload
    raise AssertionError("no event")


def test_the_serialized_trigger_can_be_restored() -> None:
    from airflow._shared.module_loading import import_string

    trigger = JobTrigger("/jobs/features", 7, 8)
    classpath, arguments = trigger.serialize()
    restored = import_string(classpath)(**arguments)
    assert type(restored) is JobTrigger
    assert restored.serialize() == trigger.serialize()


def test_a_killed_job_fires_a_failure(job_host: JobHost, folder: JobFolder, command: Command) -> None:
    pid = start_job(folder, command("cooperative"))

    async def scenario() -> dict[str, Any]:
        running = asyncio.create_task(first_event(JobTrigger(str(folder.path))))
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        return await running

    event = asyncio.run(scenario())
    assert not event["ok"]
    assert event["observed"]
    assert event["stopped_by"] is None
    assert (event["code"], event["reason"]) == ("ended", NO_EXIT_FILE)


def test_a_job_that_had_worked_is_restarted_without_an_event(
    job_host: JobHost, folder: JobFolder, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger_module, "MIN_WORK_SECONDS", 0.0)
    pid = start_job(folder, command("cooperative"))

    async def scenario() -> dict[str, Any]:
        running = asyncio.create_task(first_event(JobTrigger(str(folder.path))))
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(LONG_TIMEOUT):
            while folder.started()["pid"] == pid or not folder.heartbeat.exists():
                await asyncio.sleep(0.05)
        assert not running.done()
        folder.request_stop("make down")
        return await running

    event = asyncio.run(scenario())
    # The second process is supervised, and not restarted when it is stopped.
    assert event["stopped_by"] == "make down"
    assert not folder.alive()


def test_a_job_that_the_host_cannot_restart_fires(
    folder: JobFolder, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger_module, "MIN_WORK_SECONDS", 0.0)
    monkeypatch.setattr(trigger_module, "RESTART_TIMEOUT_SECONDS", 0.2)
    host = JobHost(folder.path.parent)
    folder.request_start(StartRequest(command("cooperative")))
    until("the start of the job", lambda: folder.heartbeat.exists() or host.poll())
    host.close()

    async def scenario() -> dict[str, Any]:
        running = asyncio.create_task(first_event(JobTrigger(str(folder.path))))
        await asyncio.sleep(0.2)
        os.kill(folder.started()["pid"], signal.SIGKILL)
        return await running

    event = asyncio.run(scenario())
    assert (event["ok"], event["observed"], event["stopped_by"]) == (False, True, None)
    # No later host may start the job while nothing supervises it.
    assert not folder.restart.exists()


def test_a_kill_by_a_user_withdraws_the_restart(folder: JobFolder) -> None:
    folder.request_restart()
    asyncio.run(JobTrigger(str(folder.path)).on_kill())
    assert not folder.restart.exists()


def test_a_job_without_heartbeat_is_killed(job_host: JobHost, folder: JobFolder, command: Command) -> None:
    start_job(folder, command("silent"))
    event = asyncio.run(first_event(JobTrigger(str(folder.path), heartbeat_timeout=1.5, startup_grace=0)))
    assert not folder.alive()
    assert not event["ok"]
    assert event["code"] == "hung"


def test_a_job_may_be_without_heartbeat_during_its_startup_grace(
    job_host: JobHost, folder: JobFolder, command: Command
) -> None:
    start_job(folder, command("silent"))

    async def scenario() -> None:
        running = asyncio.create_task(
            first_event(JobTrigger(str(folder.path), heartbeat_timeout=0.2, startup_grace=3600))
        )
        await asyncio.sleep(2)
        assert not running.done()
        assert folder.alive()
        running.cancel()

    asyncio.run(scenario())


def test_progress_of_a_working_job_is_logged_and_the_job_keeps_running(
    job_host: JobHost, folder: JobFolder, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_job(folder, command("cooperative"))

    logged: list[str] = []

    async def scenario() -> None:
        trigger = JobTrigger(str(folder.path), heartbeat_timeout=5, startup_grace=0)
        monkeypatch.setattr(
            JobTrigger, "log", SimpleNamespace(info=lambda message, *values: logged.append(message % values))
        )
        running = asyncio.create_task(first_event(trigger))
        while not any("batch" in line for line in logged):
            await asyncio.sleep(0.05)
        running.cancel()  # as at shutdown of the triggerer
        await asyncio.gather(running, return_exceptions=True)
        await trigger.cleanup()

    asyncio.run(asyncio.wait_for(scenario(), LONG_TIMEOUT))
    assert folder.alive()
    assert not folder.stop.exists()
    assert not folder.kill.exists()


def test_a_job_that_had_ended_before_the_trigger_started_was_not_observed(folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.request_stop("make down")
    folder.write_json(folder.exit, {"ok": True, "reason": "stopped by make down"})
    event = asyncio.run(first_event(JobTrigger(str(folder.path))))
    assert event == {
        "ok": True,
        "code": "ended",
        "reason": "stopped by make down",
        "stopped_by": "make down",
        "observed": False,
    }


@pytest.mark.parametrize("mode", ["cooperative", "ignores-stop"])
def test_a_kill_by_a_user_stops_the_job_by_force_if_necessary(
    job_host: JobHost, folder: JobFolder, command: Command, mode: str
) -> None:
    if mode == "ignores-stop":
        job_host.timeouts = SHORT_TIMEOUTS
    start_job(folder, command(mode))

    async def scenario() -> None:
        trigger = JobTrigger(str(folder.path))
        running = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.wait_for(trigger.on_kill(), 2 * LONG_TIMEOUT)

    asyncio.run(scenario())
    assert not folder.alive()
    assert folder.outcome().ok == (mode == "cooperative")
    assert folder.stop_requested_by() == AIRFLOW_USER


def test_a_late_kill_does_not_affect_the_next_start(job_host: JobHost, folder: JobFolder, command: Command) -> None:
    pid = start_job(folder, command("cooperative"))

    async def scenario() -> None:
        trigger = JobTrigger(str(folder.path))
        event = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        await event
        start_job(folder, command("cooperative"))
        await trigger.on_kill()

    asyncio.run(scenario())
    assert folder.alive()
    assert not folder.stop.exists()


def test_a_heartbeat_with_any_file_time_resets_the_heartbeat_monitor(folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.heartbeat.touch()
    os.utime(folder.heartbeat, (0, 0))  # 1970, as after a correction of the clock
    monitor = HeartbeatMonitor(folder, now=100)
    assert monitor.seconds(101) == 1
    os.utime(folder.heartbeat, (1, 1))
    assert monitor.seconds(140) == 0
    assert monitor.seconds(150) == 10
