"""Promotion of a trained model of guidance, with a real registry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ray_jobs.training.guidance import GuidanceTraining
from ray_jobs.training.register import _promote_guidance
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.combination_fit import FittedCombination
from weatherglass.records import LEADS, VARIABLES
from weatherglass.registry.registry import GUIDANCE, Registry
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

SIZE = len(LEADS), len(VARIABLES)
PLAN: Any = SimpleNamespace(requested_by="the test")


def trained(served: float = 0.8, guidance: float = 1.2, station: float = 1.0) -> GuidanceTraining:
    """A model with these errors on held-out days of the temperature; the other variables have none."""
    errors = {"served": served, "guidance": guidance, "station": station}
    mae = {name: np.where(np.arange(SIZE[1]) == 0, error, np.nan) + np.zeros(SIZE) for name, error in errors.items()}
    model = GuidanceCombination(np.ones((*SIZE, 5)), np.ones((*SIZE, 2)), np.ones(SIZE[1]), False)
    return GuidanceTraining(FittedCombination(model, mae, 20, 100), "trained")


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings)


def promoted(registry: Registry, folder: Path, training: GuidanceTraining) -> bool:
    """Whether a new version becomes champion; the champion is the same as before otherwise."""
    assert training.fitted is not None
    training.fitted.model.save(folder / "model")
    before = registry.champion(GUIDANCE)
    version = registry.register(GUIDANCE, folder / "model", {}, {}, {})
    line = _promote_guidance(registry, PLAN, version, training)
    assert version in line
    after = registry.champion(GUIDANCE)
    if after and after.version == version:
        return True
    assert after == before
    return False


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({}, True),
        ({"served": 1.0}, True),
        ({"served": 1.1}, False),
        ({"served": 0.8, "guidance": 0.7}, False),
        ({"served": np.nan}, True),  # too few forecasts to score: the station's own forecast serves
    ],
)
def test_a_model_is_promoted_if_it_is_no_worse_than_the_guidance_and_the_station(
    registry: Registry, tmp_path: Path, errors: dict[str, float], expected: bool
) -> None:
    assert promoted(registry, tmp_path, trained(**errors)) == expected


def test_after_a_rollback_no_training_promotes_until_a_user_does(registry: Registry, tmp_path: Path) -> None:
    assert promoted(registry, tmp_path, trained())
    assert promoted(registry, tmp_path, trained())
    back = registry.roll_back(GUIDANCE, "a user", "test")
    assert not promoted(registry, tmp_path, trained())
    assert not promoted(registry, tmp_path, trained())
    champion = registry.champion(GUIDANCE)
    assert champion is not None
    assert champion.version == back.to_version
    registry.promote(GUIDANCE, champion.version, "a user", "test", {})
    assert promoted(registry, tmp_path, trained())
