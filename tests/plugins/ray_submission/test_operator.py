"""What a Ray job receives from the task that submits it."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from plugins.ray_submission import operator
from plugins.ray_submission.operator import RayJobOperator, job_environment


def test_a_job_receives_the_settings_without_the_token_of_the_api() -> None:
    environment = {
        "WEATHERGLASS_API_HOST": "0.0.0.0",
        "WEATHERGLASS_API_TOKEN": "secret",
        "WEATHERGLASS_STATE_DIR": "/state",
        "WEATHERGLASS_DATABASE_URL": "postgresql+psycopg://weatherglass@postgres/weatherglass",
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "PGPASSWORD": "secret",
    }
    assert job_environment(environment) == {
        "WEATHERGLASS_STATE_DIR": "/state",
        "WEATHERGLASS_DATABASE_URL": "postgresql+psycopg://weatherglass@postgres/weatherglass",
    }


def test_arguments_cannot_add_commands_to_the_entrypoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray passes the entrypoint to a shell."""
    submitted = []

    class Jobs:
        def __init__(self, *_: object) -> None: ...

        def find(self, _: str) -> None:
            return None

        def submit(self, _: str, entrypoint: str, __: object) -> None:
            submitted.append(entrypoint)

    monkeypatch.setattr(operator, "RayJobs", Jobs)
    argv = ["python", "-m", "ray_jobs.train", "--reason", "x; touch /tmp/y", "$(id)", "`id`", "a b", "", "'"]
    task = RayJobOperator(task_id="train", dashboard="http://127.0.0.1:1", argv=argv)
    context: Any = {"ti": SimpleNamespace(dag_id="train_models", task_id="train", run_id="manual")}
    with pytest.raises(TaskDeferred):
        task.execute(context)
    assert [shlex.split(entrypoint) for entrypoint in submitted] == [argv]
