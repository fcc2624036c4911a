"""An exported model."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.conftest import make_settings
from tests.weatherglass.conftest import SMALL, Model
from tests.weatherglass.registry.bundles import Contents
from weatherglass.cli.models import LOADERS
from weatherglass.forecast import fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import LEAD_GROUPS
from weatherglass.registry import artifact
from weatherglass.registry.bundle import export_bundle
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings

METRICS = {"skill.temperature": 0.25, **{f"mae.temperature.case{number}": number / 8 for number in range(2_500)}}
"""More than a real forecaster has, and than MLflow accepts at once."""


@pytest.fixture(scope="session")
def forecaster(model: Model) -> BoostedForecaster:
    """A forecaster with trees for temperature and the first leads only, which is enough for a file."""
    trees = fit.fit_tree_model(model.grid, model.split, model.base, 0, LEAD_GROUPS[0], SMALL, seed=1).model
    return fit.assemble(model.grid, model.split, model.base, (trees,))


@pytest.fixture(scope="session")
def exported(forecaster: BoostedForecaster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """The settings of the exporting installation and the exported file."""
    root = tmp_path_factory.mktemp("cluster")
    settings = make_settings(root / "state")
    folder = root / "model"
    forecaster.save(folder)
    artifact.add_text(folder, "card.md", "# Model card")
    registry = Registry(settings)
    version = registry.register(FORECASTER, folder, METRICS, {"trees": 30}, {"data_source": "synthetic"})
    registry.promote(FORECASTER, version, "test", "first model", {})
    file = root / "forecaster.weatherglass"
    champion = registry.champion(FORECASTER)
    assert champion is not None
    export_bundle(settings, champion, file, LOADERS)
    return settings, file


@pytest.fixture
def contents(exported: tuple[Settings, Path]) -> Contents:
    with zipfile.ZipFile(exported[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
