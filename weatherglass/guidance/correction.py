"""Guidance corrected in the order in which it was issued: each day with what was known then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weatherglass.guidance.daily_series import Array, DailySeries
from weatherglass.guidance.error_distribution import QUANTILES, error_quantiles, scale_features
from weatherglass.guidance.error_features import error_features
from weatherglass.guidance.error_regression import fit

MIN_DAYS = 3
"""Days with known errors before there is a regression; until then the mean error is corrected."""
MIN_RESIDUAL_DAYS = 5
"""Days with known errors of corrected forecasts before there are quantiles."""


@dataclass(frozen=True)
class CorrectedGuidance:
    """d days, s stations.

    Attributes:
        centre: (d, s) corrected forecasts; NaN without guidance.
        quantiles: (d, s, QUANTILES), for the days asked for; NaN before `MIN_RESIDUAL_DAYS`.
    """

    centre: Array
    quantiles: Array


def correct(series: DailySeries, quantiles_from: int = 0) -> CorrectedGuidance:
    """Correct the guidance of each day with the errors that were known when it was issued.

    Args:
        quantiles_from: first day with quantiles, which take most of the time.
    """
    names, features, base = error_features(series)
    centre = series.mean + base
    for day in range(series.delay, len(centre)):
        known = _known(series, series.error, day)
        days = int(known.any(axis=1).sum())
        if days >= MIN_DAYS:
            regression = fit(features[known], (series.error - base)[known], days)
            centre[day] = series.mean[day] + base[day] + regression.predict(features[day])
    residual = series.observed - centre
    anomaly, change = (features[:, :, names.index(name)] for name in ("anomaly", "change"))
    scales = scale_features(series, residual, anomaly, change)
    quantiles = np.full((*centre.shape, len(QUANTILES)), np.nan)
    for day in range(quantiles_from, len(centre)):
        known = _known(series, residual, day)
        known[: series.delay + MIN_DAYS] = False  # before there was a regression
        days = int(known.any(axis=1).sum())
        if days >= MIN_RESIDUAL_DAYS:
            age = np.broadcast_to((day - np.arange(len(centre)))[:, None], centre.shape)[known]
            of_error = error_quantiles(scales[known], residual[known], age, days, scales[day])
            quantiles[day] = centre[day][:, None] + of_error
    return CorrectedGuidance(centre, quantiles)


def _known(series: DailySeries, error: Array, day: int) -> np.ndarray:
    """Which errors (d, s) are known when the forecast for a day is made."""
    known = np.isfinite(error)
    known[max(day - series.delay + 1, 0) :] = False
    return known
