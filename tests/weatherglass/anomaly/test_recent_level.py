"""Departures of a series from its recent level."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly import recent_level

HOUR = np.arange(60 * 24)


def noise() -> np.ndarray:
    return np.random.default_rng(5).normal(size=len(HOUR)).round(1)


def find(series: np.ndarray) -> recent_level.Departures:
    departures = recent_level.find(series, 0.0, 1.0, 0.5, 0.1, 12)
    assert departures is not None
    return departures


def test_a_shift_of_a_constant_series_is_a_departure() -> None:
    series = np.full(len(HOUR), 1000.0)
    assert not find(series).flagged.any()
    assert np.isfinite(find(series).ratio[-24:]).all()
    series[700:720] += 5.0
    assert find(series).flagged[700:720].all()


def test_all_readings_of_a_station_that_reports_by_day_are_checked() -> None:
    day = (HOUR % 24 >= 7) & (HOUR % 24 < 19)
    departures = find(np.where(day, noise(), np.nan))
    assert np.isfinite(departures.ratio[day]).all()
    assert np.isnan(departures.ratio[~day]).all()


def test_a_series_that_is_mostly_missing_is_not_checked() -> None:
    assert recent_level.find(np.where(HOUR % 9 == 0, noise(), np.nan), 0.0, 1.0, 0.5, 0.1, 12) is None


@pytest.mark.parametrize(
    ("step_hours", "readings"), [(1.0, 96), (0.5, 192), (1 / 6, 144), (5 / 3600, 720), (12.0, 112), (24.0, None)]
)
def test_the_number_of_readings_for_the_shortest_window(step_hours: float, readings: int | None) -> None:
    assert recent_level.needed_readings(step_hours) == readings
    for count, possible in ((readings or 1000, readings is not None), ((readings or 2) - 1, False)):
        found = recent_level.find(np.arange(count) % 7.0, 0.0, step_hours, 0.5, 0.1, 12)
        assert (found is not None) == possible
