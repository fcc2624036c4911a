"""Training of the anomaly detector: usual values from history, faults from injected ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import classifier, expected_values, fault_injection, features, isolation_features, rule_limits
from weatherglass.anomaly.classifier import FaultClassifier
from weatherglass.anomaly.episodes import TRAILING_HOURS
from weatherglass.anomaly.expected_values import VIEWS
from weatherglass.anomaly.features import StationStatistics
from weatherglass.anomaly.learned_score import LearnedScore
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

SEGMENT_HOURS = 50 * 24
"""Faults are injected into segments of history of this length, each with all stations."""
FAULTS_PER_STATION_DAY = 0.1
CLEAN_ROWS = 25_000
"""Rows without a fault that are used of each segment."""
RECENT_HOURS = 120 * 24
"""Limits are fitted on the latest hours of history, which are not used for training."""
FAULT_WEIGHT = 20.0
"""Weight of a fault; an hour without a fault has weight 1."""
QUANTILES = 2_000
RULE_BUDGET_SHARE = 0.2
"""Share of the budget that each rule may use at a station before its limit is raised there."""


@dataclass(frozen=True)
class DetectorSize:
    """Number of injected faults, maximum number of history segments, and number of trees."""

    faults: int
    segments: int
    trees: int


DETECTOR_SIZES = {"first": DetectorSize(900, 10, 60), "full": DetectorSize(4_000, 60, 160)}


def fit(
    grid: HourGrid,
    train: npt.NDArray[np.bool_],
    climatology: Climatology,
    budget: float,
    seed: int,
    size: DetectorSize,
) -> LearnedScore:
    """Train on the hours `train` (a mask over the grid) and fit the limits on the latest other hours.

    Args:
        budget: false alarms per station, variable and week.

    Raises:
        isolation_features.InsufficientHistory: the history is too short or has no values of a variable.
    """
    station_ids = [station.station_id for station in grid.stations]
    climatology = Climatology(tuple(station_ids), climatology.coefficients[climatology.rows(station_ids)])
    values = model_variables(grid.values)[..., : len(VARIABLES)]
    normal = climatology.at(np.arange(len(station_ids)), grid.hours)[..., : len(VARIABLES)]
    known = np.where(train[None, :, None], values, np.nan)
    anomalies = known - normal
    expected = expected_values.fit(station_ids, anomalies, seed)
    forest = isolation_features.fit_forest(anomalies, expected.spread, seed)
    step_limit, flat_limit = rule_limits.fit(known, RULE_BUDGET_SHARE * budget)
    statistics = StationStatistics(
        expected, forest, fault_injection.nearest_stations(grid.stations), step_limit, flat_limit
    )
    trees = _fit_classifier(known, normal, statistics, size, seed)
    start = _recent_start(train)
    quantiles = _reference_quantiles((values - normal)[:, start:], statistics)
    uncalibrated = LearnedScore(climatology, statistics, trees, np.ones(len(VARIABLES)), *quantiles)
    return uncalibrated.recalibrated(grid.part(start), budget)


def _recent_start(train: npt.NDArray[np.bool_]) -> int:
    """Return the first hour that limits are fitted on: after the training hours, if enough hours follow them."""
    hours = len(train)
    after = int(np.flatnonzero(train)[-1]) + 1
    return max(after, hours - RECENT_HOURS) if hours - after > RECENT_HOURS // 4 else max(0, hours - RECENT_HOURS)


def _fit_classifier(
    known: npt.NDArray[np.float32],
    normal: npt.NDArray[np.float32],
    statistics: StationStatistics,
    size: DetectorSize,
    seed: int,
) -> FaultClassifier:
    """Inject faults into random segments of the training hours and train a classifier to recognize them."""
    rng = np.random.default_rng([seed, 1])
    count, hours = known.shape[:2]
    length = min(SEGMENT_HOURS, hours)
    per_kind = max(1, round(FAULTS_PER_STATION_DAY * count * length / 24 / len(fault_injection.FaultKind)))
    candidates = _segment_starts(np.asarray(np.isfinite(known).any(axis=(0, 2))), length)
    rows, labels, weights, injected_faults = [], [], [], 0
    values = np.where(np.isfinite(statistics.expected.spread)[:, None], known, np.float32(np.nan))
    for _ in range(size.segments):
        if injected_faults >= size.faults:
            break
        start = int(rng.choice(candidates))
        segment = slice(start, start + length)
        injected = fault_injection.inject(
            values[:, segment], statistics.expected.spread, statistics.nearest, per_kind, rng
        )
        injected_faults += len(injected.faults)
        computed = features.compute(injected.values, normal[:, segment], statistics, features.LOOK_BACK)
        weight = _weights(injected)[:, features.LOOK_BACK :]
        faulty = injected.faulty[:, features.LOOK_BACK :]
        usable = np.isfinite(computed.features[..., features.NAMES.index("anomaly")]) & (weight > 0)
        clean = np.flatnonzero(usable & ~faulty)
        clean = rng.choice(clean, min(len(clean), CLEAN_ROWS), replace=False)
        taken = np.concatenate([np.flatnonzero(usable & faulty), clean])
        rows.append(computed.features.reshape(-1, len(features.NAMES))[taken])
        labels.append(faulty.reshape(-1)[taken])
        weights.append(weight.reshape(-1)[taken])
    return classifier.fit(np.concatenate(rows), np.concatenate(labels), np.concatenate(weights), size.trees, seed)


def _segment_starts(present: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.int64]:
    """Return the starts, a day apart, of the segments that are at least 90 % complete, or else of the most complete."""
    starts = np.arange(0, len(present) - length + 1, 24)
    total = np.concatenate([[0], np.cumsum(present)])
    share = (total[starts + length] - total[starts]) / length
    return starts[share >= min(0.9, float(share.max()))]


def _weights(injected: fault_injection.InjectionResult) -> npt.NDArray[np.float32]:
    """Give each fault the same total weight, and the hours after it, which it still affects, no weight."""
    weight = np.ones(injected.values.shape, np.float32)
    for fault in injected.faults:
        weight[fault.station, fault.end : fault.end + TRAILING_HOURS, list(fault.variables)] = 0
    for fault in injected.faults:
        rows = (fault.end - fault.start) * len(fault.variables)
        weight[fault.station, fault.start : fault.end, list(fault.variables)] = FAULT_WEIGHT / rows
    return weight


def _reference_quantiles(
    anomalies: npt.NDArray[np.float32], statistics: StationStatistics
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return quantiles of residuals (4, views, QUANTILES) and of forest scores (QUANTILES,) of recent hours."""
    residuals = np.abs(statistics.expected.residuals(anomalies, expected_values.LOOK_BACK))
    residuals = residuals.reshape(-1, len(VARIABLES), len(VIEWS))
    share = (np.arange(QUANTILES) + 0.5) / QUANTILES
    quantiles = np.full((len(VARIABLES), len(VIEWS), QUANTILES), np.inf)
    for v in range(len(VARIABLES)):
        complete = residuals[:, v][np.isfinite(residuals[:, v]).all(axis=1)]
        if len(complete):
            quantiles[v] = np.quantile(complete, share, axis=0).T
    scores = isolation_features.isolation_scores(
        anomalies, statistics.expected.spread, statistics.forest, expected_values.LOOK_BACK
    )
    scores = scores[np.isfinite(scores)]
    return quantiles, np.quantile(scores, share) if len(scores) else np.full(QUANTILES, np.inf)
