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


@pytest.mark.parametrize(("step", "start"), [(1.0, 0.0), (1.0, 0.5), (2.0, 1.0), (3.0, 0.0), (6.0, 3.0), (1 / 6, 0.0)])
def test_the_cycle_has_the_amplitude_and_the_phase_of_the_series(step: float, start: float) -> None:
    angle = 2 * np.pi * (start + np.arange(round(20 * 24 / step)) * step) / 24
    found = seasonal(5.0 * np.cos(angle - 1.0), start, step)
    component = 2 * np.mean(found * np.exp(1j * angle))
    assert np.abs(component) == pytest.approx(5.0, rel=0.03)
    assert np.angle(component) == pytest.approx(1.0, abs=0.03)


def test_a_series_of_some_hours_of_the_day_has_the_cycle_of_these() -> None:
    hours = np.arange(40 * 24.0)
    cycle = 5.0 * np.cos(2 * np.pi * hours / 24)
    day = (hours % 24 >= 6) & (hours % 24 < 18)
    rest = np.where(day, cycle, np.nan) - seasonal(np.where(day, cycle, np.nan), 0.0, 1.0)
    assert np.nanstd(rest) < 0.1


def test_a_series_that_is_mostly_missing_has_no_cycle() -> None:
    sparse = np.full(2000, np.nan)
    sparse[::9] = np.arange(len(sparse[::9])) % 5
    assert not seasonal(sparse, 0.0, 1.0).any()
