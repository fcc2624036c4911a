from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.inference.hour_buffer import SPAN_HOURS, HourBuffer, WindowBuffer, hour64
from tests.ray_jobs.windows import START, every, window, windows_of
from weatherglass.records import Hour
from weatherglass.stations import bundled_stations

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def buffer() -> HourBuffer:
    return HourBuffer(bundled_stations().__getitem__)


def hour(station_id: str, time: datetime, temperature: float | None = 1.0, count: int = 1) -> Hour:
    return Hour(
        station_id=station_id,
        hour=time,
        count=count,
        temperature=temperature,
        humidity=50.0,
        pressure=1000.0,
        wind_u=1.0,
        wind_v=1.0,
    )


@given(st.integers(0, 2**32), st.integers(1, 400))
def test_windows_in_any_order_give_the_mean_of_the_observations_of_an_hour(seed: int, size: int) -> None:
    """Against the definition: the mean of the observations in [H - 19 min, H + 1 min)."""
    chance = random.Random(seed)
    observations = {START + chance.randrange(0, 240) * MINUTE: chance.uniform(-20, 30) for _ in range(60)}
    windows = windows_of("new-york", observations)
    chance.shuffle(windows)
    kept, hours = WindowBuffer(), {}
    for start in range(0, len(windows), size):
        hours |= {hour.hour: hour for hour in kept.add(windows[start : start + size])}
    expected = {}
    for number in range(7):
        time = START + number * HOUR
        inside = [value for at, value in observations.items() if time - 19 * MINUTE <= at < time + MINUTE]
        if inside:
            expected[time] = (len(inside), pytest.approx(np.mean(inside), abs=1e-9))
    assert {time: (hour.count, hour.temperature) for time, hour in hours.items()} == expected


def test_a_station_gets_its_location_when_the_station_table_has_it() -> None:
    boston, nan = bundled_stations()["boston"], float("nan")
    known = {"boston": replace(boston, latitude=nan, longitude=nan)}
    hours = HourBuffer(known.__getitem__)
    assert hours.put_computed(hour("boston", START))
    before = hours.grid()
    known["boston"] = boston
    after = hours.grid()
    assert before is not None
    assert after is not None
    assert np.isnan(before.stations[0].latitude)
    assert after.stations == (boston,)
    np.testing.assert_array_equal(after.values, before.values)


def test_hours_are_at_their_station_and_time_in_the_grid() -> None:
    hours = buffer()
    for station, offset in (("new-york", 0), ("boston", 3), ("new-york", 5)):
        assert hours.put_computed(hour(station, START + offset * HOUR, float(offset)))
    grid = hours.grid()
    assert grid is not None
    names = [station.station_id for station in grid.stations]
    assert grid.values.shape[:2] == (2, SPAN_HOURS)
    for station, offset in (("new-york", 0), ("boston", 3), ("new-york", 5)):
        cell = grid.values[names.index(station), grid.index(hour64(START + offset * HOUR))]
        assert cell[0] == offset
    assert np.isfinite(grid.values[..., 0]).sum() == 3


@given(st.lists(st.tuples(st.sampled_from(["new-york", "boston", "miami"]), st.integers(0, 400)), min_size=1))
def test_the_grid_holds_the_last_value_of_each_hour_within_the_span(puts: list[tuple[str, int]]) -> None:
    hours, model = buffer(), {}
    newest = 0
    for i, (station, offset) in enumerate(puts):
        newest = max(newest, offset)
        if offset > newest - SPAN_HOURS:
            model[station, offset] = float(i)
        hours.put_computed(hour(station, START + offset * HOUR, float(i), count=i + 1))
    grid = hours.grid()
    assert grid is not None
    found = {
        (grid.stations[row].station_id, int((grid.hours[column] - hour64(START)).astype(int))): grid.values[
            row, column, 0
        ]
        for row, column in np.argwhere(np.isfinite(grid.values[..., 0]))
    }
    assert found == {key: value for key, value in model.items() if key[1] > newest - SPAN_HOURS}


def test_an_hour_of_fewer_observations_does_not_replace_the_stored_one() -> None:
    hours = buffer()
    hours.put_shared(hour("new-york", START, 5.0, count=4))
    assert not hours.put_computed(hour("new-york", START, 9.0, count=2))
    assert hours.put_computed(hour("new-york", START, 6.0, count=4))
    assert not hours.put_computed(hour("new-york", START, 6.0, count=4)), "unchanged"
    assert hours.put_computed(hour("new-york", START, None, count=5))


