"""The rule of the hour, and that serving, verification and the extension of history give the same values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import fmean

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete

from tests.oracle import expected_features
from weatherglass.history.grid import GRID_VARIABLES
from weatherglass.history.hours import (
    HOUR_WINDOW_ENDS,
    WINDOW,
    affected_hours,
    first_hour_since,
    hours_from_readings,
    hours_from_windows,
    hours_of_times,
    usable_values,
)
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.record_headers import Origin
from weatherglass.records import (
    AggregatedFeatures,
    Observation,
    WindowFeatures,
)
from weatherglass.stations import bundled_stations
from weatherglass.store import observations
from weatherglass.store.engine import open_store
from weatherglass.store.hours import stored_hours
from weatherglass.store.schema import metadata
from weatherglass.store.schema import observations as observations_table
from weatherglass.verification.observed_hours import load_hours

HOUR = datetime(2026, 1, 5, 12, tzinfo=UTC)
LAST = HOUR + timedelta(hours=2)
VALUES = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
LIMITS = {
    "temperature": (-95, 60),
    "humidity": (0, 100),
    "pressure": (300, 1100),
    "wind_speed": (0, 75),
    "wind_direction": (0, 360),
}
BOSTON = LIMITS | {
    "temperature": (5 - 90 * math.sin(math.radians(42.3584)) - 0.0065 * 14, 60),
    "pressure": (0.855 * 1011.568, 1093.25),
}
"""Written down once more: the expected values must not depend on the code under test."""

Hours = dict[datetime, dict[str, float]]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = open_store("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def reading(minute: float, **values: float | None) -> Observation:
    time = HOUR + timedelta(minutes=minute)
    return Observation(station_id="boston", timestamp=time, **{**dict.fromkeys(VALUES), **values})


def expected(readings: list[Observation]) -> Hours:
    """The mean of the observations of each hour that have the variable, with Python's own arithmetic."""
    hours: Hours = {}
    for hour in (HOUR, HOUR + timedelta(hours=1), LAST):
        used = [one for one in readings if hour - timedelta(minutes=19) <= one.timestamp < hour + timedelta(minutes=1)]
        known: dict[str, list[float]] = {name: [] for name in GRID_VARIABLES}
        for one in used:
            values = {name: getattr(one, name) for name in VALUES}
            if values["humidity"] is not None and 100 < values["humidity"] <= 105:
                values["humidity"] = 100.0
            values = {n: v for n, v in values.items() if v is not None and BOSTON[n][0] <= v <= BOSTON[n][1]}
            for name in VALUES[:4]:
                if name in values:
                    known[name].append(values[name])
            speed, angle = values.get("wind_speed"), values.get("wind_direction")
            if speed == 0 or (speed is not None and angle is not None):
                radians = math.radians(angle) if speed and angle is not None else 0.0
                known["wind_u"].append(-speed * math.sin(radians))
                known["wind_v"].append(-speed * math.cos(radians))
        if any(known.values()):
            hours[hour] = {name: fmean(values) for name, values in known.items() if values}
    return hours


def served(readings: list[Observation]) -> Hours:
    """From window features, as in serving."""
    boston = bundled_stations()["boston"]
    features = expected_features(
        [one.model_dump() for one in readings], {"boston": boston.elevation or 0.0}, (), {"boston": boston.latitude}
    )
    windows = {end: AggregatedFeatures.model_validate(window) for (_, end), window in features.items()}
    keys = [("boston", HOUR + timedelta(hours=hours)) for hours in range(3)]
    hours = {
        hour.hour: {name: value for name in GRID_VARIABLES if (value := getattr(hour, name)) is not None}
        for hour in hours_from_windows(keys, {"boston": windows})
    }
    return {hour: values for hour, values in hours.items() if values}


def verified(connection: Connection) -> Hours:
    """From the store, as in verification."""
    first, last = (np.datetime64(time.replace(tzinfo=None), "h") for time in (HOUR, LAST))
    grid = load_hours(connection, first, last, [bundled_stations()["boston"]])
    hours = {
        HOUR + timedelta(hours=i): {
            name: float(value) for name, value in zip(GRID_VARIABLES, row, strict=True) if np.isfinite(value)
        }
        for i, row in enumerate(grid.values[0])
    }
    return {hour: values for hour, values in hours.items() if values}


