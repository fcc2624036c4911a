"""Degradation, drift, the judging of flags, the cool-down of retraining, and a hindcast."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sqlalchemy import Engine, select

from tests.synthetic_history import history
from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast
from weatherglass.forecast import climatology, damped_anomaly, features
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import Forecast
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES, Method, Origin
from weatherglass.store import alert_log, alerts, detection_scores, predictions, verdicts, verification_rows
from weatherglass.store.detection_scores import InjectedFault
from weatherglass.store.schema import detection as detection_table
from weatherglass.store.schema import paired_losses, verification
from weatherglass.store.verdicts import Judgement, Verdict
from weatherglass.verification import degradation, detection, drift, retraining
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.drift import FeatureDrift
from weatherglass.verification.hindcast import hindcast

DAY = timedelta(days=1)
NOW = MONDAY + DAY + 2 * HOUR
BACKTEST = {f"mae.model.{variable}.lead{lead:02d}": 1.0 for variable in VARIABLES for lead in LEADS}
MINUTE = timedelta(minutes=1)


def rows(
    on: date, mae: float, damped_mae: float, coverage: float, variable: str = "temperature"
) -> list[dict[str, Any]]:
    return [
        {
            "version": "7",
            "day": on,
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


def watched(store: Engine, scores: list[dict[str, Any]], days_later: int = 0) -> set[str]:
    now = NOW + days_later * DAY
    with store.begin() as connection:
        verification_rows.replace_day(connection, (now - DAY).date(), scores)
        found = degradation.check_degradation(connection, now, "7", BACKTEST)
        told = {alert.rule for alert in alert_log.list_alerts(connection, 20, opened=True)}
    assert {alert.rule for alert in found} == told
    return told


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
def test_each_rule_finds_what_it_is_for_and_closes_it_when_it_is_over(
    store: Engine, mae: float, damped_mae: float, coverage: float, expected: set[str]
) -> None:
    yesterday = MONDAY.date()
    assert watched(store, rows(yesterday, mae, damped_mae, coverage)) == expected
    assert watched(store, rows(yesterday + DAY, 1.0, 1.5, 0.9), days_later=1) == set()
    with store.connect() as connection:
        past = alert_log.list_alerts(connection, 20)
    assert {alert.rule for alert in past if alert.resolved_at == NOW + DAY} == expected
    assert all("version 7, temperature" in alert.subject for alert in past)


def test_a_few_cases_and_other_versions_raise_nothing(store: Engine) -> None:
    few = [{**row, "n": 1, "n_baselines": 1} for row in rows(MONDAY.date(), 9.0, 1.0, 0.1)]
    assert watched(store, few) == set()
    others = [{**row, "version": "6"} for row in rows(MONDAY.date(), 9.0, 1.0, 0.1)]
    assert watched(store, others) == set()


def test_an_anomaly_rate_far_from_usual_is_told(store: Engine) -> None:
    def readings(start: Any, count: int, flagged: int) -> list[Any]:
        return [forecast(start + i * MINUTE, flagged="temperature" * (i < flagged)) for i in range(count)]

    with store.begin() as connection:
        predictions.save(connection, readings(NOW - 5 * DAY, 400, 4), NOW)
        predictions.save(connection, readings(NOW - 0.5 * DAY, 300, 3), NOW)
        assert degradation.anomaly_rate(connection, NOW) == []
        predictions.save(connection, readings(NOW - 0.5 * DAY, 300, 60), NOW)
        [alert] = degradation.anomaly_rate(connection, NOW)
    assert "20.0%" in alert.words
    assert "1.0%" in alert.words


def test_an_anomaly_rate_near_the_limit_does_not_come_and_go(store: Engine) -> None:
    """Usual is 2 %; told beyond 6 %, and over below 4 %."""

    def looks(flagged: list[int]) -> list[bool]:
        found = []
        for day, count in enumerate(flagged):
            now = NOW + 40 * day * DAY
            with store.begin() as connection:
                for start, of, wrong in ((now - 5 * DAY, 400, 8), (now - 0.5 * DAY, 400, count)):
                    made = [forecast(start + i * MINUTE, flagged="humidity" * (i < wrong)) for i in range(of)]
                    predictions.save(connection, made, now)
                alerts.set_open_alerts(connection, "anomaly_rate", degradation.anomaly_rate(connection, now), now)
                found.append(bool(alerts.open_alerts(connection, ["anomaly_rate"])))
        return found

    assert looks([22, 25, 22, 18, 15, 22]) == [False, True, True, True, False, False]


def test_psi_and_ks_are_those_of_the_textbook_and_drift_is_told(store: Engine) -> None:
    rng = np.random.default_rng(5)
    before, same, moved = rng.normal(size=4000), rng.normal(size=2000), rng.normal(1.0, 1.0, size=2000)
    assert drift.ks(before, moved) == pytest.approx(stats.ks_2samp(before, moved).statistic)
    assert drift.psi(before, same) < 0.05
    deciles = stats.norm.ppf(np.linspace(0, 1, 11))
    shares = np.diff(stats.norm.cdf(deciles, loc=1.0))
    assert drift.psi(before, moved) == pytest.approx(((shares - 0.1) * np.log(shares / 0.1)).sum(), rel=0.15)
    with store.begin() as connection:
        found = [
            FeatureDrift("temperature", 0.9, 0.4, 2000, psi_limit=0.8),
            FeatureDrift("humidity", 0.85, 0.4, 2000, psi_limit=0.9),
        ]
        detection_scores.save_drift(connection, "7", MONDAY.date(), found)
        [alert] = degradation.input_drift(connection, "7")
        assert alert.subject == "version 7, temperature"
        assert degradation.input_drift(connection, "8") == []


def test_a_shift_of_the_inputs_is_drift_and_a_few_days_of_weather_are_not() -> None:
    grid = history(days=400)
    usual = climatology.fit(grid)

    def cut(begin: int, days: int) -> HourGrid:
        return HourGrid(grid.stations, grid.start + begin * 24, grid.values[:, begin * 24 : (begin + days) * 24])

    before = cut(0, 340)
    weather = [drift.compare(before, cut(begin, 7), usual) for begin in range(342, 393, 7)]
    assert max(one.psi for found in weather for one in found) > 2 * drift.PSI_LIMIT, "a week is no independent sample"
    assert [one for found in weather for one in found if one.psi > one.psi_limit] == []
    week = cut(342, 7)
    warm = week.values.copy()
    warm[..., 0] += 25
    shifted = {one.feature: one for one in drift.compare(before, replace(week, values=warm), usual)}
    assert shifted["temperature"].psi > shifted["temperature"].psi_limit
    assert shifted["pressure"] == weather[0][list(shifted).index("pressure")]
    change = shifted["temperature_change"]
    assert change.psi <= change.psi_limit, "a constant shift changes no change"


def test_without_a_past_that_shows_what_is_usual_nothing_is_called_drift() -> None:
    grid = history(days=60)
    early, late = (HourGrid(grid.stations, grid.start + at, grid.values[:, at : at + 168]) for at in (0, 1200))
    assert drift.compare(early, late, climatology.fit(grid)) == []


def test_flags_are_judged_by_injected_faults_and_by_people(store: Engine) -> None:
    """Of four faults one is found in time, one shortly after it; one is not, and one only by a flag of what is well.

    A flag outside the faults is a false alarm, also of a station without any; but not of a real one.
    """
    flagged = {
        "boston": dict.fromkeys((60, 61, 62, 300), "temperature") | {900: "wind_speed"},
        "denver": {100: "humidity", 740: "pressure"},
        "miami": dict.fromkeys((200, 201), "temperature"),
    }
    made = {
        name: [
            forecast(MONDAY + minute * MINUTE, name, flagged=flagged[name].get(minute, ""))
            for minute in range(0, 1440, 1)
        ]
        for name in flagged
    }

    def fault(station: str, variable: str, kind: str, first: int, last: int) -> InjectedFault:
        return InjectedFault(station, variable, kind, MONDAY + first * MINUTE, MONDAY + last * MINUTE)

    faults = [
        fault("boston", "temperature", "spike", 58, 61),
        fault("boston", "pressure", "drift", 500, 550),
        fault("boston", "humidity", "spike", 890, 910),
        fault("denver", detection_scores.WHOLE_STATION, "swapped", 600, 700),
    ]
    with store.begin() as connection:
        for name, readings in made.items():
            predictions.save(connection, readings, NOW, Origin.OPEN_METEO if name == "miami" else Origin.REPLAY)
        detection_scores.save_faults(connection, faults[:1])
        detection_scores.save_faults(connection, faults)
        for minute, verdict in ((200, Judgement.CONFIRMED), (201, Judgement.FALSE_ALARM), (300, Judgement.FALSE_ALARM)):
            name = "miami" if minute < 300 else "boston"
            given = Verdict(verdict, "me", NOW, "")
            verdicts.save(connection, name, MONDAY + minute * MINUTE, given)
        for _ in range(2):
            detection.score_day(connection, MONDAY.date())
        counted = connection.execute(select(detection_table)).mappings().all()
        summed = detection_scores.detection_totals(connection, MONDAY.date())
    found = {(row["truth"], row["kind"]): (row["hits"], row["misses"], row["false_alarms"]) for row in counted}
    assert found == {
        ("injected", "spike"): (1, 1, 0),
        ("injected", "drift"): (0, 1, 0),
        ("injected", "swapped"): (1, 0, 0),
        ("injected", ""): (0, 0, 2),
        ("verdict", ""): (1, 0, 2),
    }
    assert {row["version"] for row in counted} == {"3"}
    assert {(one.truth, one.kind): (one.hits, one.misses, one.false_alarms) for one in summed} == found


def test_a_verdict_that_is_taken_back_leaves_nothing(store: Engine) -> None:
    with store.begin() as connection:
        predictions.save(connection, [forecast(MONDAY, flagged="pressure")], NOW)
        verdicts.save(connection, "boston", MONDAY, Verdict(Judgement.CONFIRMED, "me", NOW, ""))
        assert [row["hits"] for row in detection.score_day(connection, MONDAY.date())] == [1]
        predictions.save(connection, [forecast(MONDAY)], NOW)  # revised: it is not flagged any more
        assert detection.score_day(connection, MONDAY.date()) == []
        assert detection_scores.detection_totals(connection, MONDAY.date()) == []


class Shifted(PersistenceForecaster):
    """Persistence, a degree off, and signed as a model."""

    def forecast(self, *arguments: Any) -> Forecast:
        made = super().forecast(*arguments)
        return replace(made, values=made.values + 1, methods=(Method.MODEL,) * len(made.methods))


def test_a_hindcast_fills_the_same_tables_marked_and_again_changes_nothing(store: Engine) -> None:
    grid = history(days=90)
    usual = climatology.fit(grid)
    yardstick = ReferenceModel(usual, damped_anomaly.fit(features.model_inputs(grid, usual).anomalies))
    contents = []
    for _ in range(2):
        with store.begin() as connection:
            hindcast(connection, {"7": Shifted(), "8": PersistenceForecaster()}, yardstick, grid, lambda _: None)
            rows_ = connection.execute(select(verification)).mappings().all()
            pairs = connection.execute(select(paired_losses)).mappings().all()
        contents.append((sorted(map(str, rows_)), sorted(map(str, pairs))))
    assert contents[0] == contents[1]
    assert all(row["hindcast"] for row in rows_)
    assert {row["version"] for row in rows_} == {"7", "persistence"}
    fallback = [row for row in rows_ if row["version"] == "persistence" and row["n_baselines"]]
    assert fallback
    assert all(row["mae_compared"] == pytest.approx(row["mae_persistence"], abs=1e-3) for row in fallback)
    days = {row["day"] for row in rows_}
    assert 28 <= len(days) <= 32
    assert max(days) == grid.hours[-1].astype("datetime64[D]").item()
    biased = [row["bias"] for row in rows_ if row["version"] == "7" and row["variable"] == "temperature"]
    assert np.mean(biased) > 0.5


@pytest.mark.parametrize(
    ("hours", "degraded", "days", "expected"),
    [
        (23, True, 7, False),
        (25, True, 7, True),
        (25, False, 7, False),
        (7 * 24 + 1, False, 7, True),
        (7 * 24 + 1, False, 0, False),
        (25, False, 1, True),
    ],
)
def test_a_training_is_due_by_the_calendar_and_on_degradation_after_the_cool_down(
    monkeypatch: pytest.MonkeyPatch, hours: int, degraded: bool, days: int, expected: bool
) -> None:
    settings: Any = SimpleNamespace(retrain_cooldown_hours=24.0, retrain_days=days)
    made = [
        SimpleNamespace(kind="forecaster", created_at=NOW - hours * HOUR),
        SimpleNamespace(kind="forecaster", created_at=NOW - 9000 * HOUR),
        SimpleNamespace(kind="anomaly-detector", created_at=NOW - HOUR),
    ]
    monkeypatch.setattr(retraining, "registered", lambda _: made)
    assert retraining.due(settings, NOW, degraded, None)[0] is expected


def test_the_first_training_is_not_asked_for_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "registered", lambda _: [])
    settings: Any = SimpleNamespace(retrain_cooldown_hours=24.0, retrain_days=7)
    assert not retraining.due(settings, NOW, True, None)[0]


def test_a_training_that_fails_is_not_asked_for_again_every_hour(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing new is registered: the cool-down counts from the last time one was asked for."""
    settings: Any = SimpleNamespace(retrain_cooldown_hours=3.0, retrain_days=7)
    old = SimpleNamespace(kind="forecaster", created_at=NOW - 30 * DAY)
    monkeypatch.setattr(retraining, "registered", lambda _: [old])
    with store.begin() as connection:
        asked = [retraining.request_if_due(connection, settings, NOW + hour * HOUR, degraded=True)[0] for hour in range(7)]
    assert asked == [True, False, False, True, False, False, True]
