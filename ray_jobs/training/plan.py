"""The plan of a training: what is trained on what, and its steps. Imports no model."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from weatherglass.forecast.presets import LEAD_GROUPS, ModelSize
from weatherglass.history.prepared import Manifest
from weatherglass.records import VARIABLES
from weatherglass.registry.registry import FORECASTER, ModelVersion, Registry
from weatherglass.registry.trainings import describe_new_data
from weatherglass.settings import PROJECT_ROOT, Settings

CODE = (
    "weatherglass/meteorology.py",
    "weatherglass/history/grid.py",
    "weatherglass/history/hours.py",
    "weatherglass/history/prepared.py",
    "weatherglass/qc/limits.py",
    "weatherglass/qc/series_checks.py",
    "weatherglass/forecast/*.py",
    "weatherglass/anomaly/*.py",
    "weatherglass/guidance/*.py",
    "weatherglass/verification/held_out*.py",
    "weatherglass/verification/scores.py",
    "ray_jobs/train.py",
    "ray_jobs/training/*.py",
)
"""The files that determine which model results from the same data."""

MAX_SEARCH_TRIALS = 40
REFIT = "refit"
"""The size of a refit, which keeps the trees of the champion, see `ray_jobs.training.refit`."""
SEED = 20130101
TEST_CASES = {"first": 2_000, "full": 8_000, REFIT: 4_000}
"""Size -> number of held-out cases for the scores."""
COMPARED_SIZES = ("full",)
"""Sizes after which all candidates are compared. The comparison takes minutes, too long for a first model."""

BASE_MODELS = "base-models"
"""The grid, its split, and the models that all tree models build on."""
DETECTOR = "detector"
GUIDANCE_MODEL = "guidance-model"
SCORES = "scores"
"""Held-out errors, the promotion decision, and the folders of the models."""
REGISTERED = "registered"
CANDIDATES = "candidates"
TREE_MODELS = {
    f"{variable}-{leads[0]:02d}-{leads[-1]:02d}": (index, leads)
    for index, variable in enumerate(VARIABLES)
    for leads in LEAD_GROUPS
}
"""Step -> index of the variable and group of leads (hours); leads vary fastest."""
SEARCH_TRIALS = {f"trial-{number:02d}": number for number in range(MAX_SEARCH_TRIALS + 1)}
"""Step -> number of the trial; trial 0 is the planned size itself."""


class TrainingDataError(ValueError):
    """The history is missing, too short, or lacks a variable, or a refit has no trees to keep."""


@dataclass(frozen=True)
class KeptTrees:
    """The trees that a refit keeps.

    Attributes:
        version: of the forecaster that has them.
        size: name of their size.
        last_hour: the last hour of the history that they were trained on, UTC.
    """

    version: str
    size: str
    last_hour: str


class EarlierTrainings(NamedTuple):
    """What a plan takes from the registry; see the attributes of `TrainingPlan`."""

    new_data: str
    kept: KeptTrees | None


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained, and on which data.

    Attributes:
        size: name of the size; `model_size` are its numbers.
        search_trials: how many other sizes are tried first.
        test_cases: held-out cases for the scores.
        code: see `code_version`.
        started_at: UTC; the first start, kept when a training is resumed.
        requested_by: for the promotion log.
        new_data: what the history contains that the last training did not have, as text.
        kept: the trees that a refit keeps; None in a training.
        last_start: the last time, UTC, at which the models are put into service; None: at the end of the training.
    """

    size: str
    model_size: ModelSize
    seed: int
    search_trials: int
    test_cases: int
    manifest: Manifest
    code: str
    started_at: datetime
    requested_by: str
    new_data: str
    kept: KeptTrees | None = None
    last_start: datetime | None = None

    @property
    def key(self) -> str:
        """Identifies the training, independent of when it is started and by whom."""
        identity = (
            *(self.size, self.model_size, self.seed, self.search_trials, self.test_cases),
            *(asdict(self.manifest), self.code, self.kept, self.last_start),
        )
        return hashlib.sha256(repr(identity).encode()).hexdigest()[:16]

    @property
    def trial_steps(self) -> list[str]:
        """The steps of the size search; none without a search."""
        return list(SEARCH_TRIALS)[: self.search_trials + 1] if self.search_trials else []

    @property
    def stages(self) -> list[list[str]]:
        """The steps in order. Steps of one stage are independent of each other."""
        stages = [[BASE_MODELS], self.trial_steps, [DETECTOR, *TREE_MODELS, GUIDANCE_MODEL], [SCORES], [REGISTERED]]
        if self.size in COMPARED_SIZES:
            stages.append([CANDIDATES])
        return [stage for stage in stages if stage]


def kept_trees(champion: ModelVersion) -> KeptTrees:
    """Return where the trees of a champion come from: from its own training, or from that before earlier refits."""
    tags = champion.tags
    return KeptTrees(
        champion.version, tags.get("trees_size", tags["size"]), tags.get("trees_last_hour", tags["data_last_hour"])
    )


def read_earlier_trainings(settings: Settings, size: str, manifest: Manifest) -> EarlierTrainings:
    """Read what a plan takes from the registry.

    Raises:
        TrainingDataError: a refit, and no champion was trained on history from the source of the manifest.
    """
    kept = None
    if size == REFIT:
        champion = Registry(settings).champion(FORECASTER)
        if champion is None or champion.tags.get("data_source") != manifest.source:
            raise TrainingDataError(
                f"no champion was trained on history from {manifest.source}: train a full model first"
            )
        kept = kept_trees(champion)
    return EarlierTrainings(describe_new_data(settings, manifest), kept)


def code_version() -> str:
    """The first 12 hexadecimal digits of the SHA-256 of `CODE`."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for file in sorted(PROJECT_ROOT.glob(pattern)):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
