"""What the steps of a training share: the grid, its split, and what all parts stand on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ray_jobs.training.folder import Plan, TrainingFolder
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.boosted_trees import LEAD_GROUPS
from weatherglass.forecast.presets import ModelSize
from weatherglass.forecast.splits import Split
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES
from weatherglass.stations import Station

GRID_FILE = "grid.npy"


@dataclass(frozen=True)
class TrainingContext:
    """What every part stands on; the grid's values lie beside it and are mapped, not read.

    `without`: stretches of the history that are left out, since they are replayed as the present.
    """

    stations: tuple[Station, ...]
    start: np.datetime64
    parts: Split
    ground: BaseModels
    without: tuple[tuple[datetime, datetime], ...]


def part_names() -> list[str]:
    """A part is a variable and a group of leads, the leads fastest."""
    return [f"{variable}-{leads[0]:02d}-{leads[-1]:02d}" for variable in VARIABLES for leads in LEAD_GROUPS]


def load_context(folder: TrainingFolder) -> tuple[HourGrid, TrainingContext]:
    """The grid (values mapped from disk, read-only) and what stands beside it."""
    basis: TrainingContext = folder.load("ground")
    values = np.load(folder.path / GRID_FILE, mmap_mode="r")
    return HourGrid(basis.stations, basis.start, values), basis


def size_of(folder: TrainingFolder, plan: Plan) -> ModelSize:
    """The size of the plan, or the best one that the search has found."""
    tried = [folder.load(f"trial-{number:02d}") for number in range(plan.trials + 1)] if plan.trials else []
    return min(tried, key=lambda one: one[1])[0] if tried else plan.shape
