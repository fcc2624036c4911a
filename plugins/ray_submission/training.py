"""The training of both models as a task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Context

from plugins import assets, policy
from plugins.ray_submission.operator import RayJobOperator
from plugins.run_notes import summarize
from weatherglass.settings import Settings, load_settings


class TrainingOperator(RayJobOperator):
    """Trains both models as a Ray job, in the pool for heavy tasks. The task id is `train_<size>`.

    Args:
        size: `first`, `full` or `refit`.
        options: further options of `ray_jobs.train`.
    """

    def __init__(self, *, size: str, options: Sequence[str] = (), **kwargs: Any):
        defaults: dict[str, Any] = {
            "task_id": f"train_{size}",
            "dashboard": load_settings().ray_dashboard,
            "argv": [sys.executable, "-m", "ray_jobs.train", "--size", size, *options],
            "pool": policy.HEAVY_POOL,
            "execution_timeout": timedelta(hours=3),
            "inlets": [assets.HISTORY],
            "outlets": [assets.MODELS],
        }
        super().__init__(**(defaults | kwargs))
        self.size = size

    def job_ended(self, context: Context, event: dict[str, Any]) -> None:
        """Handle the end of the job, and summarize what it registered.

        Raises:
            AirflowException: the job did not succeed; with the end of its output.
        """
        super().job_ended(context, event)
        run = context["dag_run"]
        since = run.start_date or run.run_after
        summarize(context["ti"], lambda: registered_since(load_settings(), self.size, since))


def registered_since(settings: Settings, size: str, since: datetime) -> str:
    """The versions that trainings of this size have registered, with their role, in the order of their names.

    Args:
        since: with a time zone.
    """
    from weatherglass.registry.catalog import registered_models

    new = [m for m in registered_models(settings) if m.tags.get("size") == size and m.created_at >= since]
    roles: dict[tuple[str, ...], str] = {("champion",): "promoted", ("challenger",): "is challenger"}
    described = [f"{m.kind} version {m.version} {roles.get(m.aliases, 'registered')}" for m in new]
    return ", ".join(sorted(described)) or "no version registered"
