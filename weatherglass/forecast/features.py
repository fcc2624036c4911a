"""Features of the boosted trees, computed by the same code in training and in serving.

A *case* is a station at a base hour. All features are anomalies from the climatology at the base hour and in the
72 hours before it; no value after the base hour is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly, newest_anomaly
from weatherglass.forecast.neighbours import KERNELS, neighbour_kernels, neighbour_means
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.unseen_stations import level_offset
from weatherglass.forecast.variables import MODEL_VARIABLES, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.stations import Station

PAST_HOURS = 72
"""Hours before the base hour that a case uses."""

LAGS = (0, 1, 2, 3, 6, 12, 24)
CHANGES = (1, 3, 6, 24)
MEANS = (6, 24, 72)
SPREAD_HOURS = 24

NEIGHBOUR_VARIABLES = tuple(
    MODEL_VARIABLES.index(name) for name in ("temperature", "humidity", "pressure", "wind_u", "wind_v")
)
NEIGHBOUR_LAGS = (0, 6)

BASE_FEATURE_NAMES = (
    *(f"{variable}_lag{lag}" for lag in LAGS for variable in MODEL_VARIABLES),
    *(f"{variable}_change{hours}" for hours in CHANGES for variable in MODEL_VARIABLES),
    *(f"{variable}_mean{hours}" for hours in MEANS for variable in MODEL_VARIABLES),
    *(f"{variable}_spread{SPREAD_HOURS}" for variable in MODEL_VARIABLES),
    *(f"value_{variable}" for variable in MODEL_VARIABLES),
    *(
        f"neighbours{kernel}_{MODEL_VARIABLES[variable]}_lag{lag}"
        for lag in NEIGHBOUR_LAGS
        for kernel in range(KERNELS)
        for variable in NEIGHBOUR_VARIABLES
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
    """Consecutive hours of a grid as model variables and as anomalies.

    Attributes:
        hours: (hours,) `datetime64[h]`, UTC.
        first: grid hour that is hour 0 of the arrays.
        values, anomalies: (stations, hours, model variables).
        climatology_rows: (stations,) row of each station in the climatology, -1 if it has none.
        kernels: (kernels, stations, stations) weights of the neighbours.
        field: (stations of the regression, hours, model variables) standardized anomalies.
        borrowed: (stations,) whether the climatology is borrowed from other stations. The level of such a station is
            corrected by its own past.
    """

    stations: tuple[Station, ...]
    hours: npt.NDArray[np.datetime64]
    first: int
    values: npt.NDArray[np.float32]
    anomalies: npt.NDArray[np.float32]
    climatology: Climatology
    climatology_rows: npt.NDArray[np.int64]
    kernels: npt.NDArray[np.float32]
    regression: SpatialRegression | None
    field: npt.NDArray[np.float32] | None
    borrowed: npt.NDArray[np.bool_]


def model_inputs(
    grid: HourGrid,
    climatology: Climatology,
    first: int = 0,
    last: int | None = None,
    regression: SpatialRegression | None = None,
    known: int | None = None,
) -> ModelInputs:
    """Return the grid's hours `first` to `last`, both included; the whole grid by default.

    Rows of the climatology from `known` on are borrowed (none by default), see `unseen_stations`.
    """
    last = grid.values.shape[1] - 1 if last is None else last
    first = max(0, first)
    values = model_variables(grid.values[:, first : last + 1])
    hours = grid.hours_at(np.arange(first, min(last + 1, grid.values.shape[1])))
    rows = climatology.rows([station.station_id for station in grid.stations])
    normals = climatology.at(rows, hours)
    anomalies = values - normals
    return ModelInputs(
        stations=grid.stations,
        hours=hours,
        first=first,
        values=values,
        anomalies=anomalies,
        climatology=climatology,
        climatology_rows=rows,
        kernels=neighbour_kernels(grid.stations),
        regression=regression,
        field=regression.standardized_field(grid.stations, anomalies) if regression else None,
        borrowed=rows >= (len(climatology.station_ids) if known is None else known),
    )


@dataclass(frozen=True)
class CaseFeatures:
    """Features of n cases and the components of their forecasts.

    Attributes:
        base_features: (n, len(BASE_FEATURE_NAMES)) features that do not depend on the lead.
        past: (n, 73, variables) anomalies of the station, lag 0 first.
        newest_anomaly: (n, variables) newest known anomaly; NaN if it is older than `damped_anomaly.MAX_AGE` hours.
        age: (n, variables) age of the newest anomaly, hours.
        damped: (n, leads, variables) damped anomaly.
        linear: (n, leads, variables) what the spatial regression adds to it; NaN if there is no regression.
        normal: (n, leads, variables) climatology at the valid times; NaN if unknown.
        base_normal: (n, variables) climatology at the base hour.
        solar_hour: (n,) local solar hour of the base hour.
    """

    base_features: npt.NDArray[np.float32]
    past: npt.NDArray[np.float32]
    newest_anomaly: npt.NDArray[np.float32]
    age: npt.NDArray[np.int64]
    damped: npt.NDArray[np.float32]
    linear: npt.NDArray[np.float32]
    normal: npt.NDArray[np.float32]
    base_normal: npt.NDArray[np.float32]
    solar_hour: npt.NDArray[np.float64]

    def matrix(
        self, variable: int, cases: npt.NDArray[np.int64], leads: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the feature matrix (m, len(FEATURE_NAMES)) of m pairs of a case and a lead in hours."""
        lead_index = leads - 1
        normal = self.normal[cases, lead_index, variable]
        solar_angle = 2 * np.pi * (self.solar_hour[cases] + leads) / 24
        columns = [
            leads,
            self.damped[cases, lead_index, variable],
            self.linear[cases, lead_index, variable],
            normal,
            normal - self.base_normal[cases, variable],
            np.cos(solar_angle),
            np.sin(solar_angle),
            self.past[cases, 24 - leads, variable],
            self.past[cases, 48 - leads, variable],
        ]
        matrix = np.empty((len(cases), len(FEATURE_NAMES)), dtype=np.float32)
        matrix[:, : len(BASE_FEATURE_NAMES)] = self.base_features[cases]
        for i, column in enumerate(columns):
            matrix[:, len(BASE_FEATURE_NAMES) + i] = column
        return matrix


