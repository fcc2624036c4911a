from __future__ import annotations

import math

import numpy as np

from tests.synthetic_history import climate, history
from weatherglass.forecast import climatology
from weatherglass.forecast.climatology import TERMS, Climatology, harmonics
from weatherglass.forecast.variables import MODEL_VARIABLES, model_variables
from weatherglass.history.grid import HourGrid

PENALTY = [0, *[240] * 2, *[3840] * 2, *[24] * 2, *[96] * 2, *[216] * 2, *[240] * 4, *[960] * 4]
"""In hours of data: annual harmonics 240 k^4, diurnal ones 24 k^2, mixed ones 240 k^2."""


def test_harmonics_of_an_hour() -> None:
    hour = np.datetime64("2017-05-03T14", "h")
    count = int(hour.astype(int))
    year, day = 2 * math.pi * count / 8765.82, 2 * math.pi * 14 / 24
    expected = [1.0]
    for k in (1, 2):
        expected += [math.cos(k * year), math.sin(k * year)]
    for k in (1, 2, 3):
        expected += [math.cos(k * day), math.sin(k * day)]
    for k in (1, 2):
        for wave in (math.cos(k * day), math.sin(k * day)):
            expected += [wave * math.cos(year), wave * math.sin(year)]
    np.testing.assert_allclose(harmonics(np.array([hour]))[0], expected, atol=1e-9)


def test_coefficients_are_those_of_a_ridge_regression_without_outliers() -> None:
    """Compared with least squares on data augmented by the square root of the penalty."""
    grid = history(count=1, days=90)
    values = grid.values.copy()
    values[0, 100:110, 0] += 40.0  # about ten robust standard deviations
    values[0, 200:300, 0] = np.nan
    fitted = climatology.fit(HourGrid(grid.stations, grid.start, values)).coefficients[0, :, 0]
    kept = np.ones(90 * 24, bool)
    kept[100:110] = kept[200:300] = False
    target = values[0, kept, 0].astype(float)
    regressors = harmonics(grid.hours[kept])

    def ridge(used: np.ndarray) -> np.ndarray:
        augmented = np.concatenate([regressors[used], np.diag(np.sqrt(PENALTY))])
        return np.linalg.lstsq(augmented, np.concatenate([target[used], np.zeros(TERMS)]), rcond=None)[0]

    np.testing.assert_allclose(fitted, ridge(np.ones(len(target), bool)), rtol=1e-6, atol=1e-6)


def test_normals_are_the_products_of_harmonics_and_coefficients() -> None:
    coefficients = np.random.default_rng(1).normal(size=(2, TERMS, len(MODEL_VARIABLES)))
    normals = Climatology(("a", "b"), coefficients)
    hours = np.datetime64("2020-02-28T22", "h") + np.arange(4)
    np.testing.assert_array_equal(normals.rows(["b", "x", "a"]), [1, -1, 0])
    table = normals.at(np.array([1, -1, 0]), hours)
    expected = np.stack([harmonics(hours) @ coefficients[1], harmonics(hours) @ coefficients[0]])
    np.testing.assert_allclose(table[[0, 2]], expected, rtol=1e-5)
    assert np.isnan(table[1]).all()
    pairs = normals.at_pairs(np.array([1, -1, 0]), hours[[3, 0, 1]])
    np.testing.assert_allclose(pairs[[0, 2]], [table[0, 3], table[2, 1]], rtol=1e-5)
    assert np.isnan(pairs[1]).all()


def test_a_variable_needs_480_values_for_a_climatology() -> None:
    grid = history(count=2, days=60)
    for count, known in ((479, False), (480, True)):
        values = grid.values.copy()
        values[1, count:, 0] = np.nan
        coefficients = climatology.fit(HourGrid(grid.stations, grid.start, values)).coefficients
        assert np.isfinite(coefficients[1, :, 0]).all() == known


def test_missing_humidity_and_wind_have_the_mean_annual_cycle_of_the_other_stations() -> None:
    grid = history(count=3, days=60)
    values = grid.values.copy()
    values[2, :, 1:] = np.nan
    fitted = climatology.fit(HourGrid(grid.stations, grid.start, values)).coefficients
    for name in ("humidity", "wind_speed", "wind_u", "wind_v"):
        variable = MODEL_VARIABLES.index(name)
        np.testing.assert_allclose(fitted[2, :5, variable], fitted[:2, :5, variable].mean(axis=0))
        np.testing.assert_array_equal(fitted[2, 5:, variable], 0)
    for name in ("pressure", "dew_point"):
        assert np.isnan(fitted[2, :, MODEL_VARIABLES.index(name)]).all()


def test_the_climatology_of_three_years_recovers_the_true_climate() -> None:
    grid = history(count=2, days=3 * 365)
    normals = climatology.fit(grid).at(np.array([0, 1]), grid.hours)
    truth = climate(2, grid.hours)
    # AR(1) weather with a memory of 33 h leaves the mean of three years uncertain by some hundredths of its spread.
    assert np.abs(normals[..., 0] - truth[..., 0]).mean() < 0.6
    assert np.abs(normals[..., 2] - truth[..., 2]).mean() < 0.9


def test_a_missing_wind_speed_is_computed_from_the_components() -> None:
    values = np.array([[20.0, 50.0, 1000.0, 3.0, -4.0, np.nan], [20.0, 50.0, 1000.0, 3.0, -4.0, 7.0]])
    variables = model_variables(values)
    np.testing.assert_allclose(variables[:, :6], [[20, 50, 1000, 5, 3, -4], [20, 50, 1000, 7, 3, -4]])
    # Magnus formula with the coefficients of Sonntag (1990): 9.27 °C at 20 °C and 50 %.
    np.testing.assert_allclose(variables[:, 6], 9.27, atol=0.05)
