"""Window features for tests, computed from observations as in the stream, by a slower and simpler implementation."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from weatherglass.history.hours import SLIDE, WINDOW
from weatherglass.records import AggregatedFeatures, Quality, Statistics, Wind, WindowFeatures

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def window(
    station_id: str, end: datetime, last: datetime, temperature: float | None = 5.0, count: int = 1
) -> WindowFeatures:
    """One window; the values of the other variables are derived from the temperature."""
    values = {"humidity": 70.0, "pressure": 1010.0, "wind_speed": 4.0}
    shift = temperature or 0.0
    return WindowFeatures(
        station_id=station_id,
        window_start=end - WINDOW,
        window_end=end,
        aggregated_features=AggregatedFeatures(
            count=count,
            last_observation=last,
            temperature=_statistics(temperature),
            **{name: _statistics(value + 0.1 * shift) for name, value in values.items()},
            wind=Wind(u=2.0, v=3.0, direction=213.7, steadiness=0.9),
            dew_point=1.0,
            quality=dict.fromkeys(("temperature", *values), Quality.OK),
        ),
    )


def windows_of(station_id: str, observations: dict[datetime, float]) -> list[WindowFeatures]:
    """All windows that contain any of the observations (time -> temperature), sorted by end."""
    ends = sorted({end for time in observations for end in _ends(time)})
    windows = []
    for end in ends:
        inside = sorted(time for time in observations if end - WINDOW <= time < end)
        mean = float(np.mean([observations[time] for time in inside]))
        windows.append(window(station_id, end, inside[-1], mean, len(inside)))
    return windows


def leading(station_id: str, time: datetime, temperature: float = 5.0) -> WindowFeatures:
    """The leading window of a single observation."""
    return window(station_id, _ends(time)[0], time, temperature)


def _ends(time: datetime) -> list[datetime]:
    first = time.replace(second=0, microsecond=0) + SLIDE
    return [first + i * SLIDE for i in range(int(WINDOW / SLIDE))]


def every(minutes: int, hours: float, start: datetime = START) -> Iterable[datetime]:
    return (start + timedelta(minutes=m) for m in range(0, int(hours * 60), minutes))


def _statistics(value: float | None) -> Statistics:
    return Statistics(mean=value, std=None, min=value, max=value, last=value, rate_per_hour=None, trend=None)