def extended(connection: Connection) -> Hours:
    """From the store, as when history is extended; the wind direction instead of components."""
    names = (*VALUES[:4], "wind_direction")
    return {
        row["hour"]: {name: row[name] for name in names if row[name] is not None}
        for row in stored_hours(connection, bundled_stations(), HOUR, LAST)
    }


def assert_all_equal(connection: Connection, readings: list[Observation]) -> None:
    connection.execute(delete(observations_table))
    observations.save(connection, readings, HOUR, Origin.OPEN_METEO)
    hours = expected(readings)
    for found in (served(readings), verified(connection)):
        assert found.keys() == hours.keys()
        for hour, values in hours.items():
            assert found[hour] == pytest.approx(values, abs=1e-4)
    rows = extended(connection)
    assert rows.keys() == hours.keys()
    for hour, values in hours.items():
        u, v = values.pop("wind_u", 0.0), values.pop("wind_v", 0.0)
        direction = rows[hour].pop("wind_direction", None)
        assert rows[hour] == pytest.approx(values, abs=1e-9)
        if math.hypot(u, v) > 1e-6:  # below, the direction is only a rounding error
            assert direction is not None
            assert math.cos(math.radians(direction) - math.atan2(-u, -v)) == pytest.approx(1)


numbers = {
    "temperature": st.sampled_from([-90.0, 99.0]) | st.integers(-20, 25).map(float),
    "humidity": st.sampled_from([-1.0, 101.0]) | st.integers(1, 100).map(float),
    "pressure": st.sampled_from([0.0, 1200.0]) | st.integers(950, 1040).map(float),
    "wind_speed": st.sampled_from([0.0, 99.0]) | st.integers(0, 30).map(float),
    "wind_direction": st.sampled_from([-10.0, 400.0]) | st.integers(0, 360).map(float),
}
readings_of_three_hours = st.dictionaries(
    st.integers(-30 * 60, 150 * 60),
    st.fixed_dictionaries({name: st.none() | values for name, values in numbers.items()}),
    min_size=1,
    max_size=25,
).map(lambda by_second: [reading(second / 60, **values) for second, values in sorted(by_second.items())])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(readings=readings_of_three_hours)
@example(readings=[reading(-13, temperature=10.0), reading(-12, humidity=50.0), reading(-6, temperature=20.0)])
def test_serving_verification_and_history_compute_the_same_hours(
    connection: Connection, readings: list[Observation]
) -> None:
    assert_all_equal(connection, readings)


def test_an_observation_without_the_variable_has_no_weight_in_its_mean(connection: Connection) -> None:
    readings = [reading(-13, temperature=10.0), reading(-12, humidity=50.0), reading(-6, temperature=20.0)]
    connection.execute(delete(observations_table))
    observations.save(connection, readings, HOUR, Origin.OPEN_METEO)
    for found in (served(readings), verified(connection), extended(connection)):
        assert found == {HOUR: {"temperature": 15.0, "humidity": 50.0}}


def test_without_counts_per_variable_windows_are_weighted_by_their_observations() -> None:
    """Records of older versions have no counts per variable."""
    features = expected_features([one.model_dump() for one in (reading(-13, temperature=10.0), reading(-12))])
    features |= expected_features([reading(-6, temperature=20.0).model_dump()])
    windows = {}
    for (_, end), window in features.items():
        for name in (*VALUES[:4], "wind"):
            del window[name]["count"]
        windows[end] = AggregatedFeatures.model_validate(window)
    [hour] = hours_from_windows([("boston", HOUR)], {"boston": windows})
    assert hour.temperature == pytest.approx((2 * 10 + 20) / 3)


def test_the_count_of_an_hour_is_that_of_its_distinct_observations() -> None:
    minutes = (-20, -19, -15, -10, -4, 0, 1)
    features = expected_features([reading(minute, temperature=float(minute)).model_dump() for minute in minutes])
    windows = {end: AggregatedFeatures.model_validate(window) for (_, end), window in features.items()}
    [hour] = hours_from_windows([("boston", HOUR)], {"boston": windows})
    assert hour.count == 5
    assert hour.temperature == pytest.approx(-48 / 5)


