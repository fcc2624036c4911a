"""Sums over held-out forecasts: errors, skill with its uncertainty, reliability and sharpness of the intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.evaluation.held_out import MODEL, HeldOut

BLOCK_HOURS = 5 * 24
"""Errors of one weather system go together; blocks of five days hardly do."""
DRAWS = 1_000
CONFIDENCE = 0.95


def mean(values: npt.NDArray, where: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
    """Mean over the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(values) if where is None else np.isfinite(values) & where
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mae(held_out: HeldOut, who: str, cases: npt.NDArray[np.bool_] | slice = slice(None)) -> npt.NDArray[np.float64]:
    """Mean absolute error (leads, variables) over the cases."""
    return mean(held_out.errors(who)[cases])


def skill(ours: npt.NDArray, theirs: npt.NDArray, leads: Sequence[int]) -> npt.NDArray[np.float64]:
    """1 - error / the baseline's error, mean over leads (hours), from errors (..., leads, variables)."""
    at = np.array(leads) - 1
    return np.asarray((1 - ours[..., at, :] / theirs[..., at, :]).mean(axis=-2))


def skill_interval(
    held_out: HeldOut, against: str, leads: Sequence[int], seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Confidence limits (variables,) of the skill, by drawing blocks of days with replacement.

    Non-overlapping block bootstrap, model and baseline drawn together: Künsch (1989), The Jackknife and the Bootstrap
    for General Stationary Observations, Annals of Statistics 17; Carlstein (1986) for blocks that do not overlap.
    """
    both = held_out.comparable(against)
    block = held_out.base.astype(np.int64) // BLOCK_HOURS
    _, which = np.unique(block, return_inverse=True)
    count = int(which.max()) + 1
    sums = []
    for who in (MODEL, against):
        error = np.where(both, np.abs(held_out.answers[who] - held_out.truth), 0)
        total = np.zeros((count, *error.shape[1:]))
        np.add.at(total, which, error)
        sums.append(total)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    ours, theirs = (np.tensordot(drawn, total, axes=1) for total in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        skills = skill(ours, theirs, leads)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(skills, [tail, 1 - tail], axis=0)
    return low, high


def coverage(
    held_out: HeldOut, level: float, cases: npt.NDArray[np.bool_] | slice = slice(None)
) -> npt.NDArray[np.float64]:
    """Share (leads, variables) of the truth inside the interval."""
    truth = held_out.truth[cases]
    inside = (truth >= held_out.lower[level][cases]) & (truth <= held_out.upper[level][cases])
    return mean(np.where(np.isfinite(truth), inside, np.nan))


def pinball(truth: npt.NDArray, quantile: npt.NDArray, probability: float) -> npt.NDArray:
    """Quantile loss of each forecast: Koenker and Bassett (1978), Econometrica 46."""
    over = truth - quantile
    return np.maximum(probability * over, (probability - 1) * over)


def crps(held_out: HeldOut, cases: npt.NDArray[np.bool_] | slice = slice(None)) -> npt.NDArray[np.float64]:
    """Continuous ranked probability score (leads, variables), as far as the forecast quantiles tell it.

    Twice the pinball loss, averaged over the quantiles forecast: both ends of each interval, and the value as median.
    Each quantile stands for the probabilities nearest to it. (Gneiting and Ranjan 2011, J. Business & Economic
    Statistics 29: the CRPS is twice the pinball loss integrated over all probabilities.)
    """
    truth = held_out.truth[cases]
    quantiles = {0.5: held_out.answers[MODEL][cases]}
    for level in held_out.lower:
        quantiles[(1 - level) / 2] = held_out.lower[level][cases]
        quantiles[(1 + level) / 2] = held_out.upper[level][cases]
    probabilities = np.array(sorted(quantiles))
    edges = np.concatenate([[0.0], (probabilities[1:] + probabilities[:-1]) / 2, [1.0]])
    total = sum(
        2 * width * pinball(truth, quantiles[p], p) for p, width in zip(probabilities, np.diff(edges), strict=True)
    )
    return mean(np.asarray(total))
