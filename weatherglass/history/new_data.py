"""What a prepared history contains that an earlier one did not: what is new since a training."""

from __future__ import annotations

from dataclasses import dataclass

from weatherglass.history.prepared import Manifest

MAX_NAMED = 10
"""Stations named in a text."""


@dataclass(frozen=True)
class NewData:
    """What is new since an earlier history.

    Attributes:
        stations: stations without an hour in the earlier history, sorted.
        station_hours: station -> number of additional hours, of every station with any.
    """

    stations: tuple[str, ...]
    station_hours: dict[str, int]

    @property
    def hours(self) -> int:
        return sum(self.station_hours.values())

    def __str__(self) -> str:
        if not self.station_hours:
            return "no new hours"
        text = f"{self.hours:,} new hours of {_count(len(self.station_hours))}"
        if not self.stations:
            return text
        named = ", ".join(self.stations[:MAX_NAMED])
        more = len(self.stations) - MAX_NAMED
        return f"{text}; {_count(len(self.stations))} new: {named}" + (f" and {more} more" if more > 0 else "")


def new_data(before: Manifest, now: Manifest) -> NewData:
    """Compare the hours of each station. A station that lost hours, in another source, has no new ones."""
    more = {name: count - before.station_hours.get(name, 0) for name, count in sorted(now.station_hours.items())}
    hours = {name: count for name, count in more.items() if count > 0}
    return NewData(tuple(name for name in hours if not before.station_hours.get(name)), hours)


def _count(stations: int) -> str:
    return "1 station" if stations == 1 else f"{stations} stations"
