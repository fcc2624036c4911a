"""Test on held-out hours: against SciPy's paired test, and on synthetic errors with a known difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from tests.synthetic_history import history
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.verification import held_out_test
from weatherglass.verification.held_out_test import CONFIDENCE, MIN_BLOCKS, compare, from_block_errors

RNG = np.random.default_rng(5)
BLOCKS = np.repeat(np.arange(40), 60)


def errors(gain: float, weather: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Errors of a new and an old forecaster; the weather of each block favours one of them by chance."""
    old = np.abs(RNG.normal(0.6, 0.2, len(BLOCKS)))
    favour = np.repeat(RNG.normal(0, weather, 40), 60)
    return old - gain + favour + RNG.normal(0, 0.05, len(BLOCKS)), old


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.3, -0.3])
def test_the_result_is_that_of_a_one_sided_t_test_of_the_block_means(gain: float) -> None:
    new, old = errors(gain)
    means = [(old - new)[block == BLOCKS].mean() for block in range(40)]
    result = from_block_errors(BLOCKS, new, old)
    expected = stats.ttest_1samp(means, 0, alternative="greater")
    assert result.blocks == 40
    assert result.gain == pytest.approx(np.mean(means))
    assert result.lower_bound == pytest.approx(expected.confidence_interval(CONFIDENCE).low)
    assert result.better == (expected.pvalue < 1 - CONFIDENCE)
    assert result.worse == (stats.ttest_1samp(means, 0, alternative="less").pvalue < 1 - CONFIDENCE)
    assert (result.new_error, result.old_error) == pytest.approx((new.mean(), old.mean()))


def test_gain_and_lower_bound_of_five_blocks_computed_by_hand() -> None:
    """Block means 1 to 5: mean 3, standard error sqrt(2.5 / 5), t quantile 2.131847 with 4 degrees of freedom."""
    old = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 2)
    result = from_block_errors(np.repeat(np.arange(5), 2), np.zeros(10), old)
    assert result.gain == pytest.approx(3.0)
    assert result.lower_bound == pytest.approx(3 - 2.131847 * np.sqrt(0.5), abs=1e-6)


def test_correlated_errors_are_called_better_at_the_nominal_rate() -> None:
    """Without a true difference 5 % are called better; a test that counts every hour exceeds 25 %."""
    better = [from_block_errors(BLOCKS, *errors(0.0)).better for _ in range(300)]
    assert np.mean(better) < 0.1
    hourly = [stats.ttest_rel(*errors(0.0), alternative="less").pvalue < 0.05 for _ in range(100)]
    assert np.mean(hourly) > 0.25


def test_the_same_forecaster_is_neither_better_nor_worse() -> None:
    old = errors(0.0)[1]
    result = from_block_errors(BLOCKS, old, old)
    assert not result.better
    assert not result.worse


def test_fewer_blocks_than_the_minimum_are_not_significant() -> None:
    block = np.repeat(np.arange(MIN_BLOCKS - 1), 50)
    old = np.linspace(0.9, 1.1, len(block))
    for count in (len(block), 50):
        result = from_block_errors(block[:count], old[:count] * 0.5, old[:count])
        assert not result.better
        assert not from_block_errors(block[:count], old[:count] * 2, old[:count]).worse


class Fixed:
    """A forecaster whose forecasts (stations, hours, leads, variables) are given."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        values = self.values[list(rows), list(base)]
        return Forecast(
            tuple(grid.stations[row].station_id for row in rows),
            grid.start + np.array(base),
            values,
            dict.fromkeys(LEVELS, values),
            dict.fromkeys(LEVELS, values),
            (Method.MODEL,) * len(values),
            np.full(len(values), 72),
        )


@pytest.mark.parametrize("chunk", [7, 1000])
def test_errors_are_relative_and_compared_on_the_same_values(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """By loops over base hours with 72 h before and 24 h after: leads 6, 9, ..., 24 h.

    A value that is missing in one forecast counts in neither.
    """
    monkeypatch.setattr(held_out_test, "CHUNK", chunk)
    rng = np.random.default_rng(9)
    grid = history(count=2, days=12)
    grid.values[rng.random(grid.values.shape) < 0.1] = np.nan
    length = grid.values.shape[1]
    hours = np.arange(length) >= 24 * 4
    shape = (2, length, len(LEADS), len(VARIABLES))
    new, old = rng.normal(500, 300, shape), rng.normal(500, 300, shape)
    new[rng.random(shape) < 0.1] = np.nan
    old[rng.random(shape) < 0.1] = np.nan
    scale = rng.uniform(1, 5, shape[2:])
    result = compare(grid, hours, Fixed(new), Fixed(old), scale, 1000)

    means: list[tuple[float, float]] = []
    for base in range(24 * 4 + 72, length - 24):
        for station in range(2):
            if np.isnan(grid.values[station, base, 0]):
                continue
            cells = []
            for lead in range(6, 25, 3):
                temperature, humidity, pressure, u, v, speed = grid.values[station, base + lead].astype(float)
                observed = (temperature, humidity, pressure, np.hypot(u, v) if np.isnan(speed) else speed)
                for variable, value in enumerate(observed):
                    errors = [abs(f[station, base, lead - 1, variable] - value) for f in (new, old)]
                    if np.isfinite(errors).all():
                        cells.append([error / scale[lead - 1, variable] for error in errors])
            means.append(tuple(np.mean(cells, axis=0)))
    assert (result.new_error, result.old_error) == pytest.approx(tuple(np.mean(means, axis=0)), rel=1e-5)


def test_with_fewer_cases_than_available_an_odd_step_separates_the_base_hours() -> None:
    """1 station, 10 days of base hours: 240 of them, at most 100 cases, so every third hour."""
    asked: list[int] = []

    class Recording(Fixed):
        def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
            asked.extend(base)
            return super().forecast(grid, rows, base)

    grid = history(count=1, days=20)
    hours = np.zeros(480, bool)
    hours[100 - 72 : 100 + 240 + 24] = True
    zeros = np.zeros((1, 480, len(LEADS), len(VARIABLES)))
    compare(grid, hours, Recording(zeros), Fixed(zeros), np.ones(zeros.shape[2:]), 100)
    assert asked == list(range(100, 340, 3))
    asked.clear()
    compare(grid, hours, Recording(zeros), Fixed(zeros), np.ones(zeros.shape[2:]), 130)
    assert asked == list(range(100, 340, 3)), "a step of 2 becomes 3"
