"""The design matrix: what the trees see. Training and serving both come here, so both see the same.

A *case* is a station at a base hour. Everything is an anomaly from the climatology, taken from the base hour and the
72 hours before it; nothing after the base hour enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly, newest_anomaly
from weatherglass.forecast.neighbours import KERNELS, neighbour_means, neighbour_kernels
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.unseen_stations import level_offset
from weatherglass.forecast.variables import MODEL_VARIABLES, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.stations import Station

PAST_HOURS = 72
"""How far back a case looks, hours before its base hour."""

LAGS = (0, 1, 2, 3, 6, 12, 24)
CHANGES = (1, 3, 6, 24)
MEANS = (6, 24, 72)
SPREAD_HOURS = 24

NEIGHBOUR_VARIABLES = tuple(
    MODEL_VARIABLES.index(name) for name in ("temperature", "humidity", "pressure", "wind_u", "wind_v")
)
NEIGHBOUR_LAGS = (0, 6)

BASE_FEATURE_NAMES = (
    *(f"{channel}_lag{lag}" for lag in LAGS for channel in MODEL_VARIABLES),
    *(f"{channel}_change{hours}" for hours in CHANGES for channel in MODEL_VARIABLES),
    *(f"{channel}_mean{hours}" for hours in MEANS for channel in MODEL_VARIABLES),
    *(f"{channel}_spread{SPREAD_HOURS}" for channel in MODEL_VARIABLES),
    *(f"present_{channel}" for channel in MODEL_VARIABLES),
    *(
        f"around{kernel}_{MODEL_VARIABLES[channel]}_lag{lag}"
        for lag in NEIGHBOUR_LAGS
        for kernel in range(KERNELS)
        for channel in NEIGHBOUR_VARIABLES
    ),
    *("latitude", "longitude", "elevation", "solar_cos", "solar_sin", "season_cos", "season_sin"),
)
LEAD_FEATURE_NAMES = (
    "lead",
    "damped",
    "linear",
    "normal",
    "normal_change",
    "valid_solar_cos",
    "valid_solar_sin",
    "day_before",
    "two_days_before",
)
FEATURE_NAMES = (*BASE_FEATURE_NAMES, *LEAD_FEATURE_NAMES)


@dataclass(frozen=True)
class ModelInputs:
    """A stretch of a grid as channels and as anomalies, (stations, hours, channels); hour 0 is grid hour `first`."""

    stations: tuple[Station, ...]
    start: np.datetime64
    first: int
    present: npt.NDArray[np.float32]
    anomalies: npt.NDArray[np.float32]
    climatology: Climatology
    rows: npt.NDArray[np.int64]
    """Each station's row in the climatology, -1 if it is unknown there."""
    neighbour_kernels: npt.NDArray[np.float32]
    network: SpatialRegression | None
    field: npt.NDArray[np.float32] | None
    """Of the network, over the same hours."""
    strange: npt.NDArray[np.bool_]
    """Stations whose climatology is borrowed: their level is corrected by their own past."""


def model_inputs(
    grid: HourGrid,
    climatology: Climatology,
    first: int = 0,
    last: int | None = None,
    network: SpatialRegression | None = None,
    known: int | None = None,
) -> ModelInputs:
    """The grid's hours `first` to `last` (both included; whole grid by default).

    Rows of the climatology from `known` on (none by default) are borrowed, see `strangers`.
    """
    last = grid.values.shape[1] - 1 if last is None else last
    first = max(0, first)
    present = model_variables(grid.values[:, first : last + 1])
    rows = climatology.rows([station.station_id for station in grid.stations])
    usual = climatology.at(rows, grid.start + np.arange(first, last + 1))
    anomalies = present - usual
    field = network.field(grid.stations, anomalies) if network else None
    around_each = neighbour_kernels(grid.stations)
    strange = rows >= (len(climatology.station_ids) if known is None else known)
    return ModelInputs(
        grid.stations, grid.start, first, present, anomalies, climatology, rows, around_each, network, field, strange
    )


