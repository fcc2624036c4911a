"""What the steps of a training share: the grid, its split, and the base models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from ray_jobs.training.folder import TrainingFolder
from ray_jobs.training.plan import BASE_MODELS, TrainingPlan
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.splits import Split
from weatherglass.history.grid import HourGrid
from weatherglass.registry.registry import KINDS
from weatherglass.settings import Settings
from weatherglass.stations import Station

GRID_FILE = "grid.npy"


@dataclass(frozen=True)
class StepTask:
    """The input of a step.

    Attributes:
        plan: of the folder.
        threads: how many threads the step may use.
    """

    settings: Settings
    folder: TrainingFolder
    plan: TrainingPlan
    threads: int = 1


@dataclass(frozen=True)
class TrainingContext:
    """Everything that all models build on, except the values of the grid.

    Attributes:
        start, gaps: of the grid.
        excluded: periods (first, last hour, UTC) of the history that are replayed as the present and not trained on.
    """

    stations: tuple[Station, ...]
    start: np.datetime64
    gaps: tuple[tuple[int, int], ...]
    split: Split
    base_models: BaseModels
    excluded: tuple[tuple[datetime, datetime], ...]


def model_folders(folder: TrainingFolder) -> dict[str, Path]:
    """Model kind -> folder of the new model."""
    return {kind: folder.path / "models" / kind for kind in KINDS}


def load_context(folder: TrainingFolder) -> tuple[HourGrid, TrainingContext]:
    """The grid, with values mapped from disk (read-only), and the context."""
    context = folder.load(BASE_MODELS, TrainingContext)
    values = np.load(folder.path / GRID_FILE, mmap_mode="r")
    return HourGrid(context.stations, context.start, values, context.gaps), context
