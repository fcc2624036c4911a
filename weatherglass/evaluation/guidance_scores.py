"""Scores of guidance as it was issued and as it is corrected, on the same cases."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from weatherglass.guidance.correction import CorrectedGuidance, correct
from weatherglass.guidance.daily_series import Array, DailySeries
from weatherglass.guidance.error_distribution import QUANTILES
from weatherglass.verification import scores

LEVELS = (0.8, 0.9)
DRAWS = 1_000
BLOCK_DAYS = scores.BLOCK_HOURS // 24
CONFIDENCE = 0.95
_NORMAL = np.array([NormalDist().inv_cdf(p) for p in QUANTILES])


@dataclass(frozen=True)
class GuidanceScores:
    """Means over all cases, in the unit of the file.

    Attributes:
        cases: forecasts with an observation.
        raw_mae, raw_crps: of the mean of the models; its quantiles are those of a normal distribution with the spread.
            Both CRPS are of the cases with a spread.
        mae, crps: of the corrected guidance.
        skill, skill_low, skill_high: 1 - mae / raw_mae, with its 95 % interval from blocks of five days.
        coverage: level -> share of observations inside the central interval.
    """

    cases: int
    stations: int
    raw_mae: float
    raw_crps: float
    mae: float
    crps: float
    skill: float
    skill_low: float
    skill_high: float
    coverage: dict[float, float]


def score_guidance(series: DailySeries, first_day: int) -> GuidanceScores:
    """Correct the guidance in issue order, and score the days from `first_day` on.

    Raises:
        ValueError: no day from there on has a forecast, an observation and enough days before it.
    """
    corrected = correct(series, first_day)
    of_test = np.isfinite(series.error) & np.isfinite(corrected.quantiles[:, :, 0])
    of_test[:first_day] = False
    if not of_test.any():
        raise ValueError("the test has no forecast with an observation and with earlier days to learn from")
    observed, centre = series.observed[of_test], corrected.centre[of_test]
    raw = series.mean[of_test]
    raw_error, error = scores.absolute_error(raw, observed), scores.absolute_error(centre, observed)
    low, high = _skill_interval(np.nonzero(of_test)[0], raw_error, error)
    spread = series.model_spread[of_test]
    has_spread = np.isfinite(spread)
    return GuidanceScores(
        cases=len(observed),
        stations=int(of_test.any(axis=0).sum()),
        raw_mae=float(raw_error.mean()),
        raw_crps=_crps(observed[has_spread], (raw[:, None] + spread[:, None] * _NORMAL)[has_spread]),
        mae=float(error.mean()),
        crps=_crps(observed[has_spread], corrected.quantiles[of_test][has_spread]),
        skill=scores.skill(float(error.mean()), float(raw_error.mean())),
        skill_low=low,
        skill_high=high,
        coverage={level: _coverage(corrected, of_test, observed, level) for level in LEVELS},
    )


def _crps(observed: Array, quantiles: Array) -> float:
    return float(scores.crps(observed, {float(p): quantiles[:, at] for at, p in enumerate(QUANTILES)}).mean())


def _coverage(corrected: CorrectedGuidance, of_test: np.ndarray, observed: Array, level: float) -> float:
    lower, upper = (int(np.argmin(np.abs(QUANTILES - p))) for p in ((1 - level) / 2, (1 + level) / 2))
    quantiles = corrected.quantiles[of_test]
    return float(scores.inside(observed, quantiles[:, lower], quantiles[:, upper]).mean())


def _skill_interval(days: np.ndarray, raw_error: Array, error: Array) -> tuple[float, float]:
    """Confidence limits of the skill by a block bootstrap, as in `skill_uncertainty.skill_interval`."""
    block = np.unique(days // BLOCK_DAYS, return_inverse=True)[1]
    count = int(block.max()) + 1
    totals = np.stack([np.bincount(block, errors, count) for errors in (error, raw_error)])
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS) @ totals.T
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(scores.skill(drawn[:, 0], drawn[:, 1]), [tail, 1 - tail])
    return float(low), float(high)
