"""Hours of stored observations; their values are tested in `history/test_hours.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.stations import bundled_stations
from weatherglass.store import observations
from weatherglass.store.hours import UNKNOWN_SOURCE, StoredSpan, stored_hours, stored_span

HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC)


def observation(station_id: str, time: datetime, temperature: float | None = 5.0) -> Observation:
    return Observation(station_id=station_id, timestamp=time, temperature=temperature)


def test_the_span_ends_with_the_last_complete_day_and_ignores_what_is_not_the_present(store: Engine) -> None:
    midnight = HOUR.replace(hour=0) + timedelta(days=1)
    with store.begin() as connection:
        for origin in (Origin.REPLAY, Origin.SIMULATED):
            ignored = [observation(origin.value, HOUR + timedelta(days=days)) for days in (-9, 9)]
            observations.save(connection, ignored, HOUR, origin)
    with store.connect() as connection:
        assert stored_span(connection) is None
    with store.begin() as connection:
        times = [HOUR, HOUR + timedelta(minutes=15), HOUR + timedelta(hours=3)]
        observations.save(connection, [observation("denver", time) for time in times], HOUR, Origin.OPEN_METEO)
    with store.connect() as connection:
        # The first day is not complete.
        assert stored_span(connection) is None
    with store.begin() as connection:
        observations.save(connection, [observation("kjfk", midnight)], HOUR, Origin.METAR)
    with store.connect() as connection:
        assert stored_span(connection) == StoredSpan(HOUR, midnight, len(times))


@pytest.mark.parametrize("origin", [*Origin, None])
def test_all_origins_train_except_replayed_and_simulated_observations(store: Engine, origin: Origin | None) -> None:
    with store.begin() as connection:
        observations.save(connection, [observation("denver", HOUR)], HOUR, origin)
    with store.connect() as connection:
        rows = list(stored_hours(connection, bundled_stations(), HOUR, HOUR))
    if origin in (Origin.REPLAY, Origin.SIMULATED):
        assert rows == []
    else:
        assert [row["source"] for row in rows] == [origin.value if origin else UNKNOWN_SOURCE]


def test_hours_are_of_the_interval_with_both_ends(store: Engine) -> None:
    with store.begin() as connection:
        live = [observation("denver", HOUR + timedelta(hours=hours), float(hours)) for hours in range(-1, 4)]
        observations.save(connection, live, HOUR, Origin.OPEN_METEO)
        replayed = [observation("denver", HOUR + timedelta(minutes=30), -50.0)]
        observations.save(connection, replayed, HOUR, Origin.REPLAY)
    with store.connect() as connection:
        rows = list(stored_hours(connection, bundled_stations(), HOUR, HOUR + timedelta(hours=2)))
    assert [(row["hour"], row["temperature"]) for row in rows] == [
        (HOUR + timedelta(hours=hours), float(hours)) for hours in range(3)
    ]
    assert rows[0] == {
        "station_id": "denver",
        "hour": HOUR,
        "temperature": 0.0,
        "humidity": None,
        "pressure": None,
        "wind_speed": None,
        "wind_direction": None,
        "source": "open-meteo",
    }


def test_an_hour_contains_the_readings_from_19_minutes_before_to_less_than_a_minute_after(store: Engine) -> None:
    first, end = HOUR - timedelta(minutes=19), HOUR + timedelta(minutes=1)
    moment = timedelta(microseconds=1)
    times = {first - moment: 1.0, first: 2.0, end - moment: 4.0, end: 8.0}
    with store.begin() as connection:
        readings = [observation("denver", time, value) for time, value in times.items()]
        observations.save(connection, readings, HOUR, Origin.OPEN_METEO)
    with store.connect() as connection:
        (row,) = stored_hours(connection, bundled_stations(), HOUR, HOUR)
    assert row["temperature"] == (2.0 + 4.0) / 2


def test_hours_of_two_stations_with_interleaved_observations_are_not_mixed(store: Engine) -> None:
    """Stored in the order of time; rows come in the order of stations, then hours, across midnight too."""
    evening = datetime(2026, 3, 1, 23, tzinfo=UTC)
    readings = [
        observation(station_id, evening + timedelta(minutes=minutes), value + minutes / 10)
        for minutes in (-10, 0, 50, 60)
        for station_id, value in (("denver", 0.0), ("boston", 20.0))
    ]
    with store.begin() as connection:
        observations.save(connection, readings, HOUR, Origin.OPEN_METEO)
    with store.connect() as connection:
        rows = list(stored_hours(connection, bundled_stations(), evening, evening + timedelta(hours=1)))
    assert [(row["station_id"], row["hour"], row["temperature"]) for row in rows] == [
        ("boston", evening, 19.5),
        ("boston", evening + timedelta(hours=1), 25.5),
        ("denver", evening, -0.5),
        ("denver", evening + timedelta(hours=1), 5.5),
    ]


def test_an_hour_has_the_observations_from_19_minutes_before_to_one_minute_after_it(store: Engine) -> None:
    minutes = {-20: 1.0, -19: 2.0, 0: 4.0, 1: 80.0, 41: 6.0, 60: 8.0, 61: 90.0}
    with store.begin() as connection:
        readings = [observation("denver", HOUR + timedelta(minutes=at), value / 2) for at, value in minutes.items()]
        observations.save(connection, readings, HOUR, Origin.OPEN_METEO)
        second = [observation("denver", HOUR + timedelta(seconds=59), 0.0)]
        observations.save(connection, second, HOUR, Origin.OPEN_METEO)
    with store.connect() as connection:
        rows = list(stored_hours(connection, bundled_stations(), HOUR, HOUR + timedelta(hours=1)))
    assert [(row["hour"] - HOUR, row["temperature"]) for row in rows] == [
        (timedelta(), (1.0 + 2.0 + 0.0) / 3),
        (timedelta(hours=1), (3.0 + 4.0) / 2),
    ]
