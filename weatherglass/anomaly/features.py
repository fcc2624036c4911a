"""All that the checks have to say of a reading, side by side: the input of the learnt score.

Made from hourly values by the same function for training, for the benchmark and in service, where the last hour holds
the present reading. Everything rests on the hour itself and the 72 before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import expected_values, isolation_features
from weatherglass.anomaly.expected_values import NEIGHBOURS, VIEWS, ExpectedValues
from weatherglass.anomaly.fault_injection import SHIFT_HOURS, SWAP_AMONG, UNITS
from weatherglass.anomaly.isolation_forest import IsolationForest
from weatherglass.qc import series_checks
from weatherglass.records import VARIABLES

Array = npt.NDArray[np.float32]

MEMORY = 24
"""Hours over which residuals are averaged: a small fault that lasts shows in the mean."""
LOOK_BACK = expected_values.LOOK_BACK + MEMORY
SPANS = (3, 6, 12, 24)
LASTING = ("lead24", "lead6", "neighbours", "others")
ROUGH = ("lead1", "neighbours")
EXPLAINED_HOURS = 9
LONGEST_FLAT = 48.0
WORST = 30.0
"""Residuals are cut off here: odder than odd is no news."""
CHUNK_HOURS = 1500

NAMES = (
    "variable",
    "value",
    "anomaly",
    *(f"{view}" for view in VIEWS),
    *(f"{view}_signed" for view in ("lead24", "neighbours")),
    "before",
    "swing",
    *(f"{view}_mean{span}" for view in LASTING for span in SPANS),
    *(f"{view}_rough{span}" for view in ROUGH for span in (6, 24)),
    "buddies",
    "buddy_count",
    "flat_hours",
    "flat_share",
    "change",
    "change_share",
    "tail_lead1",
    "tail_lead24",
    "tail_neighbours",
    "left_by_neighbours",
    "left_by_lead24",
    "elsewhere_lead1",
    "elsewhere_lead24",
    "elsewhere_neighbours",
    "elsewhere_mean24",
    "forest",
    "unit",
    "late",
    "late_station",
    "swapped",
    "swapped_station",
)
COUNT = len(VARIABLES)


@dataclass(frozen=True)
class StationStatistics:
    """What history says of n stations, rows as the expectation's.

    Attributes:
        nearest: (n, SWAP_AMONG) rows of the nearest stations, -1 for none.
        step_limit, flat_limit: (n, 4) limits of the rules, in the variable's unit per hour and in hours.
    """

    expected: ExpectedValues
    forest: IsolationForest
    nearest: npt.NDArray[np.int64]
    step_limit: npt.NDArray[np.float64]
    flat_limit: npt.NDArray[np.float64]

    def hard(self, values: Array) -> npt.NDArray[np.bool_]:
        """Hard flags of hourly values (n, hours, 4): range, step, flat line, consistency."""
        times = np.arange(values.shape[1], dtype=np.float64)[None]
        outside = series_checks.outside(values)
        known = np.where(outside, np.nan, values)
        flags = outside | series_checks.steps(times, known, self.step_limit).failed
        flags |= series_checks.flats(times, known, self.flat_limit).failed
        flags[..., [0, series_checks.HUMIDITY]] |= series_checks.too_damp(known)[..., None]
        return flags


@dataclass(frozen=True)
class AnomalyFeatures:
    """What is known of hours `first` and later; n stations.

    Attributes:
        features: (n, hours, 4, len(NAMES)); NaN where something could not be told.
        usual: (n, hours, 4, views) what the views expect, in the variable's unit.
        residuals: (n, hours, 4, views) distance from that in units of the usual distance, values above it positive.
    """

    features: Array
    usual: Array
    residuals: Array


def compute(values: Array, normal: Array, background: StationStatistics, first: int) -> AnomalyFeatures:
    """Evidence of hours `first` on, from values and climatology (n, hours, 4), rows as the background's.

    Needs `LOOK_BACK` hours before `first` to see all.
    """
    parts = []
    for begin in range(first, values.shape[1], CHUNK_HOURS):
        seen = slice(max(0, begin - LOOK_BACK), min(begin + CHUNK_HOURS, values.shape[1]))
        parts.append(_gather(values[:, seen], normal[:, seen], background, begin - seen.start))
    return AnomalyFeatures(
        *(
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in AnomalyFeatures.__dataclass_fields__
        )
    )


def newest(values: Array, normal: Array, background: StationStatistics) -> AnomalyFeatures:
    """Evidence of the last hour alone, its `usual` and `residuals` with those of the hours before (`MEMORY`)."""
    return _gather(values, normal, background, values.shape[1] - 1, with_past=True)


def _gather(
    values: Array, normal: Array, background: StationStatistics, first: int, with_past: bool = False
) -> AnomalyFeatures:
    expected = background.expected
    known = np.where(series_checks.outside(values), np.nan, values).astype(np.float32)
    anomalies = known - normal
    begin = max(0, first - MEMORY)
    usual_anomaly = expected.expected(anomalies, begin)
    scale = (expected.scale * expected.spread[..., None])[:, None].astype(np.float32)
    residuals = np.clip((anomalies[:, begin:, :, None] - usual_anomaly) / scale, -WORST, WORST)
    usual = usual_anomaly + normal[:, begin:, :, None]
    skip = first - begin

    def view(name: str) -> Array:
        return residuals[..., VIEWS.index(name)]

    def now(series: Array) -> Array:
        return series[:, skip:]

    spread = expected.spread[:, None].astype(np.float32)
    times = np.arange(values.shape[1], dtype=np.float64)[None]
    flat = series_checks.flats(times, known).hours[:, first:]
    step = series_checks.steps(times, known)
    change = np.where(step.checked, step.change, np.nan)[:, first:]
    lead1 = view("lead1")
    before = np.concatenate([np.full_like(lead1[:, :1], np.nan), lead1[:, :-1]], axis=1)
    columns: list[npt.NDArray] = [
        np.broadcast_to(np.arange(COUNT), change.shape),
        known[:, first:],
        anomalies[:, first:] / spread,
        *(np.abs(now(view(name))) for name in VIEWS),
        now(view("lead24")),
        now(view("neighbours")),
        now(np.abs(before)),
        now(before * np.sign(lead1)),
    ]
    lasting = {name: [np.abs(now(_mean(view(name), span))) for span in SPANS] for name in LASTING}
    columns += [mean for name in LASTING for mean in lasting[name]]
    columns += [now(_mean(np.abs(view(name)), span)) for name in ROUGH for span in (6, 24)]
    columns += _buddies(anomalies, expected, first)
    columns += [np.minimum(flat, LONGEST_FLAT), flat / background.flat_limit[:, None]]
    columns += [np.abs(change) / spread, np.abs(change) / background.step_limit[:, None]]
    columns += [
        np.broadcast_to(expected.tail[:, None, :, VIEWS.index(name)], change.shape)
        for name in ("lead1", "lead24", "neighbours")
    ]
    columns += [
        np.broadcast_to(scale[..., VIEWS.index(name)] / spread, change.shape) for name in ("neighbours", "lead24")
    ]
    columns += [_elsewhere(np.abs(now(view(name)))) for name in ("lead1", "lead24", "neighbours")]
    columns.append(_elsewhere(lasting["neighbours"][-1]))
    odd = isolation_features.scores(anomalies, expected.spread, background.forest, first)
    columns.append(np.broadcast_to(odd[..., None], change.shape))
    by_neighbours = usual[..., VIEWS.index("neighbours")]
    width = scale[..., VIEWS.index("neighbours")]
    columns.append(
        _other_unit(values[:, first:], now(usual[..., VIEWS.index("lead24")]), scale[..., VIEWS.index("lead24")])
    )
    columns += _explained(known[:, begin:], by_neighbours, width, background.nearest, skip)
    features = np.stack([np.broadcast_to(column, change.shape) for column in columns], axis=-1, dtype=np.float32)
    return (
        AnomalyFeatures(features, usual, residuals)
        if with_past
        else AnomalyFeatures(features, now(usual), now(residuals))
    )


def _mean(series: Array, hours: int) -> Array:
    """Mean (n, hours, ...) of the last `hours` known values at each moment; NaN where none is known."""
    known = np.isfinite(series)
    total, count = np.cumsum(np.where(known, series, 0), axis=1, dtype=np.float64), np.cumsum(known, axis=1)
    total[:, hours:] -= total[:, :-hours].copy()
    count[:, hours:] -= count[:, :-hours].copy()
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _buddies(anomalies: Array, expected: ExpectedValues, first: int) -> list[npt.NDArray]:
    """Distance from the neighbours' mean anomaly in standard deviations of theirs, and how many there are."""
    rows = expected.neighbours
    there = anomalies[np.maximum(rows, 0), first:, np.arange(COUNT)[None, :, None]]  # (n, 4, NEIGHBOURS, hours)
    there = np.where((rows >= 0)[..., None], there, np.nan)
    known = np.isfinite(there)
    count = known.sum(axis=2)
    total = np.where(known, there, 0)
    mean = total.sum(axis=2) / np.maximum(count, 1)
    variance = np.where(known, (total - mean[:, :, None]) ** 2, 0).sum(axis=2) / np.maximum(count, 1)
    floor = 0.25 * expected.spread[..., None]
    away = np.abs(anomalies[:, first:].transpose(0, 2, 1) - mean) / np.maximum(np.sqrt(variance), floor)
    away = np.where(count >= 3, away, np.nan)
    return [away.transpose(0, 2, 1), count.transpose(0, 2, 1) / NEIGHBOURS]


