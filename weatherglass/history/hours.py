"""The rule of the hour: which observations an hour is computed from, and how.

The value of hour H is the mean of the distinct observations in [H - 19 min, H + 1 min). In the stream these are the
window features that end at H + 1, H - 4, H - 9 and H - 14 minutes, weighted by their counts. The hour is missing if
there are none. Historical archives give instantaneous values on the hour, and a mean of the last twenty minutes is
closer to an instant than the mean of the trailing hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from weatherglass.records import AggregatedFeatures, Hour, WindowFeatures

WINDOW = timedelta(minutes=5)
SLIDE = timedelta(minutes=1)
WATERMARK = timedelta(minutes=10)

HOUR_WINDOW_ENDS = (timedelta(minutes=1), timedelta(minutes=-4), timedelta(minutes=-9), timedelta(minutes=-14))
"""Ends, relative to the hour, of the four windows that tile [H - 19 min, H + 1 min)."""

BEFORE_HOUR, AFTER_HOUR = timedelta(minutes=19), timedelta(minutes=1)
"""An hour is computed from the observations in [hour - BEFORE_HOUR, hour + AFTER_HOUR)."""


def hour_from_windows(station_id: str, hour: datetime, windows: dict[datetime, AggregatedFeatures]) -> Hour | None:
    """Compute one hour from the station's latest windows, keyed by their end; None if none of its windows is there.

    A variable is the mean of the windows' means, weighted by their counts, over the windows that have it.
    """
    used = [windows[end] for offset in HOUR_WINDOW_ENDS if (end := hour + offset) in windows]
    if not used:
        return None

    def mean(values: list[float | None]) -> float | None:
        pairs = [(value, window.count) for value, window in zip(values, used, strict=True) if value is not None]
        weight = sum(count for _, count in pairs)
        return sum(value * count for value, count in pairs) / weight if pairs else None

    return Hour(
        station_id=station_id,
        hour=hour,
        count=sum(window.count for window in used),
        temperature=mean([window.temperature.mean for window in used]),
        humidity=mean([window.humidity.mean for window in used]),
        pressure=mean([window.pressure.mean for window in used]),
        wind_u=mean([window.wind.u for window in used]),
        wind_v=mean([window.wind.v for window in used]),
        wind_speed=mean([window.wind_speed.mean for window in used]),
    )


def hour_for_time(time: datetime) -> datetime | None:
    """Return the hour, UTC, that an observation of this time belongs to; None if it belongs to no hour."""
    hour = (time.astimezone(UTC) + BEFORE_HOUR).replace(minute=0, second=0, microsecond=0)
    return hour if hour - BEFORE_HOUR <= time < hour + AFTER_HOUR else None


def affected_hours(window: WindowFeatures) -> list[datetime]:
    """Return the hours that are computed from this window: none or one."""
    return [
        hour
        for offset in HOUR_WINDOW_ENDS
        if (hour := window.window_end.astimezone(UTC) - offset).minute == 0
        and hour.second == 0
        and hour.microsecond == 0
    ]
