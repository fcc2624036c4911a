"""A classical rival: harmonic regression with ARMA errors for a station and variable, fitted with statsmodels.

The harmonics are those of the climatology, the errors an ARMA(2, 1) of the anomalies, fitted by maximum likelihood
with a Kalman filter on the last half year of training (dynamic harmonic regression: Hyndman and Athanasopoulos,
Forecasting: Principles and Practice, 3rd ed., section 10.5). It is bounded to some stations and that half year, since
it takes seconds for each station and variable where the others take seconds for all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.evaluation.held_out import HeldOut
from weatherglass.forecast import features
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

NAME = "harmonic_arma"
ORDER = (2, 0, 1)
DAYS = 180
STATIONS = 8
MIN_KNOWN = 0.7
"""Share of the half year that must be known."""
WARM_UP = 10 * 24
"""Hours before the first forecast that the filter runs over."""


def forecast(
    grid: HourGrid,
    training: npt.NDArray[np.bool_],
    climatology: Climatology,
    held_out: HeldOut,
    stations: Sequence[int],
) -> npt.NDArray[np.float32]:
    """Forecasts (n, leads, variables) of the held-out cases of some stations (grid rows); NaN for the others."""
    seen = features.model_inputs(grid, climatology)
    made = np.full(held_out.truth.shape, np.nan, np.float32)
    last = int(np.flatnonzero(training)[-1]) + 1
    learn = slice(max(0, last - DAYS * 24), last)
    for station in stations:
        cases = np.flatnonzero(held_out.stations == station)
        if len(cases) == 0:
            continue
        base = (held_out.base[cases] - grid.start).astype(np.int64)
        usual = climatology.at(seen.rows[[station]], grid.start + np.arange(int(base.max()) + LEADS[-1] + 1))[0]
        run = slice(max(0, int(base.min()) - WARM_UP), int(base.max()) + 1)
        for variable in range(len(VARIABLES)):
            series = np.where(training, seen.anomalies[station, :, variable], np.nan)[learn].astype(float)
            if np.isfinite(series).mean() < MIN_KNOWN:
                continue
            ahead = _ahead(series, seen.anomalies[station, run, variable].astype(float))
            at = base[:, None] + np.array(LEADS)
            made[cases, :, variable] = ahead[base - run.start] + usual[at, variable]
    return clip_to_limits(made).astype(np.float32)


def _ahead(learn: npt.NDArray[np.float64], run: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Expected anomalies (hours of `run`, leads), each from what was known up to its hour."""
    import warnings

    from statsmodels.tsa.statespace.sarimax import SARIMAX

    scale = float(np.nanstd(learn)) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a likelihood that stops short of its top is still a forecast
        fitted = SARIMAX(learn / scale, order=ORDER, trend=None).fit(disp=False, maxiter=50)
        filtered = fitted.apply(run / scale)
    state = filtered.filtered_state
    transition, observe = filtered.filter_results.transition[..., 0], filtered.filter_results.design[..., 0]
    made = np.empty((len(run), len(LEADS)))
    for i in range(len(LEADS)):
        state = transition @ state
        made[:, i] = (observe @ state)[0] * scale
    return made
