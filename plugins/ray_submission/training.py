"""The training of both models as a task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from plugins import assets, policy
from plugins.ray_submission.operator import RayJobOperator
from weatherglass.settings import load_settings


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
