"""What time it is in the replay.

At the very first start the replay's clock stands some hours in the past and runs many times as fast as the real one
until it has caught up; from then on it shows the real time. It never shows the future and, across restarts and
changed settings, never goes back: where it started is kept in the state folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from weatherglass.files import write_atomically
from weatherglass.settings import Settings


@dataclass(frozen=True)
class ReplayClock:
    """Runs from `origin` on, `speed` times as fast as the real time that has gone by since `started`."""

    started: datetime
    origin: datetime
    speed: float

    def time(self, now: datetime) -> datetime:
        """The replay's time when the real one is `now`; both UTC."""
        return min(now, self.origin + max(now - self.started, timedelta()) * self.speed)

    def caught_up(self, now: datetime) -> bool:
        return self.time(now) == now

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError where the text is not such a clock."""
        content = json.loads(text)
        started, origin = (datetime.fromisoformat(content[key]).astimezone(UTC) for key in ("started", "origin"))
        return cls(started, origin, float(content["speed"]))


def clock_file(settings: Settings) -> Path:
    return settings.state_dir / "replay" / "clock.json"


def open_clock(settings: Settings, now: datetime) -> ReplayClock:
    """The clock of the state folder, started now if there is none; goes on with another speed if that was changed.

    Raises:
        ValueError: the kept clock cannot be read; the message names the file.
    """
    file = clock_file(settings)
    try:
        clock = ReplayClock.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        clock = ReplayClock(now, now - timedelta(hours=settings.replay_start_hours), settings.replay_speed)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}): remove it, and the replay starts anew") from error
    else:
        if clock.speed == settings.replay_speed:
            return clock
        clock = ReplayClock(now, clock.time(now), settings.replay_speed)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, clock.to_json())
    return clock