@dataclass(frozen=True)
class CaseFeatures:
    """Features of n cases, and what their forecasts are built from.

    Attributes:
        base: (n, len(BASE_NAMES)) features that do not depend on the lead.
        past: (n, 73, variables) own anomalies, lag 0 first.
        present, age: newest anomaly of each variable (n, variables) and how old it is, hours.
        damped: (n, leads, variables) what remains of it.
        linear: (n, leads, variables) what the network adds to that; NaN where it says nothing.
        normal: (n, leads, variables) climatology at the valid times; NaN where it is unknown.
        normal_now: (n, variables) climatology at the base hour.
        solar: (n,) local solar hour of the base hour.
    """

    base: npt.NDArray[np.float32]
    past: npt.NDArray[np.float32]
    present: npt.NDArray[np.float32]
    age: npt.NDArray[np.int64]
    damped: npt.NDArray[np.float32]
    linear: npt.NDArray[np.float32]
    normal: npt.NDArray[np.float32]
    normal_now: npt.NDArray[np.float32]
    solar: npt.NDArray[np.float64]

    def matrix(
        self, variable: int, cases: npt.NDArray[np.int64], leads: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Rows (m, len(NAMES)) for m pairs of a case and a lead."""
        at = leads - 1
        normal = self.normal[case_features, at, variable]
        solar = 2 * np.pi * (self.solar[case_features] + leads) / 24
        columns = [
            leads,
            self.damped[case_features, at, variable],
            self.linear[case_features, at, variable],
            normal,
            normal - self.normal_now[case_features, variable],
            np.cos(solar),
            np.sin(solar),
            self.past[case_features, 24 - leads, variable],
            self.past[case_features, 48 - leads, variable],
        ]
        rows = np.empty((len(case_features), len(FEATURE_NAMES)), dtype=np.float32)
        rows[:, : len(BASE_FEATURE_NAMES)] = self.base[case_features]
        for i, column in enumerate(columns):
            rows[:, len(BASE_FEATURE_NAMES) + i] = column
        return rows


def case_features(
    seen: ModelInputs,
    damping: DampedAnomaly,
    rows: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64],
    own_hours: npt.NDArray[np.int64] | None = None,
    with_neighbours: npt.NDArray[np.bool_] | None = None,
    with_network: npt.NDArray[np.bool_] | None = None,
    linear_of: Sequence[int] = range(len(VARIABLES)),
) -> CaseFeatures:
    """Cases of station `rows[i]` at grid hour `base[i]`.

    For training and calibration, a case can be made poorer: `own_hours[i]` hours of own past are left (1 is the base
    hour alone), `with_neighbours[i]` False takes the neighbours away, `with_network[i]` False the linear forecast, as
    a station never seen before has none. `linear_of`: variables whose linear forecast is wanted.
    """
    offsets = base[:, None] - seen.first - np.arange(PAST_HOURS + 1)
    past = seen.anomalies[rows[:, None], np.maximum(offsets, 0)]
    past[offsets < 0] = np.nan
    if own_hours is not None:
        past[np.arange(PAST_HOURS + 1)[None, :] >= own_hours[:, None]] = np.nan
    hours = seen.start + base
    known = seen.rows[rows]
    strange = seen.strange[rows]
    level = np.where(strange[:, None], level_offset(past), np.float32(0))
    past -= level[:, None]
    level = level[:, : len(VARIABLES)]
    present, age = newest_anomaly(past[..., : len(VARIABLES)])
    damped = damping.anomalies(known, present, age)
    normal = np.stack([seen.climatology.at_pairs(known, hours + lead)[:, : len(VARIABLES)] for lead in LEADS], axis=1)
    normal += level[:, None]
    around_features = _around(seen, rows, base)
    if with_neighbours is not None:
        around_features[~with_neighbours] = np.nan
    linear = np.full(damped.shape, np.nan, np.float32)
    if seen.network is not None and seen.field is not None:
        place = {station_id: row for row, station_id in enumerate(seen.network.station_ids)}
        members = np.array([place.get(station.station_id, -1) for station in seen.stations], dtype=np.int64)[rows]
        at = base - seen.first
        linear[..., list(linear_of)] = seen.network.increments(
            seen.field, members, at, hours, linear_of, own_hours, with_neighbours
        )
        if with_network is not None:
            linear[~with_network] = np.nan
    longitude = np.array([station.longitude for station in seen.stations])[rows]
    solar = (hours.astype(np.int64) + longitude / 15) % 24
    features = np.concatenate(
        [
            *_own(past),
            np.where(np.isfinite(past[:, 0]), seen.present[rows, base - seen.first], np.nan),
            around_features,
            _place_and_time(seen.stations, rows, hours, solar),
        ],
        axis=1,
        dtype=np.float32,
    )
    return CaseFeatures(
        features,
        past[..., : len(VARIABLES)],
        present,
        age,
        damped,
        linear,
        normal,
        seen.climatology.at_pairs(known, hours)[:, : len(VARIABLES)] + level,
        solar,
    )


def _own(past: npt.NDArray[np.float32]) -> list[npt.NDArray]:
    """Lags, changes, means and spread of pasts (n, 73, channels), NaN where nothing is known."""
    known = np.isfinite(past)
    filled = np.where(known, past, 0)
    count = np.maximum(known.cumsum(axis=1), 0)
    sums = filled.cumsum(axis=1, dtype=np.float64)
    squares = (filled[:, :SPREAD_HOURS].astype(np.float64) ** 2).sum(axis=1)

    def mean(hours: int) -> npt.NDArray[np.float64]:
        n = count[:, hours - 1]
        return np.where(n > 0, sums[:, hours - 1] / np.maximum(n, 1), np.nan)

    variance = squares / np.maximum(count[:, SPREAD_HOURS - 1], 1) - mean(SPREAD_HOURS) ** 2
    spread = np.where(count[:, SPREAD_HOURS - 1] > 2, np.sqrt(np.maximum(variance, 0)), np.nan)
    blocks: list[npt.NDArray] = [past[:, lag] for lag in LAGS]
    blocks += [past[:, 0] - past[:, hours] for hours in CHANGES]
    return [*blocks, *(mean(hours) for hours in MEANS), spread]


def _around(seen: ModelInputs, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Neighbours' anomalies (n, lags x kernels x channels), as in `BASE_FEATURE_NAMES`."""
    width = KERNELS * len(NEIGHBOUR_VARIABLES)
    made = np.full((len(rows), len(NEIGHBOUR_LAGS) * width), np.nan, dtype=np.float32)
    order = np.argsort(base, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(base[order])) + 1):
        weights = seen.kernels[:, rows[at]]
        for k, lag in enumerate(NEIGHBOUR_LAGS):
            hour = base[at[0]] - seen.first - lag
            if hour >= 0:
                now = seen.anomalies[:, hour, NEIGHBOUR_VARIABLES]
                made[at, k * width : (k + 1) * width] = neighbour_means(weights, now).reshape(len(at), -1)
    return made


def _place_and_time(
    stations: Sequence[Station], rows: npt.NDArray[np.int64], hours: npt.NDArray, solar: npt.NDArray
) -> npt.NDArray[np.float64]:
    place = np.array([[s.latitude, s.longitude, np.nan if s.elevation is None else s.elevation] for s in stations])
    season = 2 * np.pi * hours.astype(np.int64) / (365.2425 * 24)
    day = 2 * np.pi * solar / 24
    return np.column_stack([place[rows], np.cos(day), np.sin(day), np.cos(season), np.sin(season)])
