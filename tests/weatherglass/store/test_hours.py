"""Stored observations become hours by the rule that makes hours of windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine

from weatherglass.history.hours import HOUR_WINDOW_ENDS, WINDOW, hour_for_time
from weatherglass.meteorology import wind_direction
from weatherglass.records import Observation, Origin
from weatherglass.store import observations
from weatherglass.store.hours import stored_hours, stored_span

HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC)


def an_observation(time: datetime, **values: float | None) -> Observation:
    usual = {"temperature": 5.0, "humidity": 60.0, "pressure": 1010.0, "wind_speed": 4.0, "wind_direction": 200.0}
    return Observation(station_id="denver", timestamp=time, **{**usual, **values})


def test_an_observation_counts_for_the_hour_whose_windows_hold_it() -> None:
    for seconds in range(-4000, 4000, 20):
        time = HOUR + timedelta(seconds=seconds)
        held = any(HOUR + end - WINDOW <= time < HOUR + end for end in HOUR_WINDOW_ENDS)
        assert (hour_for_time(time) == HOUR) == held, time


def test_hours_are_means_of_what_is_usable_and_live(store: Engine) -> None:
    rng = np.random.default_rng(1)
    times = [HOUR - timedelta(minutes=25) + timedelta(minutes=5 * k) for k in range(30)]
    live = [
        an_observation(time, temperature=float(rng.normal(5, 3)), wind_direction=float(rng.uniform(0, 360)))
        for time in times
    ]
    live[3] = an_observation(times[3], temperature=99.0, humidity=None)
    with store.begin() as connection:
        observations.save(connection, live, HOUR, Origin.OPEN_METEO)
        replayed = [an_observation(time + timedelta(days=1), temperature=-50.0) for time in times]
        observations.save(connection, replayed, HOUR, Origin.REPLAY)
    with store.connect() as connection:
        assert stored_span(connection, Origin.OPEN_METEO) == (times[0], times[-1])
        assert stored_span(connection, Origin.SIMULATED) is None
        found = {
            row["hour"]: row for row in stored_hours(connection, Origin.OPEN_METEO, HOUR, HOUR + timedelta(days=2))
        }
    assert set(found) == {HOUR, HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)}
    for hour, row in found.items():
        used = [one for one in live if hour - timedelta(minutes=19) <= one.timestamp < hour + timedelta(minutes=1)]
        warm = [one.temperature for one in used if one.temperature is not None and one.temperature < 60]
        assert row["temperature"] == pytest.approx(np.mean(warm))
        angles = np.deg2rad([one.wind_direction or 0.0 for one in used])
        expected = wind_direction(-np.sin(angles).sum(), -np.cos(angles).sum())
        assert row["wind_direction"] == pytest.approx(float(expected))
        assert row["wind_speed"] == pytest.approx(4.0)
        assert row["source"] == "open-meteo"
