"""The trigger over real processes that die, hang, and are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from plugins.supervision.trigger import USER, JobTrigger, SilenceCheck
from tests.plugins.conftest import GENEROUS, HASTY
from tests.waiting import until
from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.jobs.host import Host

pytestmark = pytest.mark.integration

Command = Callable[[str], list[str]]


def started(folder: JobFolder, argv: list[str]) -> int:
    before = folder.started().get("start_id")
    folder.request_start(StartRequest(argv))

    def noted() -> bool:
        """The job may beat before the host has noted whom it started."""
        return folder.alive() and folder.heartbeat.exists() and folder.started().get("start_id") != before

    until("the job", noted)
    return int(folder.started()["pid"])


async def event_of(trigger: BaseTrigger) -> dict[str, Any]:
    async with asyncio.timeout(GENEROUS):
        async for event in trigger.run():
            return event.payload
    raise AssertionError("the trigger ended without an event")


def test_it_is_found_again_by_the_name_it_gives() -> None:
    from airflow._shared.module_loading import import_string

    trigger = JobTrigger("/jobs/features", 7, 8)
    classpath, arguments = trigger.serialize()
    again = import_string(classpath)(**arguments)
    assert type(again) is JobTrigger
    assert again.serialize() == trigger.serialize()


def test_a_killed_job_is_found_dead(job_host: Host, folder: JobFolder, command: Command) -> None:
    pid = started(folder, command("polite"))

    async def scene() -> dict[str, Any]:
        watching = asyncio.create_task(event_of(JobTrigger(str(folder.path))))
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        return await watching

    event = asyncio.run(scene())
    assert not event["ok"]
    assert event["attended"]
    assert event["stopped_by"] is None
    assert "without a word" in event["why"]


def test_a_silent_job_is_killed(job_host: Host, folder: JobFolder, command: Command) -> None:
    started(folder, command("silent"))
    event = asyncio.run(event_of(JobTrigger(str(folder.path), silence_seconds=1.5, grace_seconds=0)))
    assert not folder.alive()
    assert not event["ok"]
    assert "no progress" in event["why"]


def test_a_silent_job_has_its_grace(job_host: Host, folder: JobFolder, command: Command) -> None:
    started(folder, command("silent"))

    async def scene() -> None:
        watching = asyncio.create_task(event_of(JobTrigger(str(folder.path), silence_seconds=0.2, grace_seconds=3600)))
        await asyncio.sleep(2)
        assert not watching.done()
        assert folder.alive()
        watching.cancel()

    asyncio.run(scene())


def test_a_working_job_is_left_alone_and_told_of(
    job_host: Host, folder: JobFolder, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(folder, command("polite"))

    told: list[str] = []

    async def scene() -> None:
        trigger = JobTrigger(str(folder.path), silence_seconds=5, grace_seconds=0)
        monkeypatch.setattr(JobTrigger, "log", SimpleNamespace(info=lambda words, *about: told.append(words % about)))
        watching = asyncio.create_task(event_of(trigger))
        while not any("batch" in line for line in told):
            await asyncio.sleep(0.05)
        watching.cancel()  # as at a shutdown of the triggerer
        await asyncio.gather(watching, return_exceptions=True)
        await trigger.cleanup()

    asyncio.run(asyncio.wait_for(scene(), GENEROUS))
    assert folder.alive()
    assert not folder.stop.exists()
    assert not folder.kill.exists()


def test_a_job_that_ended_while_nobody_watched_was_not_attended(folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.request_stop("make down")
    folder.write_json(folder.exit, {"ok": True, "why": "stopped, asked by make down"})
    event = asyncio.run(event_of(JobTrigger(str(folder.path))))
    assert event == {
        "ok": True,
        "why": "stopped, asked by make down",
        "stopped_by": "make down",
        "attended": False,
    }


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_a_users_kill_stops_the_job_gently_or_not(
    job_host: Host, folder: JobFolder, command: Command, manner: str
) -> None:
    if manner == "deaf":
        job_host.patience = HASTY
    started(folder, command(manner))

    async def scene() -> None:
        trigger = JobTrigger(str(folder.path))
        watching = asyncio.create_task(event_of(trigger))
        await asyncio.sleep(0.2)
        watching.cancel()
        await asyncio.wait_for(trigger.on_kill(), 2 * GENEROUS)

    asyncio.run(scene())
    assert not folder.alive()
    assert folder.outcome().ok == (manner == "polite")
    assert folder.stop_requested_by() == USER


def test_a_late_kill_does_not_reach_the_next_start(job_host: Host, folder: JobFolder, command: Command) -> None:
    pid = started(folder, command("polite"))

    async def scene() -> None:
        trigger = JobTrigger(str(folder.path))
        event = asyncio.create_task(event_of(trigger))
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        await event
        started(folder, command("polite"))
        await trigger.on_kill()

    asyncio.run(scene())
    assert folder.alive()
    assert not folder.stop.exists()


def test_a_heartbeat_ends_the_silence_whatever_the_clock_says(folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.heartbeat.touch()
    os.utime(folder.heartbeat, (0, 0))  # 1970: the clock was corrected, or the laptop slept
    silence = SilenceCheck(folder, now=100)
    assert silence.seconds(101) == 1
    os.utime(folder.heartbeat, (1, 1))
    assert silence.seconds(140) == 0
    assert silence.seconds(150) == 10
