"""Features of a reading: the results of all checks, the input of the learned score.

The same function computes them from hourly values for training, for the benchmark and in serving, where the last hour
is the current reading. They depend on the hour itself and the 72 hours before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import expected_values, isolation_features
from weatherglass.anomaly.expected_values import NEIGHBOURS, VIEWS, ExpectedValues
from weatherglass.anomaly.fault_injection import OTHER_UNITS, SHIFT_HOURS, SWAP_AMONG
from weatherglass.anomaly.isolation_forest import IsolationForest
from weatherglass.qc import series_checks
from weatherglass.records import VARIABLES

Array = npt.NDArray[np.float32]

RESIDUAL_HOURS = 24
"""Hours over which residuals are averaged: a small fault that lasts shows in the mean."""
LOOK_BACK = expected_values.LOOK_BACK + RESIDUAL_HOURS
MEAN_HOURS = (3, 6, 12, 24)
MEAN_VIEWS = ("lead24", "lead6", "neighbours", "others")
ABS_MEAN_HOURS = (6, 24)
ABS_MEAN_VIEWS = ("lead1", "neighbours")
TAIL_VIEWS = ("lead1", "lead24", "neighbours")
MATCH_HOURS = 9
MAX_FLAT_HOURS = 48.0
MAX_RESIDUAL = 30.0
"""Residuals are clipped here: beyond, a larger one carries no information."""
CHUNK_HOURS = 1500

NAMES = (
    "variable",
    "value",
    "anomaly",
    *VIEWS,
    "lead24_signed",
    "neighbours_signed",
    "previous",
    "previous_signed",
    *(f"{view}_mean{hours}" for view in MEAN_VIEWS for hours in MEAN_HOURS),
    *(f"{view}_abs_mean{hours}" for view in ABS_MEAN_VIEWS for hours in ABS_MEAN_HOURS),
    "neighbour_deviation",
    "neighbour_share",
    "flat_hours",
    "flat_share",
    "change",
    "change_share",
    *(f"tail_{view}" for view in TAIL_VIEWS),
    "scale_neighbours",
    "scale_lead24",
    *(f"other_variables_{view}" for view in TAIL_VIEWS),
    "other_variables_mean24",
    "isolation_forest",
    "other_unit",
    "time_shift",
    "time_shift_station",
    "swapped",
    "swapped_station",
)
"""The features in the order of the trained model. Residuals are absolute unless the name says signed.

- `value`, `anomaly`: the value, and its difference from climatology in units of the station's spread.
- a view: distance from the value that the view expects, in units of the usual distance.
- `previous`, `previous_signed`: `lead1` one hour before; signed: positive if on the same side.
- `*_mean*`, `*_abs_mean*`: mean of the residuals, and of their absolute values, over so many hours.
- `neighbour_deviation`, `neighbour_share`: distance from the mean anomaly of the neighbours in their standard
  deviations, and the share of neighbours that report.
- `flat_hours`, `change`: hours without a change, and the change since the last value in units of the spread;
  `*_share`: as a share of the limit of the rule.
- `tail_*`, `scale_*`: how heavy-tailed and how large the residuals of the station usually are.
- `other_variables_*`: the largest residual among the other variables of the station.
- `other_unit`, `time_shift`, `swapped`: how much better the value fits in another unit, the recent values fit those
  expected hours earlier, or those of a nearby station; `*_station`: mean of all variables.
