"""A classical baseline: harmonic regression with ARMA errors for a station and variable, fitted with statsmodels.

The harmonics are those of the climatology, the errors an ARMA(2, 1) of the anomalies, fitted by maximum likelihood
with a Kalman filter on the last half year of training (dynamic harmonic regression: Hyndman and Athanasopoulos,
Forecasting: Principles and Practice, 3rd ed., section 10.5). It is limited to a few stations and this half year because
it takes seconds for each station and variable, and the other baselines take seconds for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.evaluation.held_out import HeldOut
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.features import model_inputs
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

NAME = "harmonic_arma"
ORDER = (2, 0, 1)
DAYS = 180
STATIONS = 8
MIN_KNOWN = 0.7
"""Required share of known hours in the half year."""
WARM_UP = 10 * 24
"""Hours before the first forecast from which the filter starts."""


def forecast(
    grid: HourGrid,
    training: npt.NDArray[np.bool_],
    climatology: Climatology,
    held_out: HeldOut,
    stations: Sequence[int],
) -> npt.NDArray[np.float32]:
    """Forecast the held-out cases of some stations (grid rows); return (n, leads, variables), NaN for other stations.

    Args:
        training: (hours,) mask of the hours for fitting.
        climatology: fitted on these hours.
    """
    inputs = model_inputs(grid, climatology)
    forecasts = np.full(held_out.observed.shape, np.nan, np.float32)
    end = int(np.flatnonzero(training)[-1]) + 1
    fit_hours = slice(max(0, end - DAYS * 24), end)
    for station in stations:
        cases = np.flatnonzero(held_out.stations == station)
        if len(cases) == 0:
            continue
        base = grid.positions(held_out.base[cases])
        all_hours = grid.hours[: int(base.max()) + LEADS[-1] + 1]
        normals = climatology.at(inputs.climatology_rows[[station]], all_hours)[0]
        filter_hours = slice(max(0, int(base.min()) - WARM_UP), int(base.max()) + 1)
        for variable in range(len(VARIABLES)):
            anomalies = inputs.anomalies[station, :, variable]
            series = np.where(training, anomalies, np.nan)[fit_hours].astype(float)
            if np.isfinite(series).mean() < MIN_KNOWN:
                continue
            predicted = _predict(series, anomalies[filter_hours].astype(float))
            valid = base[:, None] + np.array(LEADS)
            forecasts[cases, :, variable] = predicted[base - filter_hours.start] + normals[valid, variable]
    return clip_to_limits(forecasts).astype(np.float32)


def _predict(fit_series: npt.NDArray[np.float64], series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return expected anomalies (hours of `series`, leads), each from the values up to its hour."""
    import warnings

    from statsmodels.tsa.statespace.sarimax import SARIMAX

    scale = float(np.nanstd(fit_series)) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # also if the optimizer stops before convergence, the forecast is usable
        fitted = SARIMAX(fit_series / scale, order=ORDER, trend=None).fit(disp=False, maxiter=50)
        filtered = fitted.apply(series / scale)
    state = filtered.filtered_state
    transition, observe = filtered.filter_results.transition[..., 0], filtered.filter_results.design[..., 0]
    predicted = np.empty((len(series), len(LEADS)))
    for i in range(len(LEADS)):
        state = transition @ state
        predicted[:, i] = (observe @ state)[0] * scale
    return predicted
