"""Detectors that the learnt one must beat, each a score per value that is then held to the same budget of alarms."""

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
"""Past that the robust z-score is taken from: Hampel's identifier, Pearson (2002), Outliers in process modeling and
identification, IEEE Trans. Control Systems Technology 10."""
BUDDY_RADIUS_KM = 1000.0
BUDDY_MIN = 3
BUDDY_THRESHOLDS = (2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
"""titanlib's check answers yes or no; the highest threshold that still says no is its score."""


def forest(learnt: LearnedScore, values: Array, normal: Array, first: int) -> Array:
    """The isolation forest's score, given to the variable that is furthest from usual."""
    anomalies = values - normal
    spread = learnt.background.expected.spread
    odd = isolation_features.scores(anomalies, spread, learnt.background.forest, first)
    states = np.abs(isolation_features.states(anomalies, spread, first)).reshape(*odd.shape, -1, len(VARIABLES))
    furthest = np.argmax(np.nan_to_num(np.fmax.reduce(states, axis=2), nan=-1), axis=2)
    mine = furthest[..., None] == np.arange(len(VARIABLES))
    return np.where(np.isfinite(values[:, first:]), np.where(mine, odd[..., None], 0), np.nan)


def robust_z(values: Array, first: int) -> Array:
    """Distance from the median of the last days over their median absolute deviation."""
    made = np.full(values[:, first:].shape, np.nan, np.float32)
    for station in range(len(values)):
        padded = np.concatenate([np.full((WINDOW_HOURS, len(VARIABLES)), np.nan, np.float32), values[station]])
        past = np.lib.stride_tricks.sliding_window_view(padded[:-1], WINDOW_HOURS, axis=0)[first:, :, ::EVERY_HOURS]
        known = np.isfinite(past).mean(axis=2) >= 0.5
        filled = np.where(known[..., None], past, 0)
        middle = np.nanmedian(filled, axis=2)
        width = 1.4826 * np.nanmedian(np.abs(filled - middle[..., None]), axis=2)
        z = np.abs(values[station, first:] - middle) / np.maximum(width, 0.1)
        made[station] = np.where(known, z, np.nan)
    return made


def buddies(learnt: LearnedScore, places: npt.NDArray[np.float64], values: Array, normal: Array, first: int) -> Array:
    """titanlib's buddy check of each hour's anomalies; `places` (n, 2) latitude and longitude."""
    import titanlib

    anomalies = (values - normal)[:, first:]
    made = np.where(np.isfinite(anomalies), np.float32(0), np.float32(np.nan))
    for v in range(len(VARIABLES)):
        least = float(np.nanmedian(learnt.background.expected.spread[:, v])) / 4
        for hour in range(anomalies.shape[1]):
            rows = np.flatnonzero(np.isfinite(anomalies[:, hour, v]))
            if len(rows) <= BUDDY_MIN:
                continue
            points = titanlib.Points(places[rows, 0], places[rows, 1], np.zeros(len(rows)))
            radius, least_number = np.full(len(rows), BUDDY_RADIUS_KM * 1000), np.full(len(rows), BUDDY_MIN)
            for threshold in BUDDY_THRESHOLDS:
                flags = titanlib.buddy_check(
                    points, anomalies[rows, hour, v].tolist(), radius, least_number, threshold, 1e5, 0.0, least, 1
                )
                flagged = np.asarray(flags) == 1
                if not flagged.any():
                    break
                made[rows[flagged], hour, v] = threshold
    return made


def forecast_residuals(learnt: LearnedScore, found: AnomalyFeatures) -> Array:
    """The smallest conformal p-value over the leads, as -log10 p."""
    return _unlikely(learnt, found, FORECASTS)


def neighbours(learnt: LearnedScore, found: AnomalyFeatures) -> Array:
    """The conformal p-value of the distance from what the neighbours let expect, as -log10 p."""
    return _unlikely(learnt, found, (VIEWS.index("neighbours"),))


def _unlikely(learnt: LearnedScore, found: AnomalyFeatures, views: tuple[int, ...]) -> Array:
    made = np.full(found.features.shape[:3], np.nan, np.float32)
    distance = np.abs(found.residuals)
    for v in range(len(VARIABLES)):
        for view in views:
            usual, mine = learnt.usual_distance[v, view], distance[..., v, view]
            rank = len(usual) - np.searchsorted(usual, mine)
            # beyond the largest that was usual the distance itself goes on counting
            beyond = np.maximum(mine / max(float(usual[-1]), 1e-6) - 1, 0) if np.isfinite(usual[-1]) else 0
            score = np.where(np.isfinite(mine), -np.log10((1 + rank) / (1 + len(usual))) + beyond, np.nan)
            made[..., v] = np.fmax(made[..., v], score)
    return made
