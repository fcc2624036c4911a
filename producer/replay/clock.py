"""The clock of the replay.

On the first start, the clock of the replay is some hours in the past and runs many times faster than the real clock,
until it has caught up; then it shows the real time. It never shows the future, and never goes back, even after restarts
and changed settings: its starting point is kept in the state folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from weatherglass.files import read_json, write_atomically
from weatherglass.settings import Settings


@dataclass(frozen=True)
class ReplayClock:
    """A clock that showed `origin` at the real time `started`, and runs `speed` times as fast as the real clock."""

    started: datetime
    origin: datetime
    speed: float

    def time(self, now: datetime) -> datetime:
        """The time of the replay at the real time `now`; both UTC."""
        return min(now, self.origin + max(now - self.started, timedelta()) * self.speed)

    def caught_up(self, now: datetime) -> bool:
        return self.time(now) == now

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=datetime.isoformat)

    @classmethod
    def parse(cls, content: Any) -> Self:
        """Raises ValueError, KeyError or TypeError if the decoded JSON is not a clock."""
        started, origin = (datetime.fromisoformat(content[key]).astimezone(UTC) for key in ("started", "origin"))
        return cls(started, origin, float(content["speed"]))


def clock_file(settings: Settings) -> Path:
    return settings.state_dir / "replay" / "clock.json"


def open_clock(settings: Settings, now: datetime) -> ReplayClock:
    """The clock in the state folder, or a new one; continues with the new speed if the setting has changed.

    Raises:
        DamagedFileError: the file of the clock is damaged.
    """
    file = clock_file(settings)
    try:
        clock = read_json(file, ReplayClock.parse, "Remove it: the replay then starts with a new clock")
    except FileNotFoundError:
        clock = ReplayClock(now, now - timedelta(hours=settings.replay_start_hours), settings.replay_speed)
    else:
        if clock.speed == settings.replay_speed:
            return clock
        clock = ReplayClock(now, clock.time(now), settings.replay_speed)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, clock.to_json())
    return clock
