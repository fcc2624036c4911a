"""The direct queries of MLflow's tables give what MLflow's client gives for the same registry (ADR 0010)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from weatherglass.api.app import create_app
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import ANOMALY_DETECTOR, CHALLENGER, CHAMPION, FORECASTER, KINDS, Registry
from weatherglass.settings import Settings
from weatherglass.store.migrate import migrate

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    return folder


def test_without_a_database_the_catalog_is_empty_and_creates_no_file(settings: Settings) -> None:
    assert registered_models(settings) == []
    assert not settings.state_dir.exists()


def test_the_catalog_and_the_registry_read_what_mlflows_client_reads(settings: Settings, folder: Path) -> None:
    migrate(settings.store_url)
    registry = Registry(settings)
    first, second, deleted, both = (
        registry.register(FORECASTER, folder, {"mae": mae, "undefined": math.nan}, {"trees": trees}, {"size": "full"})
        for mae, trees in ((1.5, 3), (1.25, 9), (9.0, 1), (1.0, 7))
    )
    detector = registry.register(ANOMALY_DETECTOR, folder, {}, {}, {})
    registry.promote(FORECASTER, first, "user", "first model", {})
    registry.challenge(FORECASTER, second, "user", "newer", {})
    registry.promote(ANOMALY_DETECTOR, detector, "user", "first model", {})
    registry.set_tags(FORECASTER, second, {"note": "compared", "size": "changed"})
    client = registry._mlflow()
    client.delete_model_version(FORECASTER, deleted)
    client.delete_model_version_tag(FORECASTER, first, "size")
    client.set_registered_model_alias(FORECASTER, "kept", both)
    client.set_registered_model_alias(FORECASTER, "audited", both)
    run = client.get_model_version(FORECASTER, both).run_id
    client.log_metric(run, "mae", 0.75, step=1)

    models = registered_models(settings)
    assert [model.created_at for model in models] == sorted((model.created_at for model in models), reverse=True)
    by_version = {(model.kind, model.version): model for model in models}
    expected = {(kind, str(v.version)): v for kind in KINDS for v in client.search_model_versions(f"name='{kind}'")}
    assert set(by_version) == set(expected)
    assert (FORECASTER, deleted) not in by_version
    for key, version in expected.items():
        model, run_data = by_version[key], client.get_run(version.run_id).data
        assert model.metrics == {name: value for name, value in run_data.metrics.items() if math.isfinite(value)}
        assert (model.params, model.tags) == (run_data.params, version.tags)
        assert model.run == (version.run_id, int(client.get_run(version.run_id).info.experiment_id))
        assert model.aliases == tuple(sorted(client.get_model_version(*key).aliases))
        assert int(model.created_at.timestamp() * 1000) == version.creation_timestamp
        found = Registry(settings).version(*key)
        assert found is not None
        assert (found.tags, found.folder) == (version.tags, Path(version.source))
    assert by_version[FORECASTER, both].metrics == {"mae": 0.75}
    assert by_version[FORECASTER, both].aliases == ("audited", "kept")
    for kind, alias, read in [
        (FORECASTER, CHAMPION, registry.champion),
        (FORECASTER, CHALLENGER, registry.challenger),
        (ANOMALY_DETECTOR, CHAMPION, registry.champion),
    ]:
        aliased, version = client.get_model_version_by_alias(kind, alias), read(kind)
        assert version is not None
        assert (version.version, version.tags) == (str(aliased.version), aliased.tags)
    assert registry.challenger(ANOMALY_DETECTOR) is None


def test_the_api_lists_and_compares_the_registered_versions(settings: Settings, folder: Path) -> None:
    migrate(settings.store_url)
    registry = Registry(settings)
    first = registry.register(FORECASTER, folder, {"mae": 1.5}, {"trees": 3}, {"size": "first"})
    second = registry.register(FORECASTER, folder, {"mae": 1.25}, {"trees": 9}, {"size": "full"})
    registry.promote(FORECASTER, first, "user", "first model", {})
    registry.challenge(FORECASTER, second, "user", "newer", {})
    with TestClient(create_app(settings)) as api:
        listed = api.get("/models").json()
        compared = api.get("/models/compare").json()
        unknown = api.get("/models/compare", params={"first": "99"})
    assert [model["version"] for model in listed["versions"]] == [second, first]
    run = registry._mlflow().get_run(registry._mlflow().get_model_version(FORECASTER, second).run_id).info
    page = f"http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    assert listed["versions"][0]["mlflow_url"] == page
    assert [entry["to_version"] for entry in listed["promotions"]] == [second, first]
    assert (compared["first"], compared["second"]) == (first, second)
    assert compared["metrics"] == [{"name": "mae", "first": 1.5, "second": 1.25, "change": -0.25}]
    assert unknown.status_code == 404
