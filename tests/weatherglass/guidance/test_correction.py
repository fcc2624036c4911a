"""Corrections in issue order: no knowledge of the future, and errors that can be learned are removed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.weatherglass.guidance.networks import network
from weatherglass.guidance.correction import MIN_RESIDUAL_DAYS, correct
from weatherglass.guidance.daily_series import DailySeries
from weatherglass.guidance.error_distribution import QUANTILES
from weatherglass.guidance.error_features import BASE_MEMORY, SHRINKAGE, error_features


@pytest.mark.parametrize("delay", [1, 2, 5])
def test_nothing_that_was_not_known_then_changes_a_corrected_forecast(delay: int) -> None:
    series, day = network(days=30, delay=delay), 20
    observed, guidance = series.observed.copy(), series.guidance.copy()
    observed[day - delay + 1 :] = 1e3
    guidance[day + 1 :] = -1e3
    before, after = correct(series), correct(replace(series, observed=observed, guidance=guidance))
    np.testing.assert_array_equal(after.centre[: day + 1], before.centre[: day + 1])
    np.testing.assert_array_equal(after.quantiles[: day + 1], before.quantiles[: day + 1])
    assert (after.centre[day + delay] != before.centre[day + delay]).any()


@pytest.mark.parametrize("delay", [1, 2])
def test_the_newest_known_error_is_used(delay: int) -> None:
    series, day = network(days=30, delay=delay), 20
    observed = series.observed.copy()
    observed[day - delay] += 5.0
    before, after = correct(series).centre[day], correct(replace(series, observed=observed)).centre[day]
    assert (after != before).all()
    assert after.mean() > before.mean()


def test_the_base_is_the_shrunken_mean_error_with_exponential_weights() -> None:
    series = network(days=25, delay=2)
    _, _, base = error_features(series)
    known = series.error[: 20 - 2 + 1]
    weight = np.exp(-np.arange(len(known))[::-1] / BASE_MEMORY)[:, None] * np.isfinite(known)
    expected = (weight * np.nan_to_num(known)).sum(axis=0) / (weight.sum(axis=0) + SHRINKAGE)
    np.testing.assert_allclose(base[20], expected, rtol=1e-12)
    assert (base[:2] == 0).all()


def test_biases_of_stations_are_removed_and_quantiles_cover_their_share() -> None:
    series = network(days=150, seed=3)
    corrected = correct(series, 60)
    of_test = np.isfinite(series.error)
    of_test[:60] = False
    error = np.abs(series.observed - corrected.centre)[of_test]
    assert error.mean() < 0.6 * np.abs(series.error)[of_test].mean()
    for probability in (0.1, 0.5, 0.9):
        quantile = corrected.quantiles[:, :, int(np.argmin(np.abs(QUANTILES - probability)))]
        assert np.mean(series.observed[of_test] <= quantile[of_test]) == pytest.approx(probability, abs=0.06)
    assert (np.diff(corrected.quantiles[60:], axis=2) >= 0).all()


def test_guidance_without_an_error_that_can_be_learned_does_not_become_worse() -> None:
    series = network(days=200, seed=5, bias=0.0)
    noise = np.random.default_rng(6).normal(0, 1, series.observed.shape)
    unbiased = replace(series, guidance=(np.nan_to_num(series.observed, nan=10.0) - noise)[:, :, None])
    of_test = np.isfinite(unbiased.error)
    of_test[:60] = False
    corrected = np.abs(unbiased.observed - correct(unbiased, 200).centre)[of_test].mean()
    assert corrected < 1.03 * np.abs(unbiased.error)[of_test].mean()


def test_an_impossible_observation_has_little_effect_on_the_next_days() -> None:
    series, day = network(days=60, seed=7), 40
    observed = series.observed.copy()
    observed[day, 3] = 500.0
    clean, faulty = correct(series), correct(replace(series, observed=observed))
    assert np.nanmax(np.abs(faulty.centre - clean.centre)) < 2.0
    width, faulty_width = (
        forecast.quantiles[day + 1 :, :, -10] - forecast.quantiles[day + 1 :, :, 9] for forecast in (clean, faulty)
    )
    assert (faulty_width < 2 * width).all()


def test_intervals_stay_plausible_after_a_gap(single: DailySeries) -> None:
    observed = single.observed.copy()
    observed[100:150] = np.nan
    quantiles = correct(replace(single, observed=observed)).quantiles
    width = (quantiles[:, 0, 89] - quantiles[:, 0, 9])[60:]
    assert width.max() < 5 * np.median(width)
    assert width.min() > 0.2 * np.median(width)


def test_days_stations_and_models_may_be_missing() -> None:
    series = network(days=60, seed=9)
    guidance, observed = series.guidance.copy(), series.observed.copy()
    guidance[20] = np.nan
    guidance[30:, 3, 0] = np.nan
    guidance[:, 4] = np.nan
    observed[:, 5] = np.nan
    corrected = correct(replace(series, guidance=guidance, observed=observed))
    assert np.isnan(corrected.centre[20]).all()
    assert np.isnan(corrected.centre[:, 4]).all()
    present = np.ones(12, bool)
    present[4] = False
    rest = np.delete(np.arange(60), 20)
    assert np.isfinite(corrected.centre[np.ix_(rest, present)]).all()  # also station 5, from its neighbours
    assert np.isfinite(corrected.quantiles[-1][present]).all()


def test_a_single_station_needs_no_place(single: DailySeries) -> None:
    corrected = correct(single)
    of_test = slice(100, None)
    error = np.abs(single.observed - corrected.centre)[of_test]
    assert np.nanmean(error) < 0.7 * np.nanmean(np.abs(single.error)[of_test])


def test_until_there_are_errors_the_guidance_is_unchanged_and_has_no_quantiles(single: DailySeries) -> None:
    nothing = correct(replace(single, observed=np.full_like(single.observed, np.nan)))
    np.testing.assert_allclose(nothing.centre, single.mean)
    assert np.isnan(nothing.quantiles).all()
    assert np.isnan(correct(single).quantiles[:MIN_RESIDUAL_DAYS]).all()


@pytest.fixture
def single() -> DailySeries:
    series = network(days=200, stations=1, models=1, seed=11, bias=2.0)
    nowhere = replace(series.stations[0], latitude=np.nan, longitude=np.nan, elevation=None)
    return replace(series, stations=(nowhere,), guidance=series.guidance - 2.0)
