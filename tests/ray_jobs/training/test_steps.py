"""What the steps of a training pass on, with the models replaced."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ray_jobs.training import refit, search, steps
from ray_jobs.training.plan import BASE_MODELS, DETECTOR, TREE_MODELS
from tests.synthetic_history import history
from weatherglass.anomaly import fit as detector_fit
from weatherglass.forecast.fit import FittedTrees
from weatherglass.forecast.presets import FULL
from weatherglass.forecast.splits import split
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES
from weatherglass.settings import Source

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def a_task(**plan: Any) -> Any:
    settings = SimpleNamespace(false_alarms_per_week=0.2, source=Source.OPEN_METEO, history_dir=None)
    return SimpleNamespace(settings=settings, folder=None, plan=SimpleNamespace(**plan), threads=1)


@pytest.mark.parametrize(("hours", "used"), [(73, 48), (48, 48), (47, 47), (1, 1)])
def test_a_refit_sets_the_limits_of_the_detector_on_the_newest_hours(
    monkeypatch: pytest.MonkeyPatch, hours: int, used: int
) -> None:
    grid = history(days=4).part(0, hours)
    given: list[tuple[HourGrid, float]] = []
    learned = SimpleNamespace(recalibrated=lambda *arguments: given.append(arguments) or "recalibrated")
    monkeypatch.setattr(detector_fit, "RECENT_HOURS", 48)
    monkeypatch.setattr(refit, "detector", lambda task: learned)
    monkeypatch.setattr(steps, "load_context", lambda folder: (grid, None))
    result, _ = steps.STEPS[DETECTOR](a_task(kept="1"))
    assert result == "recalibrated"
    ((recent, budget),) = given
    assert budget == 0.2
    assert recent.start == grid.start + hours - used
    np.testing.assert_array_equal(recent.values, grid.values[:, -used:])


@pytest.mark.parametrize("empty", [0, 1, 30])
def test_hours_that_are_excluded_at_the_end_are_not_test_hours(monkeypatch: pytest.MonkeyPatch, empty: int) -> None:
    grid = history(days=70)
    values = grid.values.copy()
    values[:, values.shape[1] - empty :] = np.nan
    values[:, 5:9] = np.nan
    monkeypatch.setattr(steps, "read_history", lambda folder, excluded: grid.with_values(values))
    used: list[HourGrid] = []
    monkeypatch.setattr(steps, "split", lambda grid: used.append(grid) or split(grid))
    with pytest.raises(AttributeError):  # there is no folder to write to
        steps.STEPS[BASE_MODELS](a_task(kept=None, started_at=NOW, last_start=NOW))
    np.testing.assert_array_equal(used[0].values, values[:, : values.shape[1] - empty])


@pytest.mark.parametrize("step", TREE_MODELS)
def test_the_line_of_a_tree_model_has_its_variable_leads_and_errors(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    variable, leads = TREE_MODELS[step]
    fitted = FittedTrees(None, 1.25, 2.5)  # type: ignore[arg-type]
    asked: list[tuple[int, tuple[int, ...], object]] = []
    monkeypatch.setattr(steps, "_fit_trees", lambda task, *one: asked.append(one) or fitted)
    monkeypatch.setattr(search, "chosen_size", lambda folder, plan: FULL)
    result, line = steps.STEPS[step](a_task(kept=None))
    assert result is fitted
    assert asked == [(variable, leads, FULL)]
    assert line.startswith(VARIABLES[variable].replace("_", " "))
    words = line.replace("(", "").replace(",", "").split()
    assert {f"{min(leads)}-{max(leads)}", "1.25", "2.50"} <= set(words)
