from __future__ import annotations

from datetime import timedelta

import pytest
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


def test_of_two_versions_of_a_window_in_one_batch_the_later_is_kept(connection: Connection) -> None:
    latest_windows.save(connection, [a_window(NOON), a_window(NOON, temperature=4.0)], NOON)
    stored = latest_windows.latest(connection, "new-york")
    assert stored is not None
    assert stored.window == a_window(NOON, temperature=4.0)


@pytest.mark.parametrize(("seconds", "leading"), [(1, True), (60, True), (61, False)])
def test_a_leading_window_ends_within_a_minute_after_its_last_observation(
    connection: Connection, seconds: int, leading: bool
) -> None:
    latest_windows.save(connection, [a_window(NOON, ends_after=timedelta(seconds=seconds))], NOON)
    assert (latest_windows.latest(connection, "new-york") is not None) == leading