def case_features(
    inputs: ModelInputs,
    damping: DampedAnomaly,
    rows: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64],
    own_hours: npt.NDArray[np.int64] | None = None,
    with_neighbours: npt.NDArray[np.bool_] | None = None,
    with_regression: npt.NDArray[np.bool_] | None = None,
    linear_variables: Sequence[int] = range(len(VARIABLES)),
) -> CaseFeatures:
    """Compute the features of station `rows[i]` at grid hour `base[i]`.

    Training and calibration can withhold inputs of a case, as for a station that has just begun to report.

    Args:
        own_hours: (n,) hours of the station's own past that are kept; 1 keeps the base hour alone.
        with_neighbours: (n,) False removes the neighbours' values.
        with_regression: (n,) False removes the linear forecast.
        linear_variables: variables whose linear forecast is computed.
    """
    offsets = base[:, None] - inputs.first - np.arange(PAST_HOURS + 1)
    past = inputs.anomalies[rows[:, None], np.maximum(offsets, 0)]
    past[offsets < 0] = np.nan
    if own_hours is not None:
        past[np.arange(PAST_HOURS + 1)[None, :] >= own_hours[:, None]] = np.nan
    hours = inputs.hours[base - inputs.first]
    climatology_rows = inputs.climatology_rows[rows]
    level = np.where(inputs.borrowed[rows][:, None], level_offset(past), np.float32(0))
    past -= level[:, None]
    level = level[:, : len(VARIABLES)]
    newest, age = newest_anomaly(past[..., : len(VARIABLES)])
    damped = damping.damp(climatology_rows, newest, age)
    normal = np.stack(
        [inputs.climatology.at_pairs(climatology_rows, hours + lead)[:, : len(VARIABLES)] for lead in LEADS], axis=1
    )
    normal += level[:, None]
    neighbours = _neighbour_features(inputs, rows, base)
    if with_neighbours is not None:
        neighbours[~with_neighbours] = np.nan
    linear = np.full(damped.shape, np.nan, np.float32)
    if inputs.regression is not None and inputs.field is not None:
        regression_rows = {station_id: row for row, station_id in enumerate(inputs.regression.station_ids)}
        members = np.array([regression_rows.get(station.station_id, -1) for station in inputs.stations], np.int64)[rows]
        linear[..., list(linear_variables)] = inputs.regression.increments(
            inputs.field, members, base - inputs.first, hours, linear_variables, own_hours, with_neighbours
        )
        if with_regression is not None:
            linear[~with_regression] = np.nan
    longitude = np.array([station.longitude for station in inputs.stations])[rows]
    solar_hour = (hours.astype(np.int64) + longitude / 15) % 24
    base_features = np.concatenate(
        [
            *_past_features(past),
            np.where(np.isfinite(past[:, 0]), inputs.values[rows, base - inputs.first], np.nan),
            neighbours,
            _place_and_time(inputs.stations, rows, hours, solar_hour),
        ],
        axis=1,
        dtype=np.float32,
    )
    return CaseFeatures(
        base_features=base_features,
        past=past[..., : len(VARIABLES)],
        newest_anomaly=newest,
        age=age,
        damped=damped,
        linear=linear,
        normal=normal,
        base_normal=inputs.climatology.at_pairs(climatology_rows, hours)[:, : len(VARIABLES)] + level,
        solar_hour=solar_hour,
    )


def _past_features(past: npt.NDArray[np.float32]) -> list[npt.NDArray]:
    """Return lags, changes, means and standard deviation of pasts (n, 73, model variables); NaN if unknown."""
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


def _neighbour_features(
    inputs: ModelInputs, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the neighbours' anomalies (n, lags x kernels x variables), ordered as in `BASE_FEATURE_NAMES`."""
    width = KERNELS * len(NEIGHBOUR_VARIABLES)
    neighbours = np.full((len(rows), len(NEIGHBOUR_LAGS) * width), np.nan, dtype=np.float32)
    order = np.argsort(base, kind="stable")
    for cases in np.split(order, np.flatnonzero(np.diff(base[order])) + 1):
        weights = inputs.kernels[:, rows[cases]]
        for k, lag in enumerate(NEIGHBOUR_LAGS):
            hour = base[cases[0]] - inputs.first - lag
            if hour >= 0:
                anomalies = inputs.anomalies[:, hour, NEIGHBOUR_VARIABLES]
                neighbours[cases, k * width : (k + 1) * width] = neighbour_means(weights, anomalies).reshape(
                    len(cases), -1
                )
    return neighbours


def _place_and_time(
    stations: Sequence[Station], rows: npt.NDArray[np.int64], hours: npt.NDArray, solar_hour: npt.NDArray
) -> npt.NDArray[np.float64]:
    place = np.array([[s.latitude, s.longitude, np.nan if s.elevation is None else s.elevation] for s in stations])
    season = 2 * np.pi * hours.astype(np.int64) / (365.2425 * 24)
    day = 2 * np.pi * solar_hour / 24
    return np.column_stack([place[rows], np.cos(day), np.sin(day), np.cos(season), np.sin(season)])
