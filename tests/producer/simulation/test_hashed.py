"""Random numbers that are functions of integers: their distribution and independence."""

from __future__ import annotations

import numpy as np
from scipy import stats

from producer.simulation.hashed import noise, normal, uniform


def test_the_numbers_have_the_stated_distributions() -> None:
    keys = np.arange(20_000)
    assert stats.kstest(uniform(1, keys), "uniform").pvalue > 1e-3
    assert stats.kstest(normal(1, keys), "norm").pvalue > 1e-3
    assert stats.kstest(noise(keys * 7.3, 600.0, 1)[::600], "norm").pvalue > 1e-3


def test_numbers_of_different_keys_are_not_correlated() -> None:
    keys = np.arange(20_000)
    columns = np.array(
        [normal(1, keys), normal(2, keys), normal(1, keys, 0), normal(1, -keys - 1), normal(1, keys + 1)]
    )
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / np.sqrt(len(keys))


def test_a_number_depends_on_its_keys_only() -> None:
    together = uniform(3, np.arange(-5, 5)[:, None], np.arange(4))
    for row, first in enumerate(range(-5, 5)):
        assert [float(uniform(3, first, second)) for second in range(4)] == together[row].tolist()


def test_noise_is_continuous_and_correlated_over_its_scale() -> None:
    seconds = 1.7e9 + np.arange(0, 600_000, 1.0)
    values = noise(seconds, 600.0, 5)
    assert np.abs(np.diff(values)).max() < 0.03
    by_lag = [float(np.corrcoef(values[:-lag], values[lag:])[0, 1]) for lag in (60, 300, 600, 1200)]
    assert by_lag == sorted(by_lag, reverse=True)
    assert by_lag[0] > 0.9
    assert abs(by_lag[-1]) < 0.15
