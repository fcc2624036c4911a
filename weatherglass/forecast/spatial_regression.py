"""The linear part of a forecast: what a station and those around it felt over two days says about its next one.

A ridge regression for each station, variable and lead on the anomalies of the station and of its nearest neighbours,
at lags from 0 to 48 h, those of the base hour also times the first harmonic of the day: what warm air means depends
on the hour. The target is what the damped anomaly leaves over, so that where nothing can be learnt the damped anomaly
remains. The penalty grows with the distance of a neighbour and with the lag: a regression on a field of many more
numbers than there were independent days of weather needs to be told what is likely (Bayesian ridge with an
informative prior; compare Hoerl and Kennard 1970, Technometrics 12, 55-67).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weatherglass.records import LEADS
from weatherglass.stations import Station

LAGS = (0, 1, 2, 3, 6, 9, 12, 18, 24, 36, 48)
BLOCKS = len(LAGS) + 2
"""Anomalies at each lag, and those at lag 0 times the cosine and the sine of the time of day."""
NEAR = 12
"""Stations a forecast looks at, itself first."""
MEMORY_HOURS = 30.0
USUAL_CHANGE = np.sqrt(2 * (1 - np.exp(-np.diff(LAGS) / MEMORY_HOURS))).astype(np.float32)
"""Standard deviation of the change between two lags, of a first-order autoregression with that memory."""
FILL_HOURS = 12
"""A missing value is taken as the last known one of so many hours."""
CLIP = 4.0
"""Standardised anomalies are kept within this: one wild reading must not carry a forecast away."""


@dataclass(frozen=True)
class SpatialRegression:
    """Coefficients for every known station.

    Attributes:
        station_ids: s.
        scale: (s, channels) robust standard deviation of the anomalies; NaN where a channel is not used.
        near: (s, k) rows of the nearest stations, itself first, `NEAR` at most.
        weights: (s, BLOCKS x k x channels, leads, variables) float32, to standardised anomalies.
        offset: (s, leads, variables).
        known: (s, variables) whether there is a regression.
        recall: (s, lags - 1, 2k - 1, channels) what a station's own change between two lags was, where it is not
            known: from the anomalies of all its stations at the base hour, and from the neighbours' changes.
    """

    station_ids: tuple[str, ...]
    scale: npt.NDArray[np.float32]
    near: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    recall: npt.NDArray[np.float32]

    def arrays(self) -> dict[str, npt.NDArray]:
        """All but the stations, by name."""
        return {name: values for name, values in vars(self).items() if name != "station_ids"}

    def field(self, stations: Sequence[Station], anomalies: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Standardised anomalies (s, hours, channels) from those of `stations`; NaN where they are not known."""
        made = np.full((len(self.station_ids), *anomalies.shape[1:]), np.nan, np.float32)
        place = {station.station_id: row for row, station in enumerate(stations)}
        for row, station_id in enumerate(self.station_ids):
            if station_id in place:  # one by one, since finding the gaps takes four times a station's memory
                made[row] = standardised(anomalies[[place[station_id]]], self.scale[[row]])[0]
        return made

    def beyond(
        self, rows: npt.NDArray[np.int64], anomalies: npt.NDArray[np.float32], variable: int
    ) -> npt.NDArray[np.bool_]:
        """Whether anomalies (n,) of a variable at the network's stations `rows` are beyond `CLIP`; at others not."""
        known = (rows >= 0) & (rows < len(self.scale))
        scale = np.where(known, self.scale[np.where(known, rows, 0), variable], np.nan)
        return np.asarray(np.abs(anomalies) > CLIP * scale)

    def increments(
        self,
        field: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        at: npt.NDArray[np.int64],
        hours: npt.NDArray[np.datetime64],
        variables: Sequence[int],
        own_hours: npt.NDArray[np.int64] | None = None,
        with_neighbours: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.float32]:
        """What the regression adds to the damped anomaly, (n, leads, len(variables)), NaN where there is none.

        Case i is the network's station `rows[i]` (-1: unknown) at hour `at[i]` of the field, `hours[i]` in UTC.
        `own_hours` and `with_neighbours` make cases poorer, as in `design.cases`.
        """
        made = np.full((len(rows), len(LEADS), len(variables)), np.nan, np.float32)
        for row in np.unique(rows[rows >= 0]):
            which = np.flatnonzero(rows == row)
            lagged = self._lagged(field, int(row), at[which])
            if own_hours is not None:
                lagged[np.array(LAGS)[None, :] >= own_hours[which][:, None], 0] = np.nan
            if with_neighbours is not None:
                lagged[~with_neighbours[which], :, 1:] = np.nan
            seen = predictors(lagged, hours[which], self.recall[row])
            weights = self.weights[row][..., list(variables)]
            answer = seen @ weights.reshape(weights.shape[0], -1)
            made[which] = answer.reshape(len(which), len(LEADS), -1) + self.offset[row][:, list(variables)]
            made[np.ix_(which, np.arange(len(LEADS)), np.flatnonzero(~self.known[row, list(variables)]))] = np.nan
        return made

    def shrunk(self, factor: npt.NDArray[np.float32]) -> SpatialRegression:
        """The same with all it says times a factor (leads, variables)."""
        return replace(self, weights=self.weights * factor, offset=self.offset * factor)

    def _lagged(self, field: npt.NDArray[np.float32], row: int, at: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        when = at[:, None] - np.array(LAGS)
        values = field[self.near[row][None, None, :], np.maximum(when, 0)[:, :, None]]
        values[when < 0] = np.nan
        return values


def standardised(anomalies: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Anomalies (s, hours, channels) in units of `scale` (s, channels), clipped, gaps of `FILL_HOURS` filled."""
    made = np.clip(anomalies / scale[:, None], -CLIP, CLIP)
    last = np.where(np.isfinite(made), np.arange(made.shape[1])[None, :, None], -FILL_HOURS - 1)
    np.maximum.accumulate(last, axis=1, out=last)
    filled = np.take_along_axis(made, np.maximum(last, 0), axis=1)
    filled[np.arange(made.shape[1])[None, :, None] - last > FILL_HOURS] = np.nan
    return filled


def predictors(
    lagged: npt.NDArray[np.float32],
    hours: npt.NDArray[np.datetime64],
    recall: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Regressors (n, BLOCKS x k x channels) from standardised anomalies (n, lags, k, channels) at base hours.

    The anomaly at lag 0 and its changes from lag to lag, each in units of what is usual for so many hours: a ridge on
    the lags themselves would take the tendency, a small difference of two large numbers, for unlikely. What is not
    known has not changed, and is as usual where nothing is known. The first station's unknown changes are told by
    `recall` (see `SpatialRegression`) instead: a station that began to report an hour ago has had the weather of
    its region, and a regression that knows of its neighbours' fronts must not be told that there was none.
    """
    count, lags = lagged.shape[:2]
    made = np.empty((count, BLOCKS, *lagged.shape[2:]), np.float32)
    younger = made[:, 0] = np.nan_to_num(lagged[:, 0])
    for lag in range(1, lags):
        unknown = np.isnan(lagged[:, lag])
        value = np.where(unknown, younger, lagged[:, lag])
        made[:, lag] = (younger - value) / USUAL_CHANGE[lag - 1]
        if recall is not None and unknown[:, 0].any():
            told = np.einsum("nkc,kc->nc", recalled_from(made, lag), recall[lag - 1])
            made[:, lag, 0] = np.where(unknown[:, 0], told, made[:, lag, 0])
            value[:, 0] = np.where(unknown[:, 0], younger[:, 0] - told * USUAL_CHANGE[lag - 1], value[:, 0])
        younger = value
    day = 2 * np.pi * (hours.astype("datetime64[h]").astype(np.int64) % 24) / 24
    made[:, lags] = made[:, 0] * np.cos(day).astype(np.float32)[:, None, None]
    made[:, lags + 1] = made[:, 0] * np.sin(day).astype(np.float32)[:, None, None]
    return made.reshape(count, -1)


def recalled_from(blocks: npt.NDArray, lag: int) -> npt.NDArray:
    """Of regressors (n, BLOCKS, k, ...) those (n, 2k - 1, ...) that tell the first station's change to a lag."""
    return np.concatenate([blocks[:, 0], blocks[:, lag, 1:]], axis=1)
