"""PSI and KS against independent calculations, and the limit against the natural variability of weather."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.synthetic_history import history
from weatherglass.forecast import climatology
from weatherglass.history.grid import HourGrid
from weatherglass.verification import drift


def cut(grid: HourGrid, begin: int, days: int) -> HourGrid:
    return HourGrid(grid.stations, grid.start + begin * 24, grid.values[:, begin * 24 : (begin + days) * 24])


def test_psi_of_known_shares_computed_by_hand() -> None:
    """Deciles of 0 to 99: ten values per bin; the recent values lie in the first two bins, 30 and 10."""
    reference = np.arange(100.0)
    recent = np.concatenate([np.full(30, 5.0), np.full(10, 15.0)])
    counts = np.array([30, 10] + [0.5] * 8)
    shares = counts / counts.sum()
    assert drift.psi(reference, recent) == pytest.approx(((shares - 0.1) * np.log(shares / 0.1)).sum())
    assert drift.psi(reference, reference) == 0


def test_psi_of_a_shifted_normal_distribution_is_near_its_expectation() -> None:
    rng = np.random.default_rng(5)
    before, same, shifted = rng.normal(size=4000), rng.normal(size=2000), rng.normal(1.0, 1.0, size=2000)
    assert drift.psi(before, same) < 0.05
    shares = np.diff(stats.norm.cdf(stats.norm.ppf(np.linspace(0, 1, 11)), loc=1.0))
    assert drift.psi(before, shifted) == pytest.approx(((shares - 0.1) * np.log(shares / 0.1)).sum(), rel=0.15)


def test_ks_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    before, shifted = rng.normal(size=400), rng.normal(0.3, 2.0, size=170).round(1)
    assert drift.ks(before, shifted) == pytest.approx(stats.ks_2samp(before, shifted).statistic)


def test_segments_that_are_half_empty_are_left_out_and_their_number_is_limited() -> None:
    values = np.arange(2 * 250.0).reshape(2, 250)
    values[:, 10:15] = np.nan  # half of the second segment is missing
    values[:, 20:24] = np.nan
    found = drift.segments(values, 10)
    assert [len(segment) for segment in found] == [20, 12] + [20] * 22
    np.testing.assert_array_equal(found[0], [*range(10), *range(250, 260)])
    many = drift.segments(np.zeros((1, 10 * 130)), 10)
    assert len(many) == -(-130 // 3)  # every third: 130 / 60, rounded up
    assert drift.segments(np.zeros((1, 5)), 10) == []


def test_features_are_the_anomaly_and_its_change_over_three_hours() -> None:
    grid = history(days=90)
    fitted = climatology.fit(grid)
    features = drift.features(grid, fitted)
    temperature = grid.values[..., 0].astype(np.float64)
    normal = fitted.at(np.arange(len(grid.stations)), grid.hours)[..., 0]
    np.testing.assert_allclose(features["temperature"], temperature - normal, atol=1e-4)
    np.testing.assert_allclose(features["temperature_change"][:, 3:], temperature[:, 3:] - temperature[:, :-3])
    assert np.isnan(features["temperature_change"][:, :3]).all()


def test_a_shift_of_the_inputs_is_drift_and_a_week_of_weather_is_not() -> None:
    grid = history(days=400)
    fitted = climatology.fit(grid)
    before = cut(grid, 0, 340)
    weeks = [drift.compare(before, cut(grid, begin, 7), fitted) for begin in range(342, 393, 7)]
    assert max(one.psi for week in weeks for one in week) > 2 * drift.PSI_LIMIT, "a week is not an independent sample"
    assert [one for week in weeks for one in week if one.psi > one.psi_limit] == []
    week = cut(grid, 342, 7)
    warm = week.values.copy()
    warm[..., 0] += 25
    shifted = {one.feature: one for one in drift.compare(before, replace(week, values=warm), fitted)}
    assert shifted["temperature"].psi > shifted["temperature"].psi_limit
    assert shifted["pressure"] == weeks[0][list(shifted).index("pressure")]
    change = shifted["temperature_change"]
    assert change.psi <= change.psi_limit, "a constant shift does not affect changes"


def test_the_limit_is_one_and_a_half_times_the_largest_psi_of_the_segments() -> None:
    grid = history(days=200)
    fitted = climatology.fit(grid)
    before, week = cut(grid, 0, 150), cut(grid, 160, 7)
    found = {one.feature: one for one in drift.compare(before, week, fitted)}
    reference = drift.features(before, fitted)["pressure"]
    psis = [drift.psi(reference.ravel(), reference[:, at : at + 168].ravel()) for at in range(0, 150 * 24 - 167, 168)]
    assert found["pressure"].psi_limit == pytest.approx(1.5 * max(psis))
    recent = drift.features(week, fitted)["pressure"].ravel()
    assert found["pressure"].psi == pytest.approx(drift.psi(reference.ravel(), recent))
    assert found["pressure"].n == len(recent)


def test_a_reference_with_fewer_than_eight_segments_gives_no_drift() -> None:
    grid = history(days=70)
    fitted = climatology.fit(grid)
    week = cut(grid, 60, 7)
    assert drift.compare(cut(grid, 0, 7 * 8 - 1), week, fitted) == []
    assert len(drift.compare(cut(grid, 0, 7 * 8), week, fitted)) == 8
