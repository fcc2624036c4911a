"""A linear model of the error of guidance, one for all stations of a series.

Ridge regression by iteratively reweighted least squares with weights 1 / |residual|, so that it approximates the
conditional median (Schlossmacher 1973, Journal of the American Statistical Association 68, 857-859) and a few wrong
observations cannot dominate it. On one day the errors of all stations are alike, so that a day counts as one
independent case: the penalty is that of `PENALTY_DAYS` days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weatherglass.guidance.daily_series import Array

PENALTY_DAYS = 5.0
ITERATIONS = 4
SMALLEST_RESIDUAL = 0.3
"""Residuals below this share of the median one have the same weight."""


@dataclass(frozen=True)
class ErrorRegression:
    """Coefficients of standardized regressors.

    Attributes:
        centre, scale: (features,).
        coefficients: (features + 1,), the last one is the intercept.
    """

    centre: Array
    scale: Array
    coefficients: Array

    def predict(self, features: Array) -> Array:
        """Return the expected error without the base (n,) for regressors (n, features)."""
        standardized = (features - self.centre) / self.scale
        return np.asarray(standardized @ self.coefficients[:-1] + self.coefficients[-1])


def fit(features: Array, target: Array, days: int) -> ErrorRegression:
    """Fit the errors without the base, `target` (n,), on regressors (n, features) of so many days."""
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-9] = 1.0
    matrix = np.c_[(features - centre) / scale, np.ones(len(features))]
    penalty = np.full(matrix.shape[1], PENALTY_DAYS * len(features) / days)
    smallest = SMALLEST_RESIDUAL * max(float(np.median(np.abs(target))), 1e-9)
    coefficients = np.zeros(matrix.shape[1])
    for _ in range(ITERATIONS):
        weight = smallest / np.maximum(np.abs(target - matrix @ coefficients), smallest)
        weighted = matrix * weight[:, None]
        coefficients = np.linalg.solve(weighted.T @ matrix + np.diag(penalty * weight.mean()), weighted.T @ target)
    return ErrorRegression(centre, scale, coefficients)