def _elsewhere(distance: Array) -> Array:
    """The largest distance (n, hours, 4) among the other variables of the station."""
    largest = np.stack(
        [np.fmax.reduce(np.delete(distance, variable, axis=2), axis=2) for variable in range(COUNT)], axis=2
    )
    return np.asarray(largest)


def _other_unit(values: Array, usual: Array, scale: Array) -> Array:
    """How well the number fits if it is in another unit: the distance of the best of these, over that as it stands."""
    plain = np.abs(values - usual) / scale
    best = np.full(values.shape, np.inf, np.float32)
    for variable, name in enumerate(VARIABLES):
        for factor, offset in UNITS[name]:
            distance = np.abs((values[..., variable] - offset) / factor - usual[..., variable]) / scale[..., variable]
            best[..., variable] = np.fmin(best[..., variable], distance)
    return (plain - best) / (1 + best)


def _explained(
    values: Array, usual: Array, scale: Array, nearest: npt.NDArray[np.int64], skip: int
) -> list[npt.NDArray]:
    """How much closer the last hours are to what is usual earlier (a clock that is late), or at a near station.

    For each variable and for the mean of all, as a share of the distance as it stands.
    """

    def distance(other: Array) -> Array:
        return _mean(np.minimum(np.abs(values - other) / scale, 10), EXPLAINED_HOURS)[:, skip:]

    def gain(best: Array) -> list[npt.NDArray]:
        share = (plain - best) / (1 + best)
        mean = (_over_variables(plain) - _over_variables(best)) / (1 + _over_variables(best))
        return [share, np.broadcast_to(mean[..., None], share.shape)]

    plain = distance(usual)
    late = None
    for hours in range(SHIFT_HOURS[0], SHIFT_HOURS[1] + 1, 2):
        then = np.concatenate([np.full_like(usual[:, :hours], np.nan), usual[:, :-hours]], axis=1)[:, : usual.shape[1]]
        found = distance(then)
        late = found if late is None else _closer(late, found)
    swapped = None
    for k in range(SWAP_AMONG):
        there = np.where((nearest[:, k] >= 0)[:, None, None], usual[np.maximum(nearest[:, k], 0)], np.nan)
        found = distance(there)
        swapped = found if swapped is None else _closer(swapped, found)
    assert late is not None
    assert swapped is not None
    return [*gain(late), *gain(swapped)]


def _closer(one: Array, other: Array) -> Array:
    """Of two explanations the one that fits all variables of a station and hour better."""
    a, b = _over_variables(one), _over_variables(other)
    take = np.isnan(a) | (b < a)
    return np.where(take[..., None], other, one)


def _over_variables(distance: Array) -> Array:
    known = np.isfinite(distance)
    total = np.where(known, distance, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.where(known.any(axis=-1), total, np.nan)
