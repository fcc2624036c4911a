"""Alert rules of a model in service, with exact values."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast
from weatherglass.records import LEADS, VARIABLES
from weatherglass.store import alert_queries, alerts, input_drift, predictions, verification_rows
from weatherglass.store.alerts import Alert, Severity
from weatherglass.verification import degradation
from weatherglass.verification.drift import FeatureDrift

DAY = timedelta(days=1)
NOW = MONDAY + DAY + 2 * HOUR
BACKTEST = {f"mae.model.{variable}.lead{lead:02d}": 1.0 for variable in VARIABLES for lead in LEADS}
MINUTE = timedelta(minutes=1)


def rows(
    day: date, mae: float, damped_mae: float, coverage: float, variable: str = "temperature"
) -> list[dict[str, Any]]:
    return [
        {
            "version": "7",
            "day": day,
            "station_id": "boston",
            "variable": variable,
            "lead": lead,
            "n": 24,
            "mae": mae,
            "rmse": mae,
            "bias": 0.0,
            "coverage_80": None,
            "coverage_90": coverage,
            "n_baselines": 24,
            "mae_compared": mae,
            "mae_persistence": damped_mae,
            "mae_damped": damped_mae,
        }
        for lead in LEADS
    ]


def check(store: Engine, scores: list[dict[str, Any]], days_later: int = 0) -> dict[str, Alert]:
    """Store the scores of the day before, check all rules, and return the alerts by rule."""
    now = NOW + days_later * DAY
    with store.begin() as connection:
        verification_rows.replace_day(connection, (now - DAY).date(), scores)
        found = degradation.check_degradation(connection, now, "7", BACKTEST)
        stored = {alert.rule for alert in alert_queries.list_alerts(connection, 20, is_open=True)}
    assert {alert.rule for alert in found} == stored
    assert all(alert.message.lower().startswith(f"{alert.subject.lower()}: ") for alert in found)
    return {alert.rule: alert for alert in found}


def test_a_day_without_baselines_has_no_skill(store: Engine) -> None:
    """Neither without cases that have both baselines, nor with a baseline without error."""
    without = [
        {**row, "n_baselines": 0, "mae_compared": None, "mae_damped": None} for row in rows(MONDAY.date(), 1, 1, 0.9)
    ]
    assert check(store, without) == {}
    only_compared = [{**row, "mae_damped": None} for row in rows(MONDAY.date(), 1, 1, 0.9)]
    assert check(store, only_compared) == {}
    assert check(store, rows(MONDAY.date(), 1.0, 0.0, 0.9)) == {}


@pytest.mark.parametrize(
    ("mae", "damped_mae", "coverage", "expected"),
    [
        (1.0, 1.5, 0.9, set()),
        (1.29, 1.5, 0.81, set()),
        (1.31, 1.5, 0.9, {"error_above_backtest"}),
        (1.0, 0.9, 0.9, {"skill_below_zero"}),
        (1.0, 1.5, 0.79, {"coverage_off"}),
        (2.0, 1.5, 0.5, {"error_above_backtest", "skill_below_zero", "coverage_off"}),
    ],
)
def test_each_rule_raises_its_alert_and_resolves_it_when_the_scores_recover(
    store: Engine, mae: float, damped_mae: float, coverage: float, expected: set[str]
) -> None:
    yesterday = MONDAY.date()
    assert check(store, rows(yesterday, mae, damped_mae, coverage)).keys() == expected
    assert check(store, rows(yesterday + DAY, 1.0, 1.5, 0.9), days_later=1) == {}
    with store.connect() as connection:
        past = alert_queries.list_alerts(connection, 20)
    assert {alert.rule for alert in past if alert.resolved_at == NOW + DAY} == expected
    assert {alert.subject for alert in past} <= {"version 7, temperature"}


def test_details_are_means_weighted_by_the_number_of_cases(store: Engine) -> None:
    """24 leads; those after 12 h have three times the cases and other errors."""
    scores = [
        {**row, "n": 30, "n_baselines": 20, "mae": 3.0, "mae_compared": 4.0, "mae_damped": 2.0, "coverage_90": 0.6}
        if row["lead"] > 12
        else {**row, "n": 10, "n_baselines": 60, "mae": 2.0, "mae_compared": 2.0, "mae_damped": 1.0, "coverage_90": 0.8}
        for row in rows(MONDAY.date(), 0.0, 0.0, 0.0, "wind_speed")
    ]
    found = check(store, scores)
    # Weights of the baselines: 12 leads x 60 and 12 leads x 20.
    assert found["skill_below_zero"].severity is Severity.CRITICAL
    assert found["skill_below_zero"].details == pytest.approx({"mae": 2.5, "mae_damped": 1.25, "skill": -1.0})
    # Leads 6, 9, 12 with 10 cases and 15, 18, 21, 24 with 30: (3 x 10 x 2 + 4 x 30 x 3) / 150.
    assert found["error_above_backtest"].details == pytest.approx({"mae": 2.8, "backtest": 1.0, "ratio": 2.8})
    assert found["coverage_off"].details == pytest.approx({"coverage_90": 0.65})


def test_the_backtest_error_is_weighted_by_the_live_cases(store: Engine) -> None:
    """Backtest errors equal to the lead; leads 6 to 12 h with 10 cases, 15 to 24 h with 30."""
    scores = [{**row, "n": 30 if row["lead"] > 12 else 10} for row in rows(MONDAY.date(), 40.0, 50.0, 0.9)]
    backtest = {f"mae.model.temperature.lead{lead:02d}": float(lead) for lead in LEADS}
    with store.begin() as connection:
        verification_rows.replace_day(connection, MONDAY.date(), scores)
        [alert] = degradation.check_degradation(connection, NOW, "7", backtest)
    expected = (10 * (6 + 9 + 12) + 30 * (15 + 18 + 21 + 24)) / 150
    assert alert.details == pytest.approx({"mae": 40.0, "backtest": expected, "ratio": 40 / expected})
    assert {str(MONDAY.date()), "6", "24"} <= set(alert.message.split()), "the day and the range of leads"


def test_scores_of_a_single_lead_raise_alerts(store: Engine) -> None:
    single = [{**row, "n": 100, "n_baselines": 100} for row in rows(MONDAY.date(), 9.0, 1.0, 0.1) if row["lead"] == 6]
    found = check(store, single)
    assert found.keys() == {"skill_below_zero", "error_above_backtest", "coverage_off"}
    assert all(str(MONDAY.date()) in alert.message for alert in found.values())


def test_hindcast_scores_and_other_days_and_versions_are_ignored(store: Engine) -> None:
    bad = rows(MONDAY.date(), 9.0, 1.0, 0.1)
    with store.begin() as connection:
        verification_rows.replace_hindcast(connection, "7", bad)
        verification_rows.replace_day(connection, NOW.date(), [{**row, "day": NOW.date()} for row in bad])
    assert check(store, [{**row, "version": "6"} for row in bad]) == {}
    assert check(store, bad).keys() == {"skill_below_zero", "error_above_backtest", "coverage_off"}


@pytest.mark.parametrize(("n", "raised"), [(4, False), (5, True)])
def test_a_rule_needs_100_cases(store: Engine, n: int, raised: bool) -> None:
    """24 leads with 4 cases are 96, with 5 cases 120."""
    few = [{**row, "n": n, "n_baselines": n} for row in rows(MONDAY.date(), 9.0, 1.0, 0.1)]
    assert ("coverage_off" in check(store, few)) == raised


def test_without_a_champion_all_alerts_are_resolved(store: Engine) -> None:
    check(store, rows(MONDAY.date(), 9.0, 1.0, 0.1))
    with store.begin() as connection:
        assert degradation.check_degradation(connection, NOW, None, {}) == []
        assert alert_queries.list_alerts(connection, 20, is_open=True) == []


def readings(start: datetime, count: int, flagged: int) -> list[Any]:
    return [forecast(start + i * MINUTE, flagged="temperature" * (i < flagged)) for i in range(count)]


def test_an_unusual_anomaly_rate_raises_an_alert_with_both_rates(store: Engine) -> None:
    with store.begin() as connection:
        predictions.save(connection, readings(NOW - 30 * DAY, 500, 500), NOW)  # before the period of comparison
        predictions.save(connection, readings(NOW - 28.5 * DAY, 200, 8), NOW)
        predictions.save(connection, readings(NOW - 5 * DAY, 300, 2), NOW)
        predictions.save(connection, readings(NOW - 0.5 * DAY, 300, 3), NOW)
        assert degradation.anomaly_rate(connection, NOW) == []
        predictions.save(connection, readings(NOW - 0.5 * DAY, 300, 60), NOW)
        [alert] = degradation.anomaly_rate(connection, NOW)
    assert alert.details == pytest.approx({"rate": 0.2, "usual": 0.02})


@pytest.mark.parametrize(
    ("usual", "rate", "raised"),
    [
        (8, 23, False),  # 2 %: the upper limit is 3 x 2 % = 6 %
        (8, 25, True),
        (2, 9, False),  # 0.5 %: the upper limit is 0.5 % + 2 % = 2.5 %
        (2, 11, True),
        (40, 14, False),  # 10 %: the lower limit is 10 % / 3
        (40, 13, True),
        (8, 0, False),  # 2 %: the lower limit is 0
    ],
)
def test_an_anomaly_rate_is_unusual_beyond_both_limits(store: Engine, usual: int, rate: int, raised: bool) -> None:
    with store.begin() as connection:
        predictions.save(connection, readings(NOW - 5 * DAY, 400, usual), NOW)
        predictions.save(connection, readings(NOW - 0.5 * DAY, 400, rate), NOW)
        assert bool(degradation.anomaly_rate(connection, NOW)) == raised


@pytest.mark.parametrize(("before", "recent"), [(199, 200), (200, 199)])
def test_the_anomaly_rate_needs_200_readings_in_both_periods(store: Engine, before: int, recent: int) -> None:
    with store.begin() as connection:
        predictions.save(connection, readings(NOW - 5 * DAY, before, 0), NOW)
        predictions.save(connection, readings(NOW - 0.5 * DAY, recent, recent), NOW)
        assert degradation.anomaly_rate(connection, NOW) == []
        predictions.save(connection, readings(NOW - 5 * DAY, 200, 0) + readings(NOW - 0.5 * DAY, 200, 199), NOW)
        assert len(degradation.anomaly_rate(connection, NOW)) == 1


def test_an_open_alert_on_the_anomaly_rate_is_resolved_below_half_the_limit(store: Engine) -> None:
    """The usual rate is 2 %: raised above 6 %, resolved below 4 %."""
    is_open = []
    for day, count in enumerate([22, 25, 22, 18, 15, 22]):
        now = NOW + 40 * day * DAY
        with store.begin() as connection:
            predictions.save(connection, readings(now - 5 * DAY, 400, 8), now)
            predictions.save(connection, readings(now - 0.5 * DAY, 400, count), now)
            alerts.set_open_alerts(connection, "anomaly_rate", degradation.anomaly_rate(connection, now), now)
            is_open.append(bool(alerts.open_alerts(connection, ["anomaly_rate"])))
    assert is_open == [False, True, True, True, False, False]


def test_a_psi_above_its_limit_on_the_newest_day_raises_an_alert(store: Engine) -> None:
    drifts = [
        FeatureDrift("temperature", 0.9, 0.4, 2000, psi_limit=0.8),
        FeatureDrift("humidity", 0.85, 0.4, 2000, psi_limit=0.9),
        FeatureDrift("pressure", 0.9, 0.4, 2000, psi_limit=0.9),
    ]
    with store.begin() as connection:
        older = [FeatureDrift("wind_speed", 9.0, 0.9, 2000, psi_limit=0.8)]
        input_drift.save_drift(connection, "7", MONDAY.date() - DAY, older)
        input_drift.save_drift(connection, "7", MONDAY.date(), drifts)
        [alert] = degradation.input_drift(connection, "7")
        assert degradation.input_drift(connection, "8") == []
    assert alert.subject == "version 7, temperature"
    assert alert.details == {"psi": 0.9, "psi_limit": 0.8, "ks": 0.4, "n": 2000}
