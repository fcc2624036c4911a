"""Waits in Airflow's triggerer, without a process or slot, until the watched folder has complete files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import BaseTrigger, TriggerEvent

from producer.incoming import SETTLE_SECONDS, SettledFiles
from weatherglass.settings import load_settings

POLL_SECONDS = 2.0
MAX_FILES = 100
"""Files of one run; the next run finds the others."""


class IncomingFilesTrigger(BaseTrigger):
    """Fires with the paths of the files that have been complete for `seconds`, when there is at least one.

    Unlike Airflow's `FileTrigger`, which fires when a file exists, it waits until the file is written. It takes the
    folder from the settings, because a restored trigger may have waited in another one.
    """

    def __init__(self, seconds: float = SETTLE_SECONDS, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__()
        self.seconds = seconds
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "plugins.incoming_files.IncomingFilesTrigger",
            {"seconds": self.seconds, "poll_seconds": self.poll_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        files = SettledFiles(load_settings().incoming_folder, self.seconds)
        problems: list[str] = []
        while True:
            complete = await asyncio.to_thread(files.poll, time.monotonic())
            if files.problems != problems:
                problems = files.problems
                for problem in problems:
                    self.log.warning("%s", problem)
            if complete:
                yield TriggerEvent([str(path) for path in complete[:MAX_FILES]])
                return
            await asyncio.sleep(self.poll_seconds)


class WaitForFilesOperator(BaseOperator):
    """Creates the watched folder and waits for complete files; returns their paths."""

    def execute(self, context: Context) -> None:  # noqa: ARG002
        folder = load_settings().incoming_folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log.info("Waiting for files in %s", folder)
        self.defer(trigger=IncomingFilesTrigger(), method_name="found")

    def found(self, context: Context, event: list[str]) -> list[str]:  # noqa: ARG002
        self.log.info("Found %s", ", ".join(Path(path).name for path in event))
        return event
