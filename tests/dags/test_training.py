"""Which trainings `train_models` starts. The DAG runs in Airflow; the trainings are replaced."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import make_settings
from tests.dags.dag_runner import DagRunner

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

NO_TRAINING = "from plugins.ray_submission.operator import RayJobOperator as R; R.execute = lambda self, context: None"
FAILED_TRAINING = """
from airflow.sdk.exceptions import AirflowFailException
from plugins.ray_submission.operator import RayJobOperator

def execute(self, context):
    if self.task_id == "train_first":
        raise AirflowFailException("not retried")

RayJobOperator.execute = execute
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> DagRunner:
    folder = tmp_path_factory.mktemp("train_models")
    return DagRunner(folder / "airflow", make_settings(folder / "state"))


def trained(states: dict[str, Any]) -> set[str]:
    return {name for name, state in states.items() if name.startswith("train_") and state == "success"}


@pytest.mark.parametrize(
    ("conf", "full", "expected"),
    [
        ({}, "true", {"train_first", "train_full"}),
        ({}, "false", {"train_first"}),
        ({"size": "full"}, "false", {"train_full"}),
        ({"size": "first"}, "true", {"train_first"}),
        ({"size": "refit"}, "true", {"train_first"}),
    ],
)
def test_exactly_the_requested_sizes_are_trained(
    dags: DagRunner, conf: dict[str, Any], full: str, expected: set[str]
) -> None:
    states = dags.run("train_models", conf, NO_TRAINING, WEATHERGLASS_TRAIN_FULL_MODEL=full)
    assert trained(states) == expected
    assert set(states.values()) <= {"success", "skipped"}


def test_a_failed_first_training_prevents_the_full_one(dags: DagRunner) -> None:
    states = dags.run("train_models", {}, FAILED_TRAINING, WEATHERGLASS_TRAIN_FULL_MODEL="true")
    assert states["train_full"] == "upstream_failed"
