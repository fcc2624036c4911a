"""The trigger that waits for complete files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from plugins.incoming_files import IncomingFilesTrigger
from tests.plugins.conftest import LONG_TIMEOUT


def trigger(folder: Path) -> IncomingFilesTrigger:
    return IncomingFilesTrigger(str(folder), seconds=0.2, poll_seconds=0.02)


async def first_event(waiting: IncomingFilesTrigger) -> list[str]:
    async with asyncio.timeout(LONG_TIMEOUT):
        async for event in waiting.run():
            return event.payload
    raise AssertionError("no event")


def test_the_serialized_trigger_can_be_restored(tmp_path: Path) -> None:
    from airflow._shared.module_loading import import_string

    classpath, arguments = trigger(tmp_path).serialize()
    restored = import_string(classpath)(**arguments)
    assert type(restored) is IncomingFilesTrigger
    assert restored.serialize() == trigger(tmp_path).serialize()


def test_it_fires_when_a_file_is_complete(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        waiting = asyncio.create_task(first_event(trigger(tmp_path)))
        (tmp_path / "b.csv.part").write_text("x")
        await asyncio.sleep(0.4)
        assert not waiting.done()
        (tmp_path / "b.csv.part").rename(tmp_path / "b.csv")
        return await waiting

    assert asyncio.run(scenario()) == [str(tmp_path / "b.csv")]


def test_a_folder_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "incoming"

    async def scenario() -> list[str]:
        waiting = asyncio.create_task(first_event(trigger(folder)))
        await asyncio.sleep(0.1)
        folder.mkdir()
        (folder / "a.csv").write_text("x")
        return await waiting

    assert asyncio.run(scenario()) == [str(folder / "a.csv")]
