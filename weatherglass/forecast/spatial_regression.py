"""Spatial regression: the linear part of a forecast, from the last two days of a station and its neighbours.

A ridge regression for each station, variable and lead on the anomalies of the station and of its nearest neighbours
at lags from 0 to 48 h; the anomalies of the base hour also enter multiplied by the first harmonic of the day, because
the effect of a warm anomaly depends on the hour. The target is the residual of the damped anomaly, so the forecast
falls back to the damped anomaly if there is nothing to learn. The penalty grows with the distance of a neighbour and
with the lag, because there are many more regressors than independent days of weather (Bayesian ridge with an
informative prior; compare Hoerl and Kennard 1970, Technometrics 12, 55-67).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.records import LEADS, VARIABLES
from weatherglass.registry.arrays import ModelArrays
from weatherglass.stations import Station

LAGS = (0, 1, 2, 3, 6, 9, 12, 18, 24, 36, 48)
BLOCKS = len(LAGS) + 2
"""Anomalies at each lag, and those at lag 0 times the cosine and the sine of the time of day."""
MAX_NEIGHBOURS = 12
"""Stations whose anomalies enter a forecast, including the station itself."""
DECORRELATION_HOURS = 30.0
CHANGE_SCALE = np.sqrt(2 * (1 - np.exp(-np.diff(LAGS) / DECORRELATION_HOURS))).astype(np.float32)
"""Standard deviation of the change between two lags of a first-order autoregression with `DECORRELATION_HOURS`."""
MAX_FILL_HOURS = 12
"""A missing value is replaced by the last known value of this many hours."""
CLIP = 4.0
"""Limit of standardized anomalies, so that one wrong reading cannot dominate a forecast."""


@dataclass(frozen=True)
class SpatialRegression:
    """Coefficients of s stations, k nearest stations and the model variables.

    Attributes:
        scale: (s, model variables) robust standard deviation of the anomalies; NaN for an unused variable.
        neighbours: (s, k) rows of the nearest stations, the station itself first, `MAX_NEIGHBOURS` at most.
        weights: (s, BLOCKS x k x model variables, leads, variables) float32, applied to standardized anomalies.
        offset: (s, leads, variables).
        fitted: (s, variables) whether there is a regression.
        imputation: (s, lags - 1, 2k - 1, model variables) coefficients that estimate a missing change of the station
            between two lags from the anomalies of all its stations at the base hour and from the neighbours' changes.
    """

    station_ids: tuple[str, ...]
    scale: npt.NDArray[np.float32]
    neighbours: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    fitted: npt.NDArray[np.bool_]
    imputation: npt.NDArray[np.float32]

    def arrays(self) -> dict[str, npt.NDArray]:
        """Return all arrays by attribute name."""
        return {name: values for name, values in vars(self).items() if name != "station_ids"}

    @classmethod
    def from_arrays(cls, station_ids: tuple[str, ...], arrays: ModelArrays, prefix: str) -> SpatialRegression:
        """Take what `arrays` returned from a file, where the names have a prefix.

        Raises:
            ModelFileError: an array is missing, or does not match the stations or the other arrays.
        """
        s, variables, inputs = len(station_ids), len(VARIABLES), len(MODEL_VARIABLES)
        neighbours = arrays.take(f"{prefix}neighbours", np.int64, (s, None), 0, s - 1)
        k = neighbours.shape[1]
        return cls(
            station_ids,
            arrays.take(f"{prefix}scale", np.float32, (s, inputs)),
            neighbours,
            arrays.take(f"{prefix}weights", np.float32, (s, BLOCKS * k * inputs, len(LEADS), variables)),
            arrays.take(f"{prefix}offset", np.float32, (s, len(LEADS), variables)),
            arrays.take(f"{prefix}fitted", np.bool_, (s, variables)),
            arrays.take(f"{prefix}imputation", np.float32, (s, len(LAGS) - 1, 2 * k - 1, inputs)),
        )

    def standardized_field(
        self, stations: Sequence[Station], anomalies: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the standardized anomalies (s, hours, model variables) of the regression's stations.

        Args:
            anomalies: (len(stations), hours, model variables). A station that is not in `stations` is NaN.
        """
        field = np.full((len(self.station_ids), *anomalies.shape[1:]), np.nan, np.float32)
        rows = {station.station_id: row for row, station in enumerate(stations)}
        for row, station_id in enumerate(self.station_ids):
            if station_id in rows:  # one at a time, because filling gaps takes four times the memory of a station
                field[row] = standardize(anomalies[[rows[station_id]]], self.scale[[row]])[0]
        return field

    def is_extreme(
        self, rows: npt.NDArray[np.int64], anomalies: npt.NDArray[np.float32], variable: int
    ) -> npt.NDArray[np.bool_]:
        """Return whether anomalies (n,) exceed `CLIP` standard deviations; False for a row without a regression."""
        known = (rows >= 0) & (rows < len(self.scale))
        scale = np.where(known, self.scale[np.where(known, rows, 0), variable], np.nan)
        return np.asarray(np.abs(anomalies) > CLIP * scale)

    def increments(
        self,
        field: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        field_hours: npt.NDArray[np.int64],
        hours: npt.NDArray[np.datetime64],
        variables: Sequence[int],
        own_hours: npt.NDArray[np.int64] | None = None,
        with_neighbours: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return what the regression adds to the damped anomaly, (n, leads, len(variables)); NaN if not fitted.

        Args:
            field: from `standardized_field`.
            rows: (n,) rows of the regression, -1 for an unknown station.
            field_hours: (n,) base hours as indices of the field.
            hours: (n,) the same base hours in UTC.
            own_hours, with_neighbours: see `features.case_features`.
        """
        increments = np.full((len(rows), len(LEADS), len(variables)), np.nan, np.float32)
        for row in np.unique(rows[rows >= 0]):
            cases = np.flatnonzero(rows == row)
            lagged = self._lagged(field, int(row), field_hours[cases])
            if own_hours is not None:
                lagged[np.array(LAGS)[None, :] >= own_hours[cases][:, None], 0] = np.nan
            if with_neighbours is not None:
                lagged[~with_neighbours[cases], :, 1:] = np.nan
            regressors = predictors(lagged, hours[cases], self.imputation[row])
            weights = self.weights[row][..., list(variables)]
            products = regressors @ weights.reshape(weights.shape[0], -1)
            increments[cases] = products.reshape(len(cases), len(LEADS), -1) + self.offset[row][:, list(variables)]
            not_fitted = np.flatnonzero(~self.fitted[row, list(variables)])
            increments[np.ix_(cases, np.arange(len(LEADS)), not_fitted)] = np.nan
        return increments

    def scaled(self, factor: npt.NDArray[np.float32]) -> SpatialRegression:
        """Return the regression with its increments multiplied by a factor (leads, variables)."""
        return replace(self, weights=self.weights * factor, offset=self.offset * factor)

    def _lagged(
        self, field: npt.NDArray[np.float32], row: int, field_hours: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        when = field_hours[:, None] - np.array(LAGS)
        values = field[self.neighbours[row][None, None, :], np.maximum(when, 0)[:, :, None]]
        values[when < 0] = np.nan
        return values


def standardize(anomalies: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Divide anomalies (s, hours, model variables) by `scale` (s, model variables), clip, and fill short gaps."""
    standardized = np.clip(anomalies / scale[:, None], -CLIP, CLIP)
    hours = np.arange(standardized.shape[1])[None, :, None]
    last = np.where(np.isfinite(standardized), hours, -MAX_FILL_HOURS - 1)
    np.maximum.accumulate(last, axis=1, out=last)
    filled = np.take_along_axis(standardized, np.maximum(last, 0), axis=1)
    filled[hours - last > MAX_FILL_HOURS] = np.nan
    return filled


def predictors(
    lagged: npt.NDArray[np.float32],
    hours: npt.NDArray[np.datetime64],
    imputation: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Return regressors (n, BLOCKS x k x model variables).

    The regressors are the anomaly at lag 0 and its changes from lag to lag, each divided by `CHANGE_SCALE`. A ridge
    on the lags themselves would penalize the tendency, which is a small difference of two large numbers. A missing
    change is 0, and a missing anomaly at lag 0 is 0. With `imputation` (see `SpatialRegression`), missing changes of
    the first station are estimated from its neighbours instead: a station that began to report an hour ago has had
    the weather of its region.

    Args:
        lagged: (n, lags, k, model variables) standardized anomalies.
        hours: (n,) base hours, UTC.
    """
    count, lags = lagged.shape[:2]
    blocks = np.empty((count, BLOCKS, *lagged.shape[2:]), np.float32)
    younger = blocks[:, 0] = np.nan_to_num(lagged[:, 0])
    for lag in range(1, lags):
        unknown = np.isnan(lagged[:, lag])
        value = np.where(unknown, younger, lagged[:, lag])
        blocks[:, lag] = (younger - value) / CHANGE_SCALE[lag - 1]
        if imputation is not None and unknown[:, 0].any():
            imputed = np.einsum("nkc,kc->nc", imputation_inputs(blocks, lag), imputation[lag - 1])
            blocks[:, lag, 0] = np.where(unknown[:, 0], imputed, blocks[:, lag, 0])
            value[:, 0] = np.where(unknown[:, 0], younger[:, 0] - imputed * CHANGE_SCALE[lag - 1], value[:, 0])
        younger = value
    day = 2 * np.pi * (hours.astype("datetime64[h]").astype(np.int64) % 24) / 24
    blocks[:, lags] = blocks[:, 0] * np.cos(day).astype(np.float32)[:, None, None]
    blocks[:, lags + 1] = blocks[:, 0] * np.sin(day).astype(np.float32)[:, None, None]
    return blocks.reshape(count, -1)


def imputation_inputs(blocks: npt.NDArray, lag: int) -> npt.NDArray:
    """Select from regressors (n, BLOCKS, k, ...) the (n, 2k - 1, ...) that predict the first station's change."""
    return np.concatenate([blocks[:, 0], blocks[:, lag, 1:]], axis=1)
