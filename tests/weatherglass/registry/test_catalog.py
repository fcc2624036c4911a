"""The catalogue is what MLflow's own client says, and what the API then shows and compares."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from weatherglass.api.app import create_app
from weatherglass.registry.catalog import registered
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store.migrate import migrate

pytestmark = pytest.mark.integration


def test_before_the_first_model_the_catalogue_is_empty_and_makes_no_file(settings: Settings) -> None:
    assert registered(settings) == []
    assert not settings.state_dir.exists()


def test_the_catalogue_is_what_mlflow_says(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    migrate(settings.store_url)
    registry = Registry(settings)
    first = registry.register(FORECASTER, folder, {"mae": 1.5}, {"trees": 3}, {"size": "first"})
    second = registry.register(FORECASTER, folder, {"mae": 1.25}, {"trees": 9}, {"size": "full"})
    registry.promote(FORECASTER, first, "me", "there was none", {})
    registry.challenge(FORECASTER, second, "me", "to be compared", {})

    found = {model.version: model for model in registered(settings)}
    client = registry._mlflow()
    for theirs in client.search_model_versions(f"name='{FORECASTER}'"):
        ours, run = found[str(theirs.version)], client.get_run(theirs.run_id)
        assert (ours.metrics, ours.params) == (run.data.metrics, run.data.params)
        assert int(ours.created_at.timestamp() * 1000) == theirs.creation_timestamp
        assert ours.tags == theirs.tags
    assert {version: model.aliases for version, model in found.items()} == {
        first: ("champion",),
        second: ("challenger",),
    }

    with TestClient(create_app(settings)) as api:
        listed = api.get("/models").json()
        compared = api.get("/models/compare").json()
        unknown = api.get("/models/compare", params={"first": "99"})
    assert [model["version"] for model in listed["versions"]] == [second, first]
    assert [line["to_version"] for line in listed["promotions"]] == [second, first]
    assert (compared["first"], compared["second"]) == (first, second)
    assert compared["metrics"] == [{"name": "mae", "first": 1.5, "second": 1.25, "change": -0.25}]
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Unknown version")
