"""How the anomaly detector learns: what is usual from history, and what faults look like from injected ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import classifier, expected_values, fault_injection, features, isolation_features, rule_limits
from weatherglass.anomaly.classifier import FaultClassifier
from weatherglass.anomaly.episodes import AFTERMATH_HOURS
from weatherglass.anomaly.expected_values import VIEWS
from weatherglass.anomaly.features import StationStatistics
from weatherglass.anomaly.learned_score import LearnedScore
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

STRETCH_HOURS = 50 * 24
"""Faults are injected into stretches of history of this length, each with all stations."""
FAULTS_PER_STATION_DAY = 0.1
CLEAN_ROWS = 25_000
"""Rows without a fault that are kept of each stretch."""
RECENT_HOURS = 120 * 24
"""The limits are set on the newest hours of history, which nothing has been learnt from."""
EVENT_WEIGHT = 20.0
"""What a fault counts for, an hour without one counting 1."""
QUANTILES = 2_000
RULE_SHARE = 0.2
"""Part of the budget that each rule may use up at a station before its limit is raised there."""


@dataclass(frozen=True)
class Effort:
    """How many injected faults are learnt from, in at most how many stretches of history, and by how many trees."""

    faults: int
    stretches: int
    trees: int


EFFORTS = {"first": Effort(900, 10, 60), "full": Effort(4_000, 60, 160)}


def fit(
    grid: HourGrid, train: npt.NDArray[np.bool_], climatology: Climatology, budget: float, seed: int, effort: Effort
) -> LearnedScore:
    """Learn from the hours `train` (a mask over the grid); set the limits on the newest of the others.

    Raises:
        oddness.TooFewHours: the history is too short or lacks a variable.
    """
    station_ids = [station.station_id for station in grid.stations]
    climatology = Climatology(tuple(station_ids), climatology.coefficients[climatology.rows(station_ids)])
    values = model_variables(grid.values)[..., : len(VARIABLES)]
    normal = climatology.at(np.arange(len(station_ids)), grid.hours)[..., : len(VARIABLES)]
    known = np.where(train[None, :, None], values, np.nan)
    anomalies = known - normal
    expected = expected_values.fit(station_ids, anomalies, seed)
    forest = isolation_features.fit_forest(anomalies, expected.spread, seed)
    step_limit, flat_limit = rule_limits.fit(known, RULE_SHARE * budget)
    background = StationStatistics(expected, forest, fault_injection.nearest(grid.stations), step_limit, flat_limit)
    trees = _combine(known, normal, background, effort, seed)
    newest = _newest(train)
    usual = _usual((values - normal)[:, newest:], background)
    untried = LearnedScore(climatology, background, trees, np.ones(len(VARIABLES)), *usual)
    recent = HourGrid(grid.stations, grid.start + newest, grid.values[:, newest:])
    return untried.recalibrated(recent, budget)


def _newest(train: npt.NDArray[np.bool_]) -> int:
    """First hour of the stretch on which limits are set: after all that was learnt from, if that is enough."""
    hours = len(train)
    after = int(np.flatnonzero(train)[-1]) + 1
    return max(after, hours - RECENT_HOURS) if hours - after > RECENT_HOURS // 4 else max(0, hours - RECENT_HOURS)


def _combine(
    known: npt.NDArray[np.float32],
    normal: npt.NDArray[np.float32],
    background: StationStatistics,
    effort: Effort,
    seed: int,
) -> FaultClassifier:
    """Inject faults into random stretches of the hours that may be learnt from, and learn to tell them."""
    rng = np.random.default_rng([seed, 1])
    count, hours = known.shape[:2]
    length = min(STRETCH_HOURS, hours)
    each = max(1, round(FAULTS_PER_STATION_DAY * count * length / 24 / len(fault_injection.FaultKind)))
    candidates = _stretches(np.asarray(np.isfinite(known).any(axis=(0, 2))), length)
    rows, labels, weights, made = [], [], [], 0
    values = np.where(np.isfinite(background.expected.spread)[:, None], known, np.float32(np.nan))
    for _ in range(effort.stretches):
        if made >= effort.faults:
            break
        start = int(rng.choice(candidates))
        stretch = slice(start, start + length)
        injected = fault_injection.inject(values[:, stretch], background.expected.spread, background.nearest, each, rng)
        made += len(injected.faults)
        found = features.compute(injected.values, normal[:, stretch], background, features.LOOK_BACK)
        weight = _weights(injected)[:, features.LOOK_BACK :]
        faulty = injected.faulty[:, features.LOOK_BACK :]
        usable = np.isfinite(found.features[..., features.NAMES.index("anomaly")]) & (weight > 0)
        clean = np.flatnonzero(usable & ~faulty)
        clean = rng.choice(clean, min(len(clean), CLEAN_ROWS), replace=False)
        taken = np.concatenate([np.flatnonzero(usable & faulty), clean])
        rows.append(found.features.reshape(-1, len(features.NAMES))[taken])
        labels.append(faulty.reshape(-1)[taken])
        weights.append(weight.reshape(-1)[taken])
    return classifier.fit(np.concatenate(rows), np.concatenate(labels), np.concatenate(weights), effort.trees, seed)


def _stretches(present: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.int64]:
    """Starts, a day apart, of the stretches that are nearly whole; of all, where none is."""
    starts = np.arange(0, len(present) - length + 1, 24)
    total = np.concatenate([[0], np.cumsum(present)])
    share = (total[starts + length] - total[starts]) / length
    return starts[share >= min(0.9, float(share.max()))]


def _weights(injected: fault_injection.Injected) -> npt.NDArray[np.float32]:
    """Each fault counts the same, however long; the hours after it, in which it is still felt, do not count."""
    weight = np.ones(injected.values.shape, np.float32)
    for fault in injected.faults:
        weight[fault.station, fault.end : fault.end + AFTERMATH_HOURS, list(fault.variables)] = 0
    for fault in injected.faults:
        rows = (fault.end - fault.start) * len(fault.variables)
        weight[fault.station, fault.start : fault.end, list(fault.variables)] = EVENT_WEIGHT / rows
    return weight


def _usual(
    anomalies: npt.NDArray[np.float32], background: StationStatistics
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sorted distances (4, views, QUANTILES) and forest scores (QUANTILES,) of recent hours."""
    left = np.abs(background.expected.residuals(anomalies, expected_values.LOOK_BACK))
    left = left.reshape(-1, len(VARIABLES), len(VIEWS))
    share = (np.arange(QUANTILES) + 0.5) / QUANTILES
    distance = np.full((len(VARIABLES), len(VIEWS), QUANTILES), np.inf)
    for v in range(len(VARIABLES)):
        mine = left[:, v][np.isfinite(left[:, v]).all(axis=1)]
        if len(mine):
            distance[v] = np.quantile(mine, share, axis=0).T
    odd = isolation_features.scores(anomalies, background.expected.spread, background.forest, expected_values.LOOK_BACK)
    odd = odd[np.isfinite(odd)]
    return distance, np.quantile(odd, share) if len(odd) else np.full(QUANTILES, np.inf)
