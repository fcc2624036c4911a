"""Running bias: the part of a station's error that has been the same for weeks, by lead and time of day.

It is the median of the errors, which a storm or a faulty day does not move. Only a part of it is subtracted, because
the next weeks differ from the last ones. (Compare the decaying average of Cui, Toth, Zhu and Hou 2012, Bias Correction
for Global Ensemble Forecast, Weather and Forecasting 27, 396-410.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.error_window import error_window
from weatherglass.records import LEADS, VARIABLES

CLASS_HOURS = 6
CLASSES = 24 // CLASS_HOURS
"""Classes of base hours by their time of day, UTC."""
PRIOR_CASES = 8
"""Errors of a station, lead and class that weigh as much as the prior that there is no bias."""
SHARE = 0.5
"""Share of the bias that is subtracted."""


def base_class(base: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """Return the classes (n,) of base hours, UTC."""
    return np.asarray(base.astype("datetime64[h]").astype(np.int64) % 24 // CLASS_HOURS)


def running_bias(
    station_ids: Sequence[str], base: npt.NDArray[np.datetime64], errors: npt.NDArray, now: np.datetime64
) -> dict[str, npt.NDArray[np.float64]]:
    """Compute what is to be subtracted from forecasts, from those of an `error_window` among n forecasts.

    Args:
        station_ids: n.
        base: (n,) base hours, UTC.
        errors: (n, leads, variables) forecast minus observation, of forecasts without recalibration; NaN if unknown.

    Returns:
        Station -> (leads, classes, variables); empty if the window covers too few days.
    """
    window = error_window(station_ids, base, now)
    if not window.is_long_enough:
        return {}
    recent = window.select(errors)
    group = window.rows * CLASSES + base_class(base[window.used])
    bias = np.zeros((len(window.names) * CLASSES, len(LEADS), len(VARIABLES)))
    order = np.argsort(group, kind="stable")
    for cases in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        median, count = _median(recent[cases])
        bias[group[cases[0]]] = SHARE * median * count / (count + PRIOR_CASES)
    by_station = bias.reshape(len(window.names), CLASSES, len(LEADS), len(VARIABLES)).swapaxes(1, 2)
    return dict(zip(window.names, by_station, strict=True))


def stack_bias(
    bias: Mapping[str, npt.NDArray[np.float64]], station_ids: Sequence[str], base: npt.NDArray[np.datetime64]
) -> npt.NDArray[np.float64]:
    """Return what is to be subtracted from n forecasts, (n, leads, variables); 0 for a missing station."""
    none = np.zeros((len(LEADS), CLASSES, len(VARIABLES)))
    classes = base_class(base).tolist()
    rows = [bias.get(name, none)[:, k] for name, k in zip(station_ids, classes, strict=True)]
    return np.array(rows).reshape(-1, len(LEADS), len(VARIABLES))


def _median(errors: npt.NDArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the median over the first axis of the known values, 0 where there are none, and their number."""
    known = np.isfinite(errors)
    count = known.sum(axis=0)
    ordered = np.sort(np.where(known, errors, np.inf).astype(np.float64), axis=0)
    lower, upper = (
        np.take_along_axis(ordered, index[None], axis=0)[0] for index in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return np.where(count > 0, (lower + upper) / 2, 0.0), count