"""
COUNT = len(VARIABLES)


@dataclass(frozen=True)
class StationStatistics:
    """What the history of n stations says about them; rows as in `expected`.

    Attributes:
        nearest: (n, SWAP_AMONG) rows of the nearest stations, -1 for none.
        step_limit, flat_limit: (n, 4) limits of the rules, in the variable's unit per hour and in hours.
    """

    expected: ExpectedValues
    forest: IsolationForest
    nearest: npt.NDArray[np.int64]
    step_limit: npt.NDArray[np.float64]
    flat_limit: npt.NDArray[np.float64]

    def rule_flags(self, values: Array) -> npt.NDArray[np.bool_]:
        """Return the hard flags of hourly values (n, hours, 4): range, step, flat line, consistency."""
        times = np.arange(values.shape[1], dtype=np.float64)[None]
        outside = series_checks.outside_range(values)
        plausible = series_checks.usable_values(values)
        flags = outside | series_checks.check_steps(times, plausible, self.step_limit).failed
        flags |= series_checks.check_flat_lines(times, plausible, self.flat_limit).failed
        both = [series_checks.TEMPERATURE, series_checks.HUMIDITY]
        flags[..., both] |= series_checks.exceeds_dew_point(plausible)[..., None]
        return flags


@dataclass(frozen=True)
class AnomalyFeatures:
    """Features of n stations at the hours from `first` on.

    Attributes:
        features: (n, hours, 4, len(NAMES)); NaN where unknown.
        expected: (n, hours, 4, views) values that the views expect, in the variable's unit.
        residuals: (n, hours, 4, views) distance from the expected value in units of the usual distance, positive above.
    """

    features: Array
    expected: Array
    residuals: Array


def compute(values: Array, normal: Array, statistics: StationStatistics, first: int) -> AnomalyFeatures:
    """Compute the features of the hours from `first` on.

    Args:
        values: (n, hours, 4), rows as in `statistics`; NaN where missing.
        normal: (n, hours, 4) climatology.
        first: with fewer than `LOOK_BACK` hours before it, some features are incomplete.
    """
    parts = []
    for begin in range(first, values.shape[1], CHUNK_HOURS):
        chunk = slice(max(0, begin - LOOK_BACK), min(begin + CHUNK_HOURS, values.shape[1]))
        parts.append(_compute(values[:, chunk], normal[:, chunk], statistics, begin - chunk.start))
    return AnomalyFeatures(
        *(
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in AnomalyFeatures.__dataclass_fields__
        )
    )


def compute_latest(values: Array, normal: Array, statistics: StationStatistics) -> AnomalyFeatures:
    """Compute the features of the last hour; `expected` and `residuals` also cover the `RESIDUAL_HOURS` before it."""
    return _compute(values, normal, statistics, values.shape[1] - 1, with_past=True)


def stack(columns: Mapping[str, npt.NDArray], shape: tuple[int, ...]) -> Array:
    """Stack features by their names in the order of `NAMES`, each broadcast to `shape`.

    Raises:
        ValueError: a feature is missing or unknown.
    """
    if columns.keys() != set(NAMES):
        raise ValueError(f"missing or unknown features: {', '.join(sorted(columns.keys() ^ set(NAMES)))}")
    return np.stack([np.broadcast_to(columns[name], shape) for name in NAMES], axis=-1, dtype=np.float32)


def _compute(
    values: Array, normal: Array, statistics: StationStatistics, first: int, with_past: bool = False
) -> AnomalyFeatures:
    regressions = statistics.expected
    plausible = series_checks.usable_values(values).astype(np.float32)
    anomalies = plausible - normal
    begin = max(0, first - RESIDUAL_HOURS)
    expected_anomaly = regressions.predict(anomalies, begin)
    scale = (regressions.scale * regressions.spread[..., None])[:, None].astype(np.float32)
    residuals = np.clip((anomalies[:, begin:, :, None] - expected_anomaly) / scale, -MAX_RESIDUAL, MAX_RESIDUAL)
    expected = expected_anomaly + normal[:, begin:, :, None]
    skip = first - begin
    spread = regressions.spread[:, None].astype(np.float32)
    times = np.arange(values.shape[1], dtype=np.float64)[None]
    flat = series_checks.check_flat_lines(times, plausible).hours[:, first:]
    step = series_checks.check_steps(times, plausible)
    change = np.where(step.checked, step.change, np.nan)[:, first:]
    columns: dict[str, npt.NDArray] = {
        "variable": np.arange(COUNT),
        "value": plausible[:, first:],
        "anomaly": anomalies[:, first:] / spread,
        "flat_hours": np.minimum(flat, MAX_FLAT_HOURS),
        "flat_share": flat / statistics.flat_limit[:, None],
        "change": np.abs(change) / spread,
        "change_share": np.abs(change) / statistics.step_limit[:, None],
        "isolation_forest": isolation_features.isolation_scores(
            anomalies, regressions.spread, statistics.forest, first
        )[..., None],
        "other_unit": _other_unit_match(
            values[:, first:], expected[:, skip:, :, VIEWS.index("lead24")], scale[..., VIEWS.index("lead24")]
        ),
    }
    columns |= _residual_features(residuals, skip)
    columns |= _neighbour_features(anomalies, regressions, first)
    columns |= {f"tail_{view}": regressions.tail[:, None, :, VIEWS.index(view)] for view in TAIL_VIEWS}
    columns |= {f"scale_{view}": scale[..., VIEWS.index(view)] / spread for view in ("neighbours", "lead24")}
    neighbours = VIEWS.index("neighbours")
    columns |= _match_features(
        plausible[:, begin:], expected[..., neighbours], scale[..., neighbours], statistics.nearest, skip
    )
    features = stack(columns, change.shape)
    if with_past:
        return AnomalyFeatures(features, expected, residuals)
    return AnomalyFeatures(features, expected[:, skip:], residuals[:, skip:])


def _residual_features(residuals: Array, skip: int) -> dict[str, npt.NDArray]:
    """Compute the features of residuals (n, hours, 4, views) from hour `skip` on."""

    def of_view(name: str) -> Array:
        return residuals[..., VIEWS.index(name)]

    lead1 = of_view("lead1")
    previous = np.concatenate([np.full_like(lead1[:, :1], np.nan), lead1[:, :-1]], axis=1)
    means = {
        f"{view}_mean{hours}": np.abs(_running_mean(of_view(view), hours)[:, skip:])
        for view in MEAN_VIEWS
        for hours in MEAN_HOURS
    }
    return {
        **{view: np.abs(of_view(view)[:, skip:]) for view in VIEWS},
        "lead24_signed": of_view("lead24")[:, skip:],
        "neighbours_signed": of_view("neighbours")[:, skip:],
        "previous": np.abs(previous)[:, skip:],
        "previous_signed": (previous * np.sign(lead1))[:, skip:],
        **means,
        **{
            f"{view}_abs_mean{hours}": _running_mean(np.abs(of_view(view)), hours)[:, skip:]
            for view in ABS_MEAN_VIEWS
            for hours in ABS_MEAN_HOURS
        },
        **{f"other_variables_{view}": _largest_other(np.abs(of_view(view)[:, skip:])) for view in TAIL_VIEWS},
        "other_variables_mean24": _largest_other(means["neighbours_mean24"]),
    }


def _running_mean(series: Array, hours: int) -> Array:
    """Compute the mean (n, hours, ...) of the known values of the last `hours` hours; NaN where there are none."""
    known = np.isfinite(series)
    total, count = np.cumsum(np.where(known, series, 0), axis=1, dtype=np.float64), np.cumsum(known, axis=1)
    total[:, hours:] -= total[:, :-hours].copy()
    count[:, hours:] -= count[:, :-hours].copy()
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _neighbour_features(anomalies: Array, regressions: ExpectedValues, first: int) -> dict[str, npt.NDArray]:
    """Compare anomalies with the mean and the standard deviation of the neighbours' anomalies.

    Fewer than three neighbours give no deviation; the standard deviation is at least a quarter of the spread.
    """
    rows = regressions.neighbours
    there = anomalies[np.maximum(rows, 0), first:, np.arange(COUNT)[None, :, None]]  # (n, 4, NEIGHBOURS, hours)
    there = np.where((rows >= 0)[..., None], there, np.nan)
    known = np.isfinite(there)
    count = known.sum(axis=2)
    total = np.where(known, there, 0)
    mean = total.sum(axis=2) / np.maximum(count, 1)
    variance = np.where(known, (total - mean[:, :, None]) ** 2, 0).sum(axis=2) / np.maximum(count, 1)
    floor = 0.25 * regressions.spread[..., None]
    deviation = np.abs(anomalies[:, first:].transpose(0, 2, 1) - mean) / np.maximum(np.sqrt(variance), floor)
    deviation = np.where(count >= 3, deviation, np.nan)
    return {
        "neighbour_deviation": deviation.transpose(0, 2, 1),
        "neighbour_share": count.transpose(0, 2, 1) / NEIGHBOURS,
    }


def _largest_other(distance: Array) -> Array:
    """Return the largest distance (n, hours, 4) among the other variables of the station."""
    largest = np.stack(
        [np.fmax.reduce(np.delete(distance, variable, axis=2), axis=2) for variable in range(COUNT)], axis=2
    )
    return np.asarray(largest)


def _other_unit_match(values: Array, expected: Array, scale: Array) -> Array:
    """Return how much better values fit if they are in another unit.

    That is (d - b) / (1 + b) for the distance d from the expected value and the smallest distance b of other units.
    """
    distance = np.abs(values - expected) / scale
    best = np.full(values.shape, np.inf, np.float32)
    for variable, name in enumerate(VARIABLES):
        for factor, offset in OTHER_UNITS[name]:
            converted = (values[..., variable] - offset) / factor
            other = np.abs(converted - expected[..., variable]) / scale[..., variable]
            best[..., variable] = np.fmin(best[..., variable], other)
    return (distance - best) / (1 + best)


def _match_features(
    values: Array, expected: Array, scale: Array, nearest: npt.NDArray[np.int64], skip: int
) -> dict[str, npt.NDArray]:
    """Return how much better the recent values fit those expected hours earlier (a slow clock) or at a near station.

    (d - b) / (1 + b) as in `_other_unit_match`, for each variable and for the mean distance of all variables.
    """

    def distance(other: Array) -> Array:
        return _running_mean(np.minimum(np.abs(values - other) / scale, 10), MATCH_HOURS)[:, skip:]

    def gain(name: str, best: Array) -> dict[str, npt.NDArray]:
        mean = _mean_of_variables(best)
        station = (_mean_of_variables(own) - mean) / (1 + mean)
        return {name: (own - best) / (1 + best), f"{name}_station": station[..., None]}

    own = distance(expected)
    shifted = []
    for hours in range(SHIFT_HOURS[0], SHIFT_HOURS[1] + 1, 2):
        missing = np.full_like(expected[:, :hours], np.nan)
        shifted.append(distance(np.concatenate([missing, expected[:, :-hours]], axis=1)[:, : expected.shape[1]]))
    swapped = []
    for rank in range(SWAP_AMONG):
        rows = nearest[:, rank]
        swapped.append(distance(np.where((rows >= 0)[:, None, None], expected[np.maximum(rows, 0)], np.nan)))
    return gain("time_shift", reduce(_closer, shifted)) | gain("swapped", reduce(_closer, swapped))


def _closer(one: Array, other: Array) -> Array:
    """Return, for each station and hour, the distances with the smaller mean of all variables."""
    a, b = _mean_of_variables(one), _mean_of_variables(other)
    take = np.isnan(a) | (b < a)
    return np.where(take[..., None], other, one)


def _mean_of_variables(distance: Array) -> Array:
    known = np.isfinite(distance)
    total = np.where(known, distance, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.where(known.any(axis=-1), total, np.nan)
