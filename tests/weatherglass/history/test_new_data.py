from __future__ import annotations

from weatherglass.history.new_data import MAX_NAMED, NewData, new_data
from weatherglass.history.prepared import Manifest


def manifest(**station_hours: int) -> Manifest:
    hours = ("2012-10-03T00:00:00Z", "2026-11-30T23:00:00Z")
    return Manifest("kaggle", "aa", *hours, sum(station_hours.values()), len(station_hours), station_hours)


def test_hours_of_new_and_known_stations_are_new() -> None:
    new = new_data(manifest(a=10, b=20, c=30), manifest(a=10, b=25, d=7, c=29))
    assert new == NewData(("d",), {"b": 5, "d": 7})
    assert new.hours == 12
    assert "12" in str(new)
    assert "d" in str(new).split()


def test_the_same_history_has_nothing_new() -> None:
    new = new_data(manifest(a=10), manifest(a=10))
    assert new == NewData((), {})
    assert new.hours == 0
    assert str(new)


def test_only_some_of_many_new_stations_are_named() -> None:
    names = {f"s{number:03}": 1 for number in range(500)}
    text = str(new_data(manifest(), manifest(**names)))
    assert sum(name in text for name in names) == MAX_NAMED
    assert str(500 - MAX_NAMED) in text
