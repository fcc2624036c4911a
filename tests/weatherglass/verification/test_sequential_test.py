"""The sequential test on series with a known mean, and its formulas against SciPy and statsmodels."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import integrate, stats

from tests.weatherglass.verification.conftest import MONDAY
from weatherglass.records import VARIABLES
from weatherglass.verification.sequential_test import (
    ALPHA,
    EXPECTED_EFFECT,
    MAX_DAYS,
    MIN_CASES,
    MIN_DAYS,
    Decision,
    DecisionCode,
    always_valid_p,
    compare,
    long_run_variance,
)


def losses(days: int, gain: dict[str, float], seed: int, noise: float = 0.1, memory: float = 0.7) -> list[Any]:
    """Hourly paired errors with autocorrelated differences; `gain` is the true relative gain of the challenger."""
    rng = np.random.default_rng(seed)
    rows = []
    for variable in VARIABLES:
        chance = np.zeros(days * 24)
        for hour in range(1, len(chance)):
            chance[hour] = memory * chance[hour - 1] + rng.normal() * noise
        for hour, deviation in enumerate(chance):
            challenger = 2.0 * (1 - gain.get(variable, 0.0)) + deviation
            rows.append(
                SimpleNamespace(
                    valid_hour=MONDAY + timedelta(hours=hour),
                    variable=variable,
                    n=100,
                    champion_mae=2.0,
                    challenger_mae=challenger,
                )
            )
    return rows


def daily(values: list[tuple[float, float]], variable: str = "temperature", n: int = MIN_CASES) -> list[Any]:
    """One row per day with the errors of champion and challenger."""
    return [
        SimpleNamespace(
            valid_hour=MONDAY + timedelta(days=day), variable=variable, n=n, champion_mae=a, challenger_mae=b
        )
        for day, (a, b) in enumerate(values)
    ]


def newey_west(series: np.ndarray) -> tuple[float, int]:
    """Squared standard error of the mean by statsmodels, times n, and the number of lags."""
    lags = max(2, int(4 * (len(series) / 100) ** (2 / 9)))
    fit = sm.OLS(series, np.ones(len(series))).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    return float(fit.bse[0] ** 2 * len(series)), lags


def test_equal_models_are_seldom_significant_when_tested_every_day() -> None:
    """Daily series with autocorrelation, tested every day for two months."""
    rng = np.random.default_rng(11)
    significant, runs = 0, 400
    for _ in range(runs):
        series = np.zeros(MAX_DAYS)
        for day in range(1, MAX_DAYS):
            series[day] = 0.3 * series[day - 1] + rng.normal() * 0.03
        significant += min(always_valid_p(series[:until]) for until in range(MIN_DAYS, MAX_DAYS + 1)) <= ALPHA
    assert significant / runs <= ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize(("n", "moving_average"), [(80, 0.8), (20, 0.8), (99, 0.8), (100, 0.8), (300, 0.5)])
def test_the_long_run_variance_is_that_of_statsmodels(n: int, moving_average: float) -> None:
    noise = np.random.default_rng(3).normal(size=n + 1)
    series = noise[1:] + moving_average * noise[:-1]
    variance, lags = newey_west(series)
    assert long_run_variance(series) == pytest.approx(variance * n / (n - lags - 1))


def test_the_long_run_variance_is_not_below_the_plain_variance() -> None:
    """Alternating signs: mean 0, variance 1; n = 10 uses 2 lags, so the factor is 10 / 7."""
    assert long_run_variance(np.array([1.0, -1.0] * 5)) == pytest.approx(10 / 7)


@pytest.mark.parametrize("mean", [0.0, 0.3, -0.7])
def test_the_p_value_is_the_inverse_of_the_mixed_likelihood_ratio(mean: float) -> None:
    """Oracle: t densities with `effective` - 1 degrees of freedom, mixed over a normal effect by numerical integration.

    The ratio of marginal likelihoods of a t statistic whose noncentrality is normal with variance n g² has the density
    of sqrt(1 + n g²) t in its numerator.
    """
    series = np.random.default_rng(8).normal(size=30) + mean
    variance, lags = newey_west(series)
    long_run = max(variance, series.var()) * 30 / (30 - lags - 1)
    effective = 30 * series.var() / long_run
    freedom = effective - 1
    t = np.sqrt(effective) * series.mean() / series.std()

    def mixed(delta: float) -> float:
        weight = stats.norm.pdf(delta, scale=EXPECTED_EFFECT * np.sqrt(effective))
        return float(stats.nct.pdf(t, freedom, delta) * weight)

    limit = 8 * EXPECTED_EFFECT * np.sqrt(effective)
    numerator, _ = integrate.quad(mixed, -limit, limit, limit=400, points=[0.0, float(t)])
    ratio = numerator / stats.t.pdf(t, freedom)
    assert always_valid_p(series) == pytest.approx(min(1.0, 1 / ratio), rel=1e-3)


def test_the_p_value_of_a_constant_series_is_one_at_zero_and_zero_otherwise() -> None:
    assert always_valid_p(np.zeros(20)) == 1.0
    assert always_valid_p(np.full(20, 0.5)) == 0.0


def test_gain_and_standard_error_are_those_of_the_daily_relative_differences() -> None:
    rng = np.random.default_rng(4)
    values = [(2.0, 2.0 - 0.1 + 0.2 * rng.normal()) for _ in range(20)]
    test = compare(daily(values))
    differences = np.array([(a - b) / 2.0 for a, b in values])
    variance, lags = newey_west(differences)
    expected = np.sqrt(max(variance, differences.var()) * 20 / (20 - lags - 1) / 20)
    assert test.days == 20
    assert test.gain == pytest.approx(differences.mean())
    assert test.standard_error == pytest.approx(expected)
    assert test.p_value == pytest.approx(min(always_valid_p(differences[:n]) for n in range(MIN_DAYS, 21)))
    (variable,) = test.variables
    assert (variable.cases, variable.champion_mae) == (20 * MIN_CASES, 2.0)
    assert variable.challenger_mae == pytest.approx(np.mean([b for _, b in values]))
    assert variable.gain == pytest.approx(1 - variable.challenger_mae / 2.0)


def test_hours_are_weighted_by_cases_and_days_equally() -> None:
    """Day 1: (300 x 1 + 100 x 3) / 400 = 1.5; day 2: 2.5; the mean over days is 2, the gain 1 - 1 / 2."""
    rows = [
        SimpleNamespace(valid_hour=MONDAY, variable="pressure", n=300, champion_mae=1.0, challenger_mae=1.0),
        SimpleNamespace(
            valid_hour=MONDAY + timedelta(hours=5), variable="pressure", n=100, champion_mae=3.0, challenger_mae=1.0
        ),
        SimpleNamespace(
            valid_hour=MONDAY + timedelta(days=1), variable="pressure", n=1000, champion_mae=2.5, challenger_mae=1.0
        ),
    ]
    test = compare(rows)
    (variable,) = test.variables
    assert (variable.cases, variable.champion_mae, variable.challenger_mae) == (1400, 2.0, 1.0)
    assert variable.gain == pytest.approx(0.5)
    assert test.gain == pytest.approx(np.mean([0.5 / 2, 1.5 / 2]))


def test_only_days_with_enough_cases_of_every_variable_count() -> None:
    rows = daily([(2.0, 1.0)] * 5) + daily([(2.0, 1.0)] * 3, "humidity")
    rows += [
        row for row in daily([(2.0, 1.0)] * 4, "humidity", n=MIN_CASES - 1) if row.valid_hour.day == MONDAY.day + 3
    ]
    assert compare(rows).days == 3


def test_a_better_challenger_is_promoted_and_its_table_lists_every_variable() -> None:
    test = compare(losses(25, dict.fromkeys(VARIABLES, 0.05), seed=1))
    assert (test.decision, test.code) == (Decision.PROMOTE, DecisionCode.BETTER)
    assert test.gain == pytest.approx(0.05, abs=0.02)
    assert [line.split()[0] for line in test.lines()[1 : 1 + len(VARIABLES)]] == list(VARIABLES)
    details = test.details()
    assert (details["decision"], details["code"]) == ("promote", "better")
    assert [variable["variable"] for variable in details["variables"]] == list(VARIABLES)


def test_fewer_days_than_the_minimum_give_no_decision() -> None:
    test = compare(losses(MIN_DAYS - 1, dict.fromkeys(VARIABLES, 0.3), seed=1))
    assert (test.decision, test.code) == (Decision.WAIT, DecisionCode.TOO_FEW_DAYS)
    assert (test.days, test.p_value) == (MIN_DAYS - 1, 1.0)
    assert compare([]).code is DecisionCode.TOO_FEW_DAYS


def test_a_challenger_that_is_worse_in_one_variable_is_not_promoted() -> None:
    test = compare(losses(25, {**dict.fromkeys(VARIABLES, 0.1), "pressure": -0.06}, seed=2))
    assert (test.decision, test.code) == (Decision.KEEP, DecisionCode.WORSE_IN_VARIABLE)
    assert "pressure" in test.reason


def test_a_worse_challenger_is_withdrawn() -> None:
    test = compare(losses(25, dict.fromkeys(VARIABLES, -0.05), seed=3))
    assert (test.decision, test.code) == (Decision.KEEP, DecisionCode.WORSE)


def test_a_challenger_without_a_significant_gain_is_withdrawn_after_the_last_day() -> None:
    test = compare(losses(MAX_DAYS, {}, seed=4, noise=0.3))
    assert (test.decision, test.code) == (Decision.KEEP, DecisionCode.TIMEOUT)
    earlier = compare(losses(MAX_DAYS - 1, {}, seed=4, noise=0.3))
    assert (earlier.decision, earlier.code) == (Decision.WAIT, DecisionCode.NOT_SIGNIFICANT)


def alternating(days: int, gain: float, cases: int = 200, loss: float = 0.0) -> list[Any]:
    """Days with gains of `gain` + 0.001 and - 0.001 in turn; with a loss, humidity has the gain - `loss` instead."""
    return [
        row
        for variable in VARIABLES
        for row in daily(
            [
                (1.0, 1 + (loss if loss and variable == "humidity" else -gain) + (-1) ** day * 0.001)
                for day in range(days)
            ],
            variable,
            cases,
        )
    ]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (alternating(13, 0.1), DecisionCode.TOO_FEW_DAYS),
        (alternating(14, 0.1), DecisionCode.BETTER),
        (alternating(14, 0.1, cases=199), DecisionCode.TOO_FEW_DAYS),
        (alternating(14, -0.1), DecisionCode.WORSE),
        (alternating(14, 0.1, loss=0.0199), DecisionCode.BETTER),
        (alternating(14, 0.1, loss=0.0201), DecisionCode.WORSE_IN_VARIABLE),
        (alternating(59, 0.0), DecisionCode.NOT_SIGNIFICANT),
        (alternating(60, 0.0), DecisionCode.TIMEOUT),
    ],
)
def test_the_limits_are_those_of_the_documentation(rows: list[Any], code: DecisionCode) -> None:
    """14 days with 200 cases of each variable, no variable worse by more than 2 %, withdrawn after 60 days."""
    assert compare(rows).code is code


def test_the_error_rate_of_the_decision_is_five_percent() -> None:
    """The same noisy series, shifted: p-values on both sides of 0.05."""
    noise = np.random.default_rng(6).normal(size=20) * 0.02

    def at(gain: float) -> tuple[float, DecisionCode]:
        test = compare([row for v in VARIABLES for row in daily([(1.0, 1 - gain - x) for x in noise], v)])
        return test.p_value, test.code

    results = [at(gain) for gain in np.arange(0.0, 0.05, 0.0005)]
    codes = {p <= 0.05: code for p, code in results}
    assert codes == {False: DecisionCode.NOT_SIGNIFICANT, True: DecisionCode.BETTER}
    assert all((code is DecisionCode.BETTER) == (p <= 0.05) for p, code in results)