def test_a_shared_hour_does_not_replace_a_computed_one() -> None:
    hours = buffer()
    hours.put_computed(hour("new-york", START, 5.0, count=2))
    hours.put_shared(hour("new-york", START, 4.0, count=1))
    hours.put_shared(hour("boston", START, 4.0, count=1))
    hours.put_shared(hour("boston", START, 3.0, count=1))
    grid = hours.grid()
    assert grid is not None
    assert grid.values[:, -1, 0].tolist() == [5.0, 3.0]


def test_the_base_column_is_that_of_the_newest_hour_with_a_value() -> None:
    hours = buffer()
    hours.put_computed(hour("new-york", START, 5.0))
    hours.put_computed(hour("boston", START + 3 * HOUR, 5.0))
    row, column = hours.locate("new-york", hour64(START + 2 * HOUR)) or (0, 0)
    assert hours.base_column(row, column) == column - 2
    assert hours.base_column(row, column - 3) is None
    assert hours.locate("miami", hour64(START - 200 * HOUR)) is None


def test_a_batch_of_several_days_gives_every_hour() -> None:
    times = list(every(60, 72))
    hours = WindowBuffer().add(windows_of("new-york", dict.fromkeys(times, 1.0)))
    assert [hour.hour for hour in hours] == times


def test_windows_older_than_the_retention_are_removed() -> None:
    """The hour of a late window that is two days old is computed from this window alone."""
    kept, windows = WindowBuffer(), windows_of("new-york", dict.fromkeys(every(5, 48), 1.0))
    kept.add(windows)
    ends = (START + HOUR + MINUTE, START + 47 * HOUR + MINUTE)
    old, new = kept.add([w for w in windows if w.window_end in ends])
    assert (old.count, new.count) == (1, 4)


@pytest.mark.parametrize(("late", "count"), [(timedelta(0), 2), (5 * MINUTE, 1)])
def test_a_window_is_kept_while_it_is_at_most_six_hours_older_than_the_newest(late: timedelta, count: int) -> None:
    """The hour 13:00 is the mean of the windows that end at 12:46 and 13:01, computed again with a newer window."""
    buffer_, ends = WindowBuffer(), (START + HOUR - 14 * MINUTE, START + HOUR + MINUTE)
    first, second = (window("new-york", end, end - MINUTE) for end in ends)
    buffer_.add([first])
    newest = ends[0] + 6 * HOUR + late
    buffer_.add([window("new-york", newest, newest - MINUTE)])
    [result] = buffer_.add([second])
    assert result.count == count


def test_the_grid_spans_five_days() -> None:
    hours = buffer()
    hours.put_computed(hour("new-york", START))
    grid = hours.grid()
    assert grid is not None
    assert grid.hours[0] == hour64(START - 119 * HOUR)


@pytest.mark.parametrize(
    ("minutes", "kept"), [(-200, [0, 1, 2, 3]), (-19, [0, 1, 2, 3]), (-18, [1, 2, 3]), (41, [1, 2, 3]), (300, [])]
)
def test_hours_before_a_station_was_moved_are_removed_when_its_next_hour_arrives(minutes: int, kept: list[int]) -> None:
    known = dict(bundled_stations())
    hours = HourBuffer(known.__getitem__)
    for offset in range(3):
        hours.put_shared(hour("boston", START + offset * HOUR, float(offset)))
        hours.put_shared(hour("miami", START + offset * HOUR, 20.0))
    assert hours.grid() is not None
    moved = replace(known["boston"], latitude=43.0, since=START + minutes * MINUTE)
    known["boston"] = moved
    hours.put_computed(hour("boston", START + 3 * HOUR, 3.0))
    grid = hours.grid()
    assert grid is not None
    assert grid.stations == (moved, known["miami"])
    temperatures = grid.values[:, -4:, 0]
    np.testing.assert_array_equal(temperatures[0], [offset if offset in kept else np.nan for offset in range(4)])
    np.testing.assert_array_equal(temperatures[1], [20.0, 20.0, 20.0, np.nan])
    assert hours.base_column(0, SPAN_HOURS - 1) == (SPAN_HOURS - 1 if kept else None)
