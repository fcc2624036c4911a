"""Cycles of a single series."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly.seasonality import seasonal


def series(period: float, days: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """Return a cycle of hourly values, and the same with noise and a fault of two days."""
    hours = np.arange(days * 24)
    cycle = 5.0 * ((hours % period) < period * 5 / 7)
    values = cycle + np.random.default_rng(2).normal(size=len(hours))
    values[500:548] += 30.0
    return cycle - np.median(cycle), values


@pytest.mark.parametrize("period", [24.0, 168.0])
def test_a_daily_and_a_weekly_cycle_are_found(period: float) -> None:
    cycle, values = series(period)
    found = seasonal(values, 0.0, 1.0)
    assert np.corrcoef(found, cycle)[0, 1] > 0.9


def test_a_series_without_cycle_is_left_unchanged() -> None:
    _, values = series(100.0)
    noise = np.random.default_rng(3).normal(size=len(values))
    assert np.abs(seasonal(noise, 0.0, 1.0)).max() == 0.0


def test_a_series_of_less_than_four_periods_has_no_cycle() -> None:
    assert not seasonal(series(24.0)[1][:90], 0.0, 1.0).any()
