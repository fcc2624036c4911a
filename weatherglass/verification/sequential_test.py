"""Is the challenger better than the champion, beyond chance, whenever one looks?

The unit is a UTC day: the errors of both versions on the same cases, as the mean over the variables of the relative
difference (champion minus challenger over the champion's mean error). Hours of one day are strongly correlated, days
weakly; what is left of that is in the long-run variance (Newey and West 1987, Econometrica 55, 703-708, Bartlett
weights; the loss difference of Diebold and Mariano 1995, Journal of Business and Economic Statistics 13, 253-263).

Looking every day until one likes the answer would make chance look like skill. The test is therefore an always-valid
one, a sequential t-test: the likelihood ratio of «there is a difference», mixed over its size, to «there is none»
(Robbins 1970, Annals of Mathematical Statistics 41, 1397-1409; Lai 1976, Annals of Statistics 4, 265-280; for daily
looks Johari, Pekelis and Walsh 2015, arXiv:1512.04922). Its chance of ever exceeding 1 / `ALPHA` between equal models
is at most `ALPHA`, however often one looks. Correlated days count as correspondingly fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.records import VARIABLES

ALPHA = 0.05
MIN_DAYS = 14
MAX_DAYS = 60
"""A challenger that has not been found better within this does not become champion by waiting longer."""
MIN_CASES = 200
"""A day with fewer cases of a variable is not a day."""
MARGIN = 0.02
"""Relative worsening of a single variable that is put up with."""
EXPECTED = 0.5
"""The differences one expects to see, in standard deviations of a day; any value keeps the promise, this one is quick
for improvements that show within some weeks."""


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    """The champion stays, and the challenger has had its chance."""
    WAIT = "wait"


@dataclass(frozen=True)
class LossDifference:
    """Of one variable: mean absolute errors on the same cases, and how much better the challenger is (0.02: 2 %)."""

    variable: str
    cases: int
    champion_mae: float
    challenger_mae: float
    better: float


@dataclass(frozen=True)
class SequentialTest:
    """A look at a challenger.

    Attributes:
        better: mean relative gain over the variables; negative is worse.
        p_value: always-valid, two-sided; 1 before `MIN_DAYS`.
    """

    days: int
    better: float
    standard_error: float
    p_value: float
    variables: tuple[LossDifference, ...]
    decision: Decision
    why: str

    def figures(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), "decision": self.decision.value, "variables": [asdict(v) for v in self.variables]}

    def lines(self) -> list[str]:
        """The table of the decision, for a log."""
        table = [
            f"{one.variable:<12} {one.cases:>9} {one.champion_mae:>9.3f} {one.challenger_mae:>9.3f} {one.better:>+8.1%}"
            for one in self.variables
        ]
        head = f"{'variable':<12} {'cases':>9} {'champion':>9} {'challenger':>9} {'better':>8}"
        summary = (
            f"{self.days} days, {self.better:+.2%} (standard error {self.standard_error:.2%}), p {self.p_value:.4f}"
        )
        return [head, *table, summary, f"{self.decision.value}: {self.why}"]


def long_run_variance(series: npt.NDArray[np.float64]) -> float:
    """Of a stationary series, by Newey and West with floor(4 (n / 100)^(2/9)) lags, at least two.

    Corrected for the few degrees of freedom of a short series, and never below the plain variance: a negative
    correlation of days is more likely chance than a reason to be surer.
    """
    n = len(series)
    lags = max(2, int(4 * (n / 100) ** (2 / 9)))
    centred = series - series.mean()
    plain = float(centred @ centred) / n
    total = plain + sum(2 * (1 - k / (lags + 1)) * float(centred[k:] @ centred[:-k]) / n for k in range(1, lags + 1))
    return max(total, plain) * n / (n - lags - 1)


def always_valid_p(series: npt.NDArray[np.float64]) -> float:
    """p-value that the mean of the series is zero, valid at whatever length one stops to look."""
    variance = float(series.var())
    if variance == 0:
        return 1.0 if series.mean() == 0 else 0.0
    effective = len(series) * variance / long_run_variance(series)
    t_squared, freedom = effective * series.mean() ** 2 / variance, effective - 1
    wider = 1 + effective * EXPECTED**2
    log_ratio = 0.5 * (freedom + 1) * (np.log1p(t_squared / freedom) - np.log1p(t_squared / (freedom * wider)))
    return float(min(1.0, np.exp(0.5 * np.log(wider) - log_ratio)))


def compare(rows: Sequence[Any]) -> SequentialTest:
    """From rows of `paired_losses`: `valid_hour`, `variable`, `n`, `champion_mae`, `challenger_mae`."""
    found = {variable: _by_day([row for row in rows if row.variable == variable]) for variable in VARIABLES}
    variables = tuple(_difference(variable, days) for variable, days in found.items() if days)
    common = sorted(set.intersection(*(set(days) for days in found.values() if days))) if variables else []
    daily = np.array(
        [
            np.mean([(found[v.variable][day][1] - found[v.variable][day][2]) / v.champion_mae for v in variables])
            for day in common
        ]
    )
    days = len(daily)
    if days < MIN_DAYS:
        why = f"{days} days with enough cases; {MIN_DAYS} are needed"
        return SequentialTest(days, float(daily.mean()) if days else 0.0, 0.0, 1.0, variables, Decision.WAIT, why)
    error = float(np.sqrt(long_run_variance(daily) / days))
    p_value = min(always_valid_p(daily[:until]) for until in range(MIN_DAYS, days + 1))
    better = float(daily.mean())
    decision, why = _decide(days, better, p_value, variables)
    return SequentialTest(days, better, error, p_value, variables, decision, why)


def _by_day(rows: Sequence[Any]) -> dict[Any, tuple[int, float, float]]:
    """Cases and mean errors of both by UTC day, of the days that have enough."""
    totals: dict[Any, list[float]] = {}
    for row in rows:
        total = totals.setdefault(row.valid_hour.date(), [0, 0.0, 0.0])
        total[0] += row.n
        total[1] += row.n * row.champion_mae
        total[2] += row.n * row.challenger_mae
    return {day: (int(n), a / n, b / n) for day, (n, a, b) in sorted(totals.items()) if n >= MIN_CASES}


def _difference(variable: str, days: dict[Any, tuple[int, float, float]]) -> LossDifference:
    """Every day counts the same, however many cases it has."""
    champion, challenger = (float(np.mean([one[i] for one in days.values()])) for i in (1, 2))
    return LossDifference(
        variable, sum(one[0] for one in days.values()), champion, challenger, 1 - challenger / max(champion, 1e-9)
    )


def _decide(days: int, better: float, p_value: float, variables: Sequence[LossDifference]) -> tuple[Decision, str]:
    if p_value <= ALPHA:
        worse = [one for one in variables if one.better < -MARGIN]
        if better <= 0:
            return Decision.KEEP, f"worse by {-better:.1%} beyond chance"
        if worse:
            named = ", ".join(f"{one.variable} by {-one.better:.1%}" for one in worse)
            return Decision.KEEP, f"better by {better:.1%}, but worse in {named}; {MARGIN:.0%} is put up with"
        return Decision.PROMOTE, f"better by {better:.1%} beyond chance (p {p_value:.4f}), worse in no variable"
    if days >= MAX_DAYS:
        return Decision.KEEP, f"not found better within {days} days"
    return Decision.WAIT, f"{better:+.1%} may be chance (p {p_value:.2f}); {ALPHA:g} is asked for"
