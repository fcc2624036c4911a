from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import make_settings
from tests.weatherglass.monitor.receivers import Hook, Mailbox, mail_server, webhook
from weatherglass.alerts.rules import LOOK_SECONDS
from weatherglass.settings import Settings, Source


@dataclass
class Clock:
    """A clock that tests advance. It begins at the real time, since heartbeats are times of files."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def go(self, seconds: float = LOOK_SECONDS) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state", source=Source.REPLAY)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box
