"""The damping factors and their errors, compared with closed forms and with loops over single pairs of hours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weatherglass.forecast.damped_anomaly import MAX_AGE, DampedAnomaly, error_quantiles, fit, newest_anomaly
from weatherglass.records import LEADS, VARIABLES


def test_rho_of_a_constant_and_an_alternating_station_is_the_closed_form() -> None:
    """At lag 1 the products of the two stations cancel, so the pooled rho is 0 and draws both towards it.

    With n hours, n - 1 pairs of squares 1 and the weight (n - 1) / n x 720, rho = (n - 1) / (n - 1 + weight).
    """
    n = 721
    anomalies = np.ones((2, n, len(VARIABLES)), np.float32)
    anomalies[1, 1::2] = -1
    rho = fit(anomalies).rho
    np.testing.assert_allclose(rho[0, 1], 1 / (1 + 720 / n), rtol=1e-12)
    np.testing.assert_array_equal(rho[1, 1], 0)
    np.testing.assert_allclose(rho[:, 2], 1, rtol=1e-12)
    assert rho.shape == (2, LEADS[-1] + MAX_AGE + 1, len(VARIABLES))


def test_rho_is_the_slope_through_the_origin_drawn_towards_that_of_all_stations() -> None:
    rng = np.random.default_rng(1)
    anomalies = rng.normal(size=(3, 400, len(VARIABLES))).cumsum(axis=1).astype(np.float32)
    anomalies[rng.random(anomalies.shape) < 0.2] = np.nan
    rho = fit(anomalies).rho
    for lag, variable in [(1, 0), (7, 2), (36, 3)]:
        products, squares, hours = [], [], []
        for station in range(3):
            series = anomalies[station, :, variable].astype(float).tolist()
            pairs = [(a, b) for a, b in zip(series, series[lag:], strict=False) if not math.isnan(a + b)]
            products.append(sum(a * b for a, b in pairs))
            squares.append(sum(a * a for a, _ in pairs))
            hours.append(sum(not math.isnan(a) for a in series))
        pooled = sum(products) / sum(squares)
        for station in range(3):
            weight = squares[station] / hours[station] * 720
            expected = (products[station] + weight * pooled) / (squares[station] + weight)
            assert rho[station, lag, variable] == pytest.approx(min(max(expected, 0), 1), rel=1e-9)


def test_a_station_without_values_has_the_pooled_rho() -> None:
    anomalies = np.random.default_rng(2).normal(size=(2, 300, len(VARIABLES))).cumsum(axis=1).astype(np.float32)
    anomalies[1] = np.nan
    with np.errstate(all="raise"):
        rho = fit(anomalies).rho
    np.testing.assert_allclose(rho[1], rho[0])


def test_the_newest_anomaly_is_the_first_known_one_within_its_maximum_age() -> None:
    past = np.full((1, 73, 4), np.nan, np.float32)
    past[0, 0, 0] = 1
    past[0, 5:, 1] = 2
    past[0, MAX_AGE, 2] = 3
    past[0, MAX_AGE + 1 :, 3] = 4
    newest, age = newest_anomaly(past)
    np.testing.assert_array_equal(newest, [[1, 2, 3, np.nan]])
    np.testing.assert_array_equal(age, [[0, 5, 12, 12]])


def test_an_anomaly_is_damped_by_the_rho_of_its_lead_plus_its_age() -> None:
    rho = np.random.default_rng(3).uniform(size=(2, 37, 4))
    newest, age = np.array([[1.0, 2.0, np.nan, -4.0]]), np.array([[0, 3, 12, 12]])
    damped = DampedAnomaly(rho).damp(np.array([1]), newest, age)
    for lead in LEADS:
        expected = [rho[1, lead, 0], 2 * rho[1, lead + 3, 1], 0.0, -4 * rho[1, lead + 12, 3]]
        np.testing.assert_allclose(damped[0, lead - 1], expected, rtol=1e-6)


def test_error_quantiles_are_those_of_all_pairs_of_hours() -> None:
    rng = np.random.default_rng(4)
    anomalies = rng.normal(size=(2, 120, 4)).astype(np.float32)
    anomalies[rng.random(anomalies.shape) < 0.3] = np.nan
    damping = DampedAnomaly(rng.uniform(size=(3, 37, 4)))
    rows, levels = np.array([2, 0]), (0.8, 0.9)
    quantiles = error_quantiles(anomalies, rows, damping, levels)
    assert quantiles.shape == (37, 4, 2)
    for lag, variable in [(0, 1), (5, 0), (35, 3), (36, 2)]:
        errors = []
        for station, row in enumerate(rows):
            for hour in range(120 - lag):
                # The last lag is the climatology, whose anomaly is 0.
                damped = damping.rho[row, lag, variable] * anomalies[station, hour, variable] if lag < 36 else 0.0
                error = abs(anomalies[station, hour + lag, variable] - damped)
                if math.isfinite(error):
                    errors.append(float(error))
        np.testing.assert_allclose(quantiles[lag, variable], np.quantile(errors, levels), rtol=1e-6)


def test_error_quantiles_of_a_variable_without_values_are_missing() -> None:
    anomalies = np.zeros((1, 60, 4), np.float32)
    anomalies[..., 2] = np.nan
    quantiles = error_quantiles(anomalies, np.array([0]), DampedAnomaly(np.ones((1, 37, 4))), (0.8,))
    assert np.isnan(quantiles[:, 2]).all()
    np.testing.assert_array_equal(quantiles[:, [0, 1, 3]], 0)
