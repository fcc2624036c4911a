"""Metrics of held-out forecasts: the rules of `verification.scores`, and the uncertainty of the skill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.evaluation.held_out import HeldOut
from weatherglass.verification import scores
from weatherglass.verification.held_out_scores import MODEL

DRAWS = 1_000
CONFIDENCE = 0.95

Cases = npt.NDArray[np.bool_] | slice
ALL = slice(None)


def mae(held_out: HeldOut, name: str, cases: Cases = ALL) -> npt.NDArray[np.float64]:
    """Mean absolute error (leads, variables) of the model or a baseline, on the cases where all have a forecast."""
    return scores.mean(held_out.absolute_errors(name)[cases])


def skill_interval(
    held_out: HeldOut, baseline: str, leads: Sequence[int], seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Confidence limits (variables,) of the mean skill over some leads (hours), by a block bootstrap.

    Non-overlapping blocks of days are drawn with replacement, for model and baseline together: Künsch (1989), The
    Jackknife and the Bootstrap for General Stationary Observations, Annals of Statistics 17; Carlstein (1986) for
    blocks that do not overlap.
    """
    comparable = held_out.comparable(baseline)
    block = scores.block_index(held_out.base.astype(np.int64))
    count = int(block.max()) + 1
    totals = []
    for name in (MODEL, baseline):
        error = np.where(comparable, scores.absolute_error(held_out.forecasts[name], held_out.observed), 0)
        total = np.zeros((count, *error.shape[1:]))
        np.add.at(total, block, error)
        totals.append(total)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    model_totals, baseline_totals = (np.tensordot(drawn, total, axes=1) for total in totals)
    with np.errstate(invalid="ignore", divide="ignore"):
        skills = scores.mean_skill(model_totals, baseline_totals, leads)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(skills, [tail, 1 - tail], axis=0)
    return low, high


def coverage(held_out: HeldOut, level: float, cases: Cases = ALL) -> npt.NDArray[np.float64]:
    """Share (leads, variables) of observations inside the interval."""
    lower, upper = held_out.lower[level][cases], held_out.upper[level][cases]
    return scores.mean(scores.inside(held_out.observed[cases], lower, upper))


def crps(held_out: HeldOut, cases: Cases = ALL) -> npt.NDArray[np.float64]:
    """Mean CRPS (leads, variables) of the model, from the bounds of its intervals and its value as the median."""
    lower, upper = ({level: bound[cases] for level, bound in one.items()} for one in (held_out.lower, held_out.upper))
    return scores.mean(scores.interval_crps(held_out.observed[cases], held_out.forecasts[MODEL][cases], lower, upper))
