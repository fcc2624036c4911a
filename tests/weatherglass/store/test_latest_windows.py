from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON, a_window
from weatherglass.store import latest_windows


def test_the_newest_leading_window_is_kept(connection: Connection) -> None:
    older, newer = a_window(NOON - timedelta(minutes=15)), a_window(NOON)
    trailing = a_window(NOON, ends_after=timedelta(minutes=4))
    latest_windows.save(connection, [older, newer, trailing], NOON)
    latest_windows.save(connection, [older, trailing], NOON)
    stored = latest_windows.latest(connection, "new-york")
    assert stored is not None
    assert (stored.window, stored.stored_at) == (newer, NOON)


def test_a_revised_window_replaces_the_old_one(connection: Connection) -> None:
    revised = a_window(NOON, temperature=4.0)
    latest_windows.save(connection, [a_window(NOON)], NOON)
    latest_windows.save(connection, [revised], NOON + timedelta(seconds=9))
    stored = latest_windows.latest(connection, "new-york")
    assert stored is not None
    assert (stored.window, stored.stored_at) == (revised, NOON + timedelta(seconds=9))


def test_an_unknown_station_has_no_window(connection: Connection) -> None:
    assert latest_windows.latest(connection, "new-york") is None
