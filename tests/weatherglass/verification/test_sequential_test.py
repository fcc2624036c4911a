"""Does the test keep its promise? Series with a known truth, looked at every day."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from tests.weatherglass.verification.conftest import MONDAY
from weatherglass.records import VARIABLES
from weatherglass.verification.sequential_test import (
    ALPHA,
    MAX_DAYS,
    MIN_DAYS,
    Decision,
    always_valid_p,
    compare,
    long_run_variance,
)


def losses(days: int, gain: dict[str, float], seed: int, noise: float = 0.1, memory: float = 0.7) -> list[Any]:
    """Hourly paired errors whose difference has a memory of hours; `gain` is the challenger's true relative gain."""
    rng = np.random.default_rng(seed)
    rows = []
    for variable in VARIABLES:
        chance = np.zeros(days * 24)
        for hour in range(1, len(chance)):
            chance[hour] = memory * chance[hour - 1] + rng.normal() * noise
        for hour, wander in enumerate(chance):
            challenger = 2.0 * (1 - gain.get(variable, 0.0)) + wander
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


def test_equal_models_are_seldom_told_apart_however_often_one_looks() -> None:
    """Daily series with a memory of days, looked at every day for two months."""
    rng = np.random.default_rng(11)
    found, tries = 0, 400
    for _ in range(tries):
        series = np.zeros(MAX_DAYS)
        for day in range(1, MAX_DAYS):
            series[day] = 0.3 * series[day - 1] + rng.normal() * 0.03
        found += min(always_valid_p(series[:until]) for until in range(MIN_DAYS, MAX_DAYS + 1)) <= ALPHA
    assert found / tries <= ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / tries)


def test_the_long_run_variance_is_that_of_the_textbook() -> None:
    noise = np.random.default_rng(3).normal(size=81)
    series = noise[1:] + 0.8 * noise[:-1]
    lags = max(2, int(4 * (len(series) / 100) ** (2 / 9)))
    fit = sm.OLS(series, np.ones(len(series))).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    expected = fit.bse[0] ** 2 * len(series) * len(series) / (len(series) - lags - 1)
    assert long_run_variance(series) == pytest.approx(expected)


def test_a_better_challenger_is_promoted_and_the_table_says_why() -> None:
    made = compare(losses(25, dict.fromkeys(VARIABLES, 0.05), seed=1))
    assert made.decision is Decision.PROMOTE
    assert made.better == pytest.approx(0.05, abs=0.02)
    table = "\n".join(made.lines())
    assert all(variable in table for variable in VARIABLES)
    assert made.figures()["decision"] == "promote"


def test_a_few_days_prove_nothing() -> None:
    made = compare(losses(MIN_DAYS - 1, dict.fromkeys(VARIABLES, 0.3), seed=1))
    assert made.decision is Decision.WAIT
    assert str(MIN_DAYS) in made.why
    assert compare([]).decision is Decision.WAIT


def test_better_on_the_whole_but_worse_in_one_variable_is_not_promoted() -> None:
    made = compare(losses(25, {**dict.fromkeys(VARIABLES, 0.1), "pressure": -0.06}, seed=2))
    assert made.decision is Decision.KEEP
    assert "worse in pressure" in made.why


def test_a_worse_challenger_and_one_that_has_had_its_time_go() -> None:
    assert compare(losses(25, dict.fromkeys(VARIABLES, -0.05), seed=3)).decision is Decision.KEEP
    equal = compare(losses(MAX_DAYS, {}, seed=4, noise=0.3))
    assert equal.decision is Decision.KEEP
    assert "not found better" in equal.why
