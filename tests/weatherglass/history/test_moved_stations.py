"""Hours of stations that were moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from tests.synthetic_history import stations
from weatherglass.history.moved_stations import at_present_places

MOVED = datetime(2026, 1, 5, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize("time_zone", ["UTC", None])
def test_only_the_hours_of_a_moved_station_before_the_first_whole_one_at_its_place_are_left_out(
    time_zone: str | None,
) -> None:
    first, moved, last = stations(3)
    hours = pd.date_range("2026-01-05T11:00", periods=6, freq="h", tz=time_zone)
    table = pd.DataFrame([(one.station_id, hour) for one in (first, moved, last) for hour in hours])
    table.columns = pd.Index(["station_id", "hour"])
    kept, left_out = at_present_places(table, [first, replace(moved, since=MOVED), last])
    of_station = {name: [hour.hour for hour in rows["hour"]] for name, rows in kept.groupby("station_id")}
    assert of_station == {
        first.station_id: [11, 12, 13, 14, 15, 16],
        moved.station_id: [14, 15, 16],
        last.station_id: [11, 12, 13, 14, 15, 16],
    }
    (line,) = left_out
    assert line.startswith(f"3 hours of {moved.station_id}")


def test_a_station_without_earlier_hours_is_not_mentioned() -> None:
    (moved,) = stations(1)
    table = pd.DataFrame({"station_id": [moved.station_id], "hour": [pd.Timestamp("2026-01-05T14:00Z")]})
    kept, left_out = at_present_places(table, [replace(moved, since=MOVED)])
    assert (len(kept), left_out) == (1, [])
