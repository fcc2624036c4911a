from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import make_settings
from tests.weatherglass.monitor.receivers import Mailbox, WebhookReceiver, mail_server, webhook
from weatherglass.alerts.rules import EVALUATION_SECONDS
from weatherglass.settings import Settings, Source


@dataclass
class Clock:
    """A clock advanced by tests. It starts at the real time, because heartbeats are file times."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float = EVALUATION_SECONDS) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state", source=Source.REPLAY)


@pytest.fixture
def hook() -> Iterator[WebhookReceiver]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box
