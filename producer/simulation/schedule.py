"""When each simulated station reports: one after the other, at a constant number of messages per second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from producer.replay.clock import ReplayClock

MAX_BATCH = 10_000
"""Messages that are computed and published together; bounds memory and the time until a stop is noticed."""


@dataclass(frozen=True)
class Position:
    """The next message: its time, in Unix seconds, and its number, which tells its station."""

    seconds: float
    number: int

    @classmethod
    def parse(cls, content: Any) -> Self:
        """Raises ValueError, KeyError or TypeError if the decoded JSON is not a position."""
        position = cls(float(content["seconds"]), int(content["number"]))
        if not 0 <= position.seconds < 2**40 or position.number < 0:
            raise ValueError(f"{position} is out of range")
        return position


@dataclass(frozen=True)
class Schedule:
    """The times of the messages of `stations` stations.

    The clock runs faster than real time until it has caught up with it; meanwhile a station reports every
    `stations * clock.speed / rate` seconds of simulated time, then every `stations / rate` seconds.

    Attributes:
        rate: messages per second of real time.
    """

    stations: int
    rate: float
    clock: ReplayClock

    def due(self, position: Position, now: datetime) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Position]:
        """The messages from a position up to the time of the clock, at most `MAX_BATCH`.

        Returns:
            The index of the station and the time, in Unix seconds, of each message, and the position after them.
        """
        step = (1.0 if self.clock.caught_up(now) else self.clock.speed) / self.rate
        behind = self.clock.time(now).timestamp() - position.seconds
        count = min(int(behind // step) + 1, MAX_BATCH) if behind >= 0 else 0
        numbers = np.arange(position.number, position.number + count, dtype=np.int64)
        times = np.asarray(position.seconds + step * np.arange(count), np.float64)
        after = Position(position.seconds + step * count, position.number + count)
        return numbers % self.stations, times, after


def time_of(seconds: float) -> datetime:
    """Unix seconds as a time in UTC, in whole milliseconds like the times of observations."""
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)
