"""Baseline detectors of the benchmark: each gives a score per value, and its limit gets the same alarm budget."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import isolation_features
from weatherglass.anomaly.expected_values import VIEWS
from weatherglass.anomaly.features import AnomalyFeatures
from weatherglass.anomaly.learned_score import FORECASTS, LearnedScore
from weatherglass.records import VARIABLES

Array = npt.NDArray[np.float32]

WINDOW_HOURS, EVERY_HOURS = 72, 3
"""Past hours of the robust z-score, and the step between them: Hampel's identifier, Pearson (2002), Outliers in process
modeling and identification, IEEE Trans. Control Systems Technology 10."""
BUDDY_RADIUS_KM = 1000.0
BUDDY_MIN = 3
BUDDY_THRESHOLDS = (2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
"""titanlib's check gives only a flag; the highest threshold at which a value is flagged is its score."""


def isolation_forest(learned: LearnedScore, values: Array, normal: Array, first: int) -> Array:
    """Return the isolation forest's score for the variable that deviates most, 0 for the others."""
    anomalies = values - normal
    spread = learned.statistics.expected.spread
    score = isolation_features.isolation_scores(anomalies, spread, learned.statistics.forest, first)
    states = np.abs(isolation_features.compute(anomalies, spread, first)).reshape(*score.shape, -1, len(VARIABLES))
    furthest = np.argmax(np.nan_to_num(np.fmax.reduce(states, axis=2), nan=-1), axis=2)
    selected = furthest[..., None] == np.arange(len(VARIABLES))
    return np.where(np.isfinite(values[:, first:]), np.where(selected, score[..., None], 0), np.nan)


def robust_z(values: Array, first: int) -> Array:
    """Return the distance from the median of the last days in units of their scaled median absolute deviation."""
    scores = np.full(values[:, first:].shape, np.nan, np.float32)
    for station in range(len(values)):
        padded = np.concatenate([np.full((WINDOW_HOURS, len(VARIABLES)), np.nan, np.float32), values[station]])
        past = np.lib.stride_tricks.sliding_window_view(padded[:-1], WINDOW_HOURS, axis=0)[first:, :, ::EVERY_HOURS]
        known = np.isfinite(past).mean(axis=2) >= 0.5
        filled = np.where(known[..., None], past, 0)
        median = np.nanmedian(filled, axis=2)
        deviation = 1.4826 * np.nanmedian(np.abs(filled - median[..., None]), axis=2)
        z = np.abs(values[station, first:] - median) / np.maximum(deviation, 0.1)
        scores[station] = np.where(known, z, np.nan)
    return scores


def buddy_check(
    learned: LearnedScore, coordinates: npt.NDArray[np.float64], values: Array, normal: Array, first: int
) -> Array:
    """Return scores of titanlib's buddy check of each hour's anomalies; `coordinates` (n, 2) latitude, longitude."""
    import titanlib

    anomalies = (values - normal)[:, first:]
    scores = np.where(np.isfinite(anomalies), np.float32(0), np.float32(np.nan))
    for v in range(len(VARIABLES)):
        min_spread = float(np.nanmedian(learned.statistics.expected.spread[:, v])) / 4
        for hour in range(anomalies.shape[1]):
            rows = np.flatnonzero(np.isfinite(anomalies[:, hour, v]))
            if len(rows) <= BUDDY_MIN:
                continue
            points = titanlib.Points(coordinates[rows, 0], coordinates[rows, 1], np.zeros(len(rows)))
            radius, min_number = np.full(len(rows), BUDDY_RADIUS_KM * 1000), np.full(len(rows), BUDDY_MIN)
            for threshold in BUDDY_THRESHOLDS:
                flags = titanlib.buddy_check(
                    points, anomalies[rows, hour, v].tolist(), radius, min_number, threshold, 1e5, 0.0, min_spread, 1
                )
                flagged = np.asarray(flags) == 1
                if not flagged.any():
                    break
                scores[rows[flagged], hour, v] = threshold
    return scores


def forecast_residuals(learned: LearnedScore, computed: AnomalyFeatures) -> Array:
    """Return -log10 of the smallest conformal p-value over the leads."""
    return _conformal_score(learned, computed, FORECASTS)


def neighbour_residuals(learned: LearnedScore, computed: AnomalyFeatures) -> Array:
    """Return -log10 of the conformal p-value of the distance from the value expected from the neighbours."""
    return _conformal_score(learned, computed, (VIEWS.index("neighbours"),))


def _conformal_score(learned: LearnedScore, computed: AnomalyFeatures, views: tuple[int, ...]) -> Array:
    scores = np.full(computed.features.shape[:3], np.nan, np.float32)
    distance = np.abs(computed.residuals)
    for v in range(len(VARIABLES)):
        for view in views:
            quantiles, observed = learned.residual_quantiles[v, view], distance[..., v, view]
            rank = len(quantiles) - np.searchsorted(quantiles, observed)
            # Beyond the largest distance of the calibration the score grows with the distance.
            beyond = np.maximum(observed / max(float(quantiles[-1]), 1e-6) - 1, 0) if np.isfinite(quantiles[-1]) else 0
            score = np.where(np.isfinite(observed), -np.log10((1 + rank) / (1 + len(quantiles))) + beyond, np.nan)
            scores[..., v] = np.fmax(scores[..., v], score)
    return scores
