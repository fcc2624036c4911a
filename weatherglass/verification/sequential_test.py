"""Test whether the challenger is better than the champion, with a test that may be repeated every day.

The unit is a UTC day: the mean over the variables of the relative loss difference (champion minus challenger, divided
by the mean error of the champion) on the same cases. Hours of a day are strongly correlated, days weakly; the long-run
variance accounts for the correlation of days (Newey and West 1987, Econometrica 55, 703-708, Bartlett weights; the loss
difference of Diebold and Mariano 1995, Journal of Business and Economic Statistics 13, 253-263).

Repeating an ordinary test every day until it is significant inflates its error rate. This test is always valid, a
sequential t-test: the likelihood ratio of "there is a difference", mixed over its size, to "there is none" (Robbins
1970, Annals of Mathematical Statistics 41, 1397-1409; Lai 1976, Annals of Statistics 4, 265-280; for daily evaluation
Johari, Pekelis and Walsh 2015, arXiv:1512.04922). Between equal models, the probability that it ever exceeds
1 / `ALPHA` is at most `ALPHA`, however often it is evaluated. Correlated days count as correspondingly fewer days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.records import VARIABLES

ALPHA = 0.05
MIN_DAYS = 14
MAX_DAYS = 60
"""A challenger that is not significantly better after this many days is withdrawn."""
MIN_CASES = 200
"""Minimum number of cases of a variable for a day to count."""
MAX_VARIABLE_LOSS = 0.02
"""Tolerated relative increase of the error of a single variable."""
EXPECTED_EFFECT = 0.5
"""Scale of the expected difference, in standard deviations of a day. The error rate holds for any value; this one is
fast for improvements that become visible within some weeks."""


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    """The champion stays and the challenger is withdrawn."""
    WAIT = "wait"


class DecisionCode(StrEnum):
    """The rule that led to a decision."""

    TOO_FEW_DAYS = "too_few_days"
    NOT_SIGNIFICANT = "not_significant"
    TIMEOUT = "timeout"
    WORSE = "worse"
    WORSE_IN_VARIABLE = "worse_in_variable"
    BETTER = "better"


@dataclass(frozen=True)
class LossDifference:
    """Mean absolute errors of a variable on the same cases, and the relative gain of the challenger (0.02: 2 %)."""

    variable: str
    cases: int
    champion_mae: float
    challenger_mae: float
    gain: float


@dataclass(frozen=True)
class SequentialTest:
    """Result of a test of a challenger.

    Attributes:
        days: number of days with enough cases.
        gain: mean relative gain over days and variables; negative if the challenger is worse.
        standard_error: of `gain`.
        p_value: always valid, two-sided; 1 before `MIN_DAYS`.
        reason: explains the decision in a sentence.
    """

    days: int
    gain: float
    standard_error: float
    p_value: float
    variables: tuple[LossDifference, ...]
    decision: Decision
    code: DecisionCode
    reason: str

    def details(self) -> dict[str, Any]:
        """All attributes, JSON-serializable."""
        return {
            **asdict(self),
            "decision": self.decision.value,
            "code": self.code.value,
            "variables": [asdict(difference) for difference in self.variables],
        }

    def lines(self) -> list[str]:
        """The result as a table of text lines."""
        table = [
            f"{d.variable:<14} {d.cases:>9} {d.champion_mae:>13.3f} {d.challenger_mae:>15.3f} {d.gain:>+8.1%}"
            for d in self.variables
        ]
        head = f"{'Variable':<14} {'Cases':>9} {'Champion MAE':>13} {'Challenger MAE':>15} {'Gain':>8}"
        summary = f"Mean gain over {self.days} days: {self.gain:+.2%} (standard error {self.standard_error:.2%}), "
        return [head, *table, f"{summary}p = {self.p_value:.4f}", f"Decision: {self.decision.value} ({self.reason})"]


def long_run_variance(series: npt.NDArray[np.float64]) -> float:
    """Long-run variance of a stationary series after Newey and West.

    Uses floor(4 (n / 100)^(2/9)) lags, at least two, and a correction n / (n - lags - 1) for the degrees of freedom of
    a short series. The result is never below the corrected plain variance: a negative correlation of days is more
    likely due to chance.
    """
    n = len(series)
    lags = max(2, int(4 * (n / 100) ** (2 / 9)))
    centred = series - series.mean()
    plain = float(centred @ centred) / n
    total = plain + sum(2 * (1 - k / (lags + 1)) * float(centred[k:] @ centred[:-k]) / n for k in range(1, lags + 1))
    return max(total, plain) * n / (n - lags - 1)


def always_valid_p(series: npt.NDArray[np.float64]) -> float:
    """p-value of the hypothesis that the mean of the series is zero, valid at any stopping time.

    The reciprocal of the likelihood ratio of a t-test with `effective` observations and effective - 1 degrees of
    freedom, whose standardized effect is normal with standard deviation `EXPECTED_EFFECT`.
    """
    variance = float(series.var())
    if variance == 0:
        return 1.0 if series.mean() == 0 else 0.0
    effective = len(series) * variance / long_run_variance(series)
    t_squared, freedom = effective * series.mean() ** 2 / variance, effective - 1
    spread = 1 + effective * EXPECTED_EFFECT**2
    log_ratio = 0.5 * (freedom + 1) * (np.log1p(t_squared / freedom) - np.log1p(t_squared / (freedom * spread)))
    return float(min(1.0, np.exp(0.5 * np.log(spread) - log_ratio)))


def compare(rows: Sequence[Any]) -> SequentialTest:
    """Test a challenger.

    Args:
        rows: rows of the table `paired_losses`: `valid_hour`, `variable`, `n`, `champion_mae`, `challenger_mae`.
    """
    by_variable = {variable: _by_day([row for row in rows if row.variable == variable]) for variable in VARIABLES}
    variables = tuple(_loss_difference(variable, days) for variable, days in by_variable.items() if days)
    common = sorted(set.intersection(*(set(days) for days in by_variable.values() if days))) if variables else []
    daily = np.array([np.mean([_relative_gain(v, by_variable[v.variable][day]) for v in variables]) for day in common])
    days = len(daily)
    gain = float(daily.mean()) if days else 0.0
    if days < MIN_DAYS:
        reason = f"{days} days with enough cases, {MIN_DAYS} required"
        return SequentialTest(days, gain, 0.0, 1.0, variables, Decision.WAIT, DecisionCode.TOO_FEW_DAYS, reason)
    standard_error = float(np.sqrt(long_run_variance(daily) / days))
    p_value = min(always_valid_p(daily[:until]) for until in range(MIN_DAYS, days + 1))
    return SequentialTest(days, gain, standard_error, p_value, variables, *_decide(days, gain, p_value, variables))


def _by_day(rows: Sequence[Any]) -> dict[date, tuple[int, float, float]]:
    """Cases and mean errors of champion and challenger by UTC day, for days with enough cases."""
    totals: dict[date, list[float]] = {}
    for row in rows:
        total = totals.setdefault(row.valid_hour.date(), [0, 0.0, 0.0])
        total[0] += row.n
        total[1] += row.n * row.champion_mae
        total[2] += row.n * row.challenger_mae
    return {day: (int(n), a / n, b / n) for day, (n, a, b) in sorted(totals.items()) if n >= MIN_CASES}


def _relative_gain(variable: LossDifference, day: tuple[int, float, float]) -> float:
    return (day[1] - day[2]) / variable.champion_mae


def _loss_difference(variable: str, days: dict[date, tuple[int, float, float]]) -> LossDifference:
    """Every day has the same weight, whatever its number of cases."""
    champion, challenger = (float(np.mean([day[i] for day in days.values()])) for i in (1, 2))
    cases = sum(day[0] for day in days.values())
    return LossDifference(variable, cases, champion, challenger, 1 - challenger / max(champion, 1e-9))


def _decide(
    days: int, gain: float, p_value: float, variables: Sequence[LossDifference]
) -> tuple[Decision, DecisionCode, str]:
    if p_value <= ALPHA:
        worse = [difference for difference in variables if difference.gain < -MAX_VARIABLE_LOSS]
        if gain <= 0:
            return Decision.KEEP, DecisionCode.WORSE, f"significantly worse, by {-gain:.1%}"
        if worse:
            listed = ", ".join(f"{d.variable} by {-d.gain:.1%}" for d in worse)
            reason = f"better by {gain:.1%}, but worse in {listed}; tolerance {MAX_VARIABLE_LOSS:.0%} per variable"
            return Decision.KEEP, DecisionCode.WORSE_IN_VARIABLE, reason
        reason = f"significantly better, by {gain:.1%}, and no variable worse by more than {MAX_VARIABLE_LOSS:.0%}"
        return Decision.PROMOTE, DecisionCode.BETTER, reason
    if days >= MAX_DAYS:
        return Decision.KEEP, DecisionCode.TIMEOUT, f"not significantly better within {days} days"
    reason = f"gain {gain:+.1%} not significant (p = {p_value:.2f}, required {ALPHA:g})"
    return Decision.WAIT, DecisionCode.NOT_SIGNIFICANT, reason