def test_hours_without_windows_are_omitted() -> None:
    assert hours_from_windows([("boston", HOUR)], {}) == []


def test_hours_from_readings_are_in_the_order_of_stations_and_hours() -> None:
    times = np.array(["2026-01-05T13:00", "2026-01-05T12:00", "2026-01-05T11:50", "2026-01-05T12:20"], "datetime64[us]")
    values = np.array([[1.0], [2.0], [4.0], [8.0]])
    rows, hours, means = hours_from_readings(np.array([0, 1, 1, 0]), times, values)
    assert rows.tolist() == [0, 1]
    assert hours.astype(str).tolist() == ["2026-01-05T13", "2026-01-05T12"]
    assert means.tolist() == [[1.0], [3.0]]


def test_values_outside_the_range_limits_are_not_usable() -> None:
    readings = {name: [low - 1, low, high, high + 1 + 5 * (name == "humidity")] for name, (low, high) in LIMITS.items()}
    usable = usable_values(readings, RANGE_LIMITS)
    assert np.isfinite(usable).tolist() == [[False] * 6, [True] * 6, [True] * 6, [False] * 6]


def test_a_humidity_of_up_to_105_is_used_as_100() -> None:
    readings = dict.fromkeys(LIMITS, [0.0] * 4) | {"humidity": [100.0, 100.1, 105.0, 105.1]}
    usable = usable_values(readings, RANGE_LIMITS)
    np.testing.assert_array_equal(usable[:, GRID_VARIABLES.index("humidity")], [100.0, 100.0, 100.0, np.nan])


def test_each_window_affects_only_the_hour_that_it_is_part_of() -> None:
    features = AggregatedFeatures.model_validate(
        next(iter(expected_features([reading(0, temperature=1.0).model_dump()]).values()))
    )
    for minute in range(-30, 30):
        end = HOUR + timedelta(minutes=minute)
        newest = features.model_copy(update={"last_observation": end - WINDOW})
        affected = affected_hours(
            WindowFeatures(station_id="s0", window_start=end - WINDOW, window_end=end, aggregated_features=newest)
        )
        assert affected == ([HOUR] if minute in (1, -4, -9, -14) else [])


def test_an_observation_belongs_to_the_hour_whose_windows_contain_it() -> None:
    for seconds in range(-1800, 1800, 20):
        time = HOUR + timedelta(seconds=seconds)
        contained = any(HOUR + end - WINDOW <= time < HOUR + end for end in HOUR_WINDOW_ENDS)
        [hour] = hours_of_times(np.array([time.replace(tzinfo=None)], "datetime64[us]"))
        assert (hour == np.datetime64(HOUR.replace(tzinfo=None), "h")) == contained, time


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        (HOUR, HOUR + timedelta(hours=1)),
        (HOUR + timedelta(minutes=40, seconds=59), HOUR + timedelta(hours=1)),
        (HOUR + timedelta(minutes=41), HOUR + timedelta(hours=1)),
        (HOUR + timedelta(minutes=41, seconds=1), HOUR + timedelta(hours=2)),
        (HOUR - timedelta(minutes=19), HOUR),
        (datetime(2026, 1, 5, 23, 45, tzinfo=UTC), datetime(2026, 1, 6, 1, tzinfo=UTC)),
    ],
)
def test_the_first_hour_since_a_time_has_no_observation_before_it(time: datetime, hour: datetime) -> None:
    assert first_hour_since(time) == hour


def test_the_first_hour_since_a_time_agrees_with_the_hours_of_observations() -> None:
    """The hour after the one that an observation just before the time belongs to, or later if it belongs to none."""
    for seconds in range(0, 7200, 20):
        time = HOUR + timedelta(seconds=seconds)
        first = first_hour_since(time)
        begin, before = first - timedelta(minutes=19), first - timedelta(hours=1, minutes=19)
        assert before < time <= begin
