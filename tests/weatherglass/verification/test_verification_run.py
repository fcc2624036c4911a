"""The hourly verification with a real registry and store: a challenger is promoted, degrades, and is rolled back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import select

from tests import airflow_home  # noqa: F401 (before Airflow is imported)
from tests.ray_jobs.small_models import GRID, register_champion, without_trees
from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast, observed
from weatherglass.records import VARIABLES, Prediction, iso
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store import alert_queries, observations, predictions, quarantine, shadow, verification_rows
from weatherglass.store.promotions import Action
from weatherglass.store.quarantine import QuarantinedVersion
from weatherglass.store.schema import comparisons, drift
from weatherglass.verification.recalibrate import COMPARABLE_DAYS
from weatherglass.verification.sequential_test import MIN_CASES, MIN_DAYS
from weatherglass.verification.verification_run import VerificationRun, same_season

pytestmark = pytest.mark.integration

DAYS = MIN_DAYS + 8
STATIONS = ("s0", "s1")
"""Stations of the model."""


def move_towards(issue: Prediction, observations_: dict[Any, float], share: float) -> Prediction:
    """The forecast with its temperature moved towards the observation by a share, or away from it if negative."""
    forecasts = issue.predictions
    moved = [
        value + share * (observations_.get((issue.station_id, valid), value) - value)
        for value, valid in zip(forecasts.temperature, forecasts.valid_times, strict=True)
    ]
    return issue.model_copy(update={"predictions": forecasts.model_copy(update={"temperature": moved})})


@pytest.fixture
def task(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """Returns the function of a task of a DAG, which runs with the settings of the test."""
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))

    def find(dag_id: str, task_id: str) -> Any:
        bag = DagBag(str(PROJECT_ROOT / "dags" / f"{dag_id}.py"))
        return bag.dags[dag_id].get_task(task_id).python_callable

    return find


def test_a_better_challenger_is_promoted_and_rolled_back_when_it_degrades(
    settings: Settings, tmp_path: Path, task: Callable[[str, str], Any]
) -> None:
    registry = Registry(settings)
    model = without_trees()
    champion = register_champion(settings, model, tmp_path / "first")
    model.save(tmp_path / "second")
    challenger = registry.register(FORECASTER, tmp_path / "second", {}, {}, {})
    registry.challenge(FORECASTER, challenger, "training", "to be tested", {})
    end = MONDAY + DAYS * 24 * HOUR
    readings = [o for name in STATIONS for o in observed((DAYS + 3) * 24, name, random_walk=False)]
    temperatures = {(o.station_id, o.timestamp): float(o.temperature or 0) for o in readings}
    served = [forecast(MONDAY + hour * HOUR, name, champion) for name in STATIONS for hour in range(0, DAYS * 24 - 24)]
    shadow_issues = [
        move_towards(forecast(issue.timestamp, issue.station_id, challenger), temperatures, 0.3) for issue in served
    ]
    with registry.store().begin() as connection:
        observations.save(connection, [o for o in readings if o.timestamp < end], end)
        predictions.save(connection, served, end)
        shadow.save(connection, shadow_issues, end, [None] * len(shadow_issues))

    lines: list[str] = []
    run = VerificationRun(settings, lines.append)
    run.verify(end + HOUR)
    test = run.compare(end + HOUR)
    assert test is not None
    assert (test.decision, test.code) == ("promote", "better")
    assert registry.champion(FORECASTER).version == challenger  # type: ignore[union-attr]
    assert registry.challenger(FORECASTER) is None
    [temperature] = [difference for difference in test.variables if difference.variable == "temperature"]
    assert temperature.gain == pytest.approx(0.3, abs=0.01)
    assert set(test.lines()) <= set(lines), "the table is in the log"
    tags = registry.version(FORECASTER, challenger).tags  # type: ignore[union-attr]
    assert tags["decision"].startswith("promote")
    assert tags["compared"].splitlines() == test.lines()
    assert registry.promotions()[-1].details["decision"] == "promote"
    with registry.store().connect() as connection:
        assert [row.decision for row in connection.execute(select(comparisons))] == ["promote"]
    assert VerificationRun(settings, lines.append).compare(end + 2 * HOUR) is None, "no challenger"

    # The new champion now has twice the error of the damped anomaly.
    bad = [
        move_towards(forecast(end - 24 * HOUR + hour * HOUR, name, challenger), temperatures, -3.0)
        for name in STATIONS
        for hour in range(24)
    ]
    later = end + 26 * HOUR
    with registry.store().begin() as connection:
        observations.save(connection, [o for o in readings if end <= o.timestamp < later], later)
        predictions.save(connection, bad, later)
    run = VerificationRun(settings, lines.append)
    run.verify(later)
    alerts = run.check_degradation(later)
    assert ("skill_below_zero", f"version {challenger}, temperature") in {(a.rule, a.subject) for a in alerts}
    messages = [alert.message for alert in alerts]
    with pytest.raises(AirflowFailException, match=f"ersion {challenger}, temperature"):
        task("verify_forecasts", "fail_if_degraded")(messages)
    with registry.store().connect() as connection:
        assert {alert.message for alert in alert_queries.list_alerts(connection, 20, is_open=True)} == set(messages)

    parameters = {"kind": FORECASTER, "reason": "degraded"}
    assert task("rollback_model", "roll_back")(params=parameters) == champion
    assert registry.champion(FORECASTER).version == champion  # type: ignore[union-attr]
    last = registry.promotions()[-1]
    assert (last.action, last.from_version, last.reason) == (Action.ROLLBACK, challenger, "degraded")
    with pytest.raises(AirflowFailException, match=FORECASTER):
        task("rollback_model", "roll_back")(params=parameters)
    run = VerificationRun(settings, lines.append)
    assert run.check_degradation(later + timedelta(days=2)) == [], "the old champion has no bad scores"
    with registry.store().connect() as connection:
        assert alert_queries.list_alerts(connection, 20, is_open=True) == []
        assert not connection.execute(select(drift)).all(), "there is no history to compare with"
    task("verify_forecasts", "fail_if_degraded")([])


@pytest.mark.parametrize("newer", ["champion", "challenger"])
def test_versions_are_compared_once_both_are_recalibrated_with_two_weeks_of_errors(
    settings: Settings, tmp_path: Path, newer: str
) -> None:
    """Forecasts before are corrected by different amounts; a forecast is valid up to a day after its correction."""
    registry = Registry(settings)
    without_trees().save(tmp_path / "model")
    versions = {
        role: registry.register(FORECASTER, tmp_path / "model", {}, {}, {"data_last_hour": iso(hour)})
        for role, hour in {
            "champion": MONDAY - (0 if newer == "champion" else 100) * 24 * HOUR - HOUR,
            "challenger": MONDAY - (0 if newer == "challenger" else 100) * 24 * HOUR - HOUR,
        }.items()
    }
    registry.promote(FORECASTER, versions["champion"], "the test", "test", {})
    registry.challenge(FORECASTER, versions["challenger"], "the test", "test", {})
    first, days = COMPARABLE_DAYS + 1, COMPARABLE_DAYS + 1 + MIN_DAYS
    rows = [
        {
            "valid_hour": np.datetime64((MONDAY + day * 24 * HOUR).replace(tzinfo=None), "h"),
            "variable": variable,
            "n": MIN_CASES,
            "champion_mae": 1.0,
            # The error is different on the days that are not counted.
            "challenger_mae": 5.0 if day < first else 0.8 + 0.01 * (day % 3),
        }
        for day in range(days)
        for variable in VARIABLES
    ]
    end = MONDAY + days * 24 * HOUR
    with registry.store().begin() as connection:
        pair = (versions["champion"], versions["challenger"])
        verification_rows.replace_paired_losses(connection, *pair, False, MONDAY, end, rows)
    test = VerificationRun(settings, print).compare(end)
    assert test is not None
    assert test.days == MIN_DAYS
    assert [difference.challenger_mae for difference in test.variables] == pytest.approx([0.81] * 4, abs=0.01)


def test_a_challenger_in_quarantine_is_withdrawn(settings: Settings, tmp_path: Path) -> None:
    """It makes no forecasts that could be compared, and as long as there is a challenger, no refit is promoted."""
    registry = Registry(settings)
    without_trees().save(tmp_path / "model")
    champion, challenger = (registry.register(FORECASTER, tmp_path / "model", {}, {}, {}) for _ in range(2))
    registry.promote(FORECASTER, champion, "the test", "test", {})
    registry.challenge(FORECASTER, challenger, "the test", "test", {})
    with registry.store().begin() as connection:
        assert quarantine.add(connection, QuarantinedVersion(FORECASTER, challenger, MONDAY, "the test", "damaged"))
    assert VerificationRun(settings, print).compare(MONDAY) is None
    assert registry.challenger(FORECASTER) is None
    assert registry.promotions()[-1].action is Action.WITHDRAW
    assert set(registry.quarantined(FORECASTER)) == {challenger}


def test_a_season_contains_45_days_before_and_after_in_every_year() -> None:
    hours = same_season(GRID, np.datetime64("2026-01-10T00", "h"))
    known = np.isfinite(hours.values[0, :, 0])
    assert known[: 24 * 40].all()
    assert not np.isfinite(same_season(GRID, np.datetime64("2025-07-10T00", "h")).values).any()
