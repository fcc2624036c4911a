"""The DAGs' work with the real registry and store: a challenger in shadow wins, then turns bad, and is rolled back."""

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
from tests.ray_jobs.small_models import GRID, crown, without_trees
from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast, observed
from weatherglass.records import Prediction
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store import alert_log, observations, predictions, shadow
from weatherglass.store.promotions import Action
from weatherglass.store.schema import comparisons, drift
from weatherglass.verification.hourly_run import HourlyVerification, same_season
from weatherglass.verification.sequential_test import MIN_DAYS

pytestmark = pytest.mark.integration

DAYS = MIN_DAYS + 8
STATIONS = ("s0", "s1")
"""Those that the model knows."""


def nearer(made: Prediction, truths: dict[Any, float], share: float) -> Prediction:
    """The forecast with its temperature moved towards the truth by a share (away from it, if negative)."""
    said = made.predictions
    moved = [
        value + share * (truths.get((made.station_id, valid), value) - value)
        for value, valid in zip(said.temperature, said.valid_times, strict=True)
    ]
    return made.model_copy(update={"predictions": said.model_copy(update={"temperature": moved})})


@pytest.fixture
def task(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """The function of a task of a real DAG, in the test's own settings."""
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))

    def find(dag_id: str, task_id: str) -> Any:
        bag = DagBag(str(PROJECT_ROOT / "dags" / f"{dag_id}.py"))
        return bag.dags[dag_id].get_task(task_id).python_callable

    return find


def test_a_better_challenger_is_promoted_and_rolled_back_when_it_turns_bad(
    settings: Settings, tmp_path: Path, task: Callable[[str, str], Any]
) -> None:
    registry = Registry(settings)
    model = without_trees()
    champion = crown(settings, model, tmp_path / "first")
    model.save(tmp_path / "second")
    challenger = registry.register(FORECASTER, tmp_path / "second", {}, {}, {})
    registry.challenge(FORECASTER, challenger, "training", "to be compared", {})
    end = MONDAY + DAYS * 24 * HOUR
    truths = [o for name in STATIONS for o in observed((DAYS + 3) * 24, name, wandering=False)]
    came = {(o.station_id, o.timestamp): float(o.temperature or 0) for o in truths}
    served = [forecast(MONDAY + hour * HOUR, name, champion) for name in STATIONS for hour in range(0, DAYS * 24 - 24)]
    aside = [nearer(forecast(made.timestamp, made.station_id, challenger), came, 0.3) for made in served]
    with registry.store().begin() as connection:
        observations.save(connection, [o for o in truths if o.timestamp < end], end)
        predictions.save(connection, served, end)
        shadow.save(connection, aside, end, [None] * len(aside))

    lines: list[str] = []
    look = HourlyVerification(settings, lines.append)
    look.verify(end + HOUR)
    made = look.compare(end + HOUR)
    assert made is not None
    assert made.decision == "promote", made.why
    assert registry.champion(FORECASTER).version == challenger  # type: ignore[union-attr]
    assert registry.challenger(FORECASTER) is None
    assert any("temperature" in line and "+30" in line for line in lines), "the table is in the log"
    tags = registry.version(FORECASTER, challenger).tags  # type: ignore[union-attr]
    assert tags["decision"].startswith("promote")
    assert "humidity" in tags["compared"]
    assert registry.promotions()[-1].figures["decision"] == "promote"
    with registry.store().connect() as connection:
        assert [row.decision for row in connection.execute(select(comparisons))] == ["promote"]
    assert HourlyVerification(settings, lines.append).compare(end + 2 * HOUR) is None, "nothing to compare any more"

    # Now it serves, and errs twice as much as anything else.
    bad = [
        nearer(forecast(end - 24 * HOUR + hour * HOUR, name, challenger), came, -3.0)
        for name in STATIONS
        for hour in range(24)
    ]
    later = end + 26 * HOUR
    with registry.store().begin() as connection:
        observations.save(connection, [o for o in truths if end <= o.timestamp < later], later)
        predictions.save(connection, bad, later)
    look = HourlyVerification(settings, lines.append)
    look.verify(later)
    wrong = look.watch(later)
    assert ("skill_below_zero", f"version {challenger}, temperature") in {(a.rule, a.subject) for a in wrong}
    told = [alert.words for alert in wrong]
    with pytest.raises(AirflowFailException, match=f"Version {challenger}, temperature"):
        task("verify_forecasts", "report")(wrong=told)
    with registry.store().connect() as connection:
        assert {alert.words for alert in alert_log.listed(connection, 20, opened=True)} == set(told)

    assert task("rollback_model", "roll_back")(params={"kind": FORECASTER, "reason": "it has turned bad"}) == champion
    assert registry.champion(FORECASTER).version == champion  # type: ignore[union-attr]
    last = registry.promotions()[-1]
    assert (last.action, last.from_version, last.why) == (Action.ROLLBACK, challenger, "it has turned bad")
    with pytest.raises(AirflowFailException, match="no forecaster served before"):
        task("rollback_model", "roll_back")(params={"kind": FORECASTER, "reason": "once more"})
    look = HourlyVerification(settings, lines.append)
    assert look.watch(later + timedelta(days=2)) == [], "the old champion is not blamed for it"
    with registry.store().connect() as connection:
        assert alert_log.listed(connection, 20, opened=True) == []
        assert not connection.execute(select(drift)).all(), "there is no history to compare with"
    task("verify_forecasts", "report")(wrong=[])


def test_the_same_season_is_that_of_every_year() -> None:
    hours = same_season(GRID, np.datetime64("2026-01-10T00", "h"))
    known = np.isfinite(hours.values[0, :, 0])
    assert known[: 24 * 40].all()
    assert not np.isfinite(same_season(GRID, np.datetime64("2025-07-10T00", "h")).values).any()
