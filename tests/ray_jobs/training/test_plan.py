from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ray_jobs.training.plan import TREE_MODELS, TrainingPlan, code_version
from ray_jobs.training.steps import STEPS
from weatherglass.forecast.presets import FULL
from weatherglass.history.prepared import Manifest

HISTORY = Manifest("kaggle", "aa", "2012-10-03T00:00:00Z", "2016-11-30T23:00:00Z", 1000, 36)
PLAN = TrainingPlan(
    "full", FULL, 1, 2, 300, HISTORY, "c0de", datetime(2026, 1, 5, tzinfo=UTC), "a test", "no earlier training"
)


def test_stages_of_a_full_training_with_a_search() -> None:
    base, trials, models, *rest = PLAN.stages
    assert base == ["base-models"]
    assert trials == ["trial-00", "trial-01", "trial-02"]
    assert models == ["detector", *TREE_MODELS, "guidance-model"]
    assert rest == [["scores"], ["registered"], ["candidates"]]


def test_a_first_training_has_no_search_and_no_comparison() -> None:
    stages = replace(PLAN, size="first", search_trials=0).stages
    assert [len(stage) for stage in stages] == [1, len(TREE_MODELS) + 2, 1, 1]


@pytest.mark.parametrize("trials", [0, 40])
def test_the_table_has_a_function_for_every_step(trials: int) -> None:
    steps = [step for stage in replace(PLAN, search_trials=trials).stages for step in stage]
    assert len(set(steps)) == len(steps)
    assert set(steps) <= set(STEPS)


def test_tree_models_are_a_variable_and_a_group_of_leads() -> None:
    assert TREE_MODELS["temperature-01-03"] == (0, (1, 2, 3))
    assert TREE_MODELS["wind_speed-17-24"] == (3, (17, 18, 19, 20, 21, 22, 23, 24))


def test_the_code_version_is_twelve_hexadecimal_digits() -> None:
    assert len(code_version()) == 12
    assert int(code_version(), 16) >= 0


def test_the_training_process_imports_no_model() -> None:
    """LightGBM, scikit-learn and pandas stay in the processes of the tasks, which end."""
    program = "import sys, ray_jobs.train; print(*({'lightgbm', 'sklearn', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert output.split() == []
