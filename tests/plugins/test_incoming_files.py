"""The trigger that waits for complete files."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from plugins.incoming_files import IncomingFilesTrigger
from producer.incoming import SettledFiles
from tests.plugins.conftest import LONG_TIMEOUT
from weatherglass.settings_errors import variable

POLLS = 10
"""So many polls show that a file is not taken."""


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The watched folder of the settings; it does not exist."""
    monkeypatch.setenv(variable("incoming_dir"), str(tmp_path / "incoming"))
    return tmp_path / "incoming"


class Polls:
    """Counts the polls of a trigger."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.count = 0
        poll = SettledFiles.poll

        def counted(files: SettledFiles, now: float) -> list[Path]:
            self.count += 1
            return poll(files, now)

        monkeypatch.setattr(SettledFiles, "poll", counted)

    async def wait(self) -> None:
        """Wait for `POLLS` further polls."""
        end = self.count + POLLS
        async with asyncio.timeout(LONG_TIMEOUT):
            while self.count < end:
                await asyncio.sleep(0.01)


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Polls:
    return Polls(monkeypatch)


def trigger() -> IncomingFilesTrigger:
    return IncomingFilesTrigger(seconds=0.02, poll_seconds=0.01)


async def first_event(waiting: IncomingFilesTrigger) -> list[str]:
    async with asyncio.timeout(LONG_TIMEOUT):
        async for event in waiting.run():
            return event.payload
    raise AssertionError("no event")


def test_the_serialized_trigger_can_be_restored() -> None:
    from airflow._shared.module_loading import import_string

    classpath, arguments = trigger().serialize()
    restored = import_string(classpath)(**arguments)
    assert type(restored) is IncomingFilesTrigger
    assert restored.serialize() == trigger().serialize()


def test_it_fires_when_a_file_is_complete(incoming: Path, polls: Polls) -> None:
    incoming.mkdir()
    (incoming / "b.csv.part").write_text("x")

    async def scenario() -> list[str]:
        waiting = asyncio.create_task(first_event(trigger()))
        await polls.wait()
        assert not waiting.done()
        (incoming / "b.csv.part").rename(incoming / "b.csv")
        return await waiting

    assert asyncio.run(scenario()) == [str(incoming / "b.csv")]


def test_a_folder_that_cannot_be_read_is_waited_for(incoming: Path, polls: Polls) -> None:
    async def scenario() -> list[str]:
        waiting = asyncio.create_task(first_event(trigger()))
        await polls.wait()
        incoming.mkdir()
        (incoming / "a.csv").write_text("x")
        return await waiting

    assert asyncio.run(scenario()) == [str(incoming / "a.csv")]


def test_a_file_whose_name_cannot_be_passed_on_does_not_affect_the_others(incoming: Path) -> None:
    """Airflow cannot serialize a name that is not UTF-8, and the triggerer would end."""
    incoming.mkdir()
    (incoming / os.fsdecode(b"Au\xdfen.csv")).write_text("x")
    (incoming / "b.csv").write_text("x")
    event = asyncio.run(first_event(trigger()))
    assert json.loads(json.dumps(event).encode()) == [str(incoming / "b.csv")]
