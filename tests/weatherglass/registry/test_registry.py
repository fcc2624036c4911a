from __future__ import annotations

import json
import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from weatherglass.registry.registry import ANOMALY_DETECTOR, CHAMPION, FORECASTER, NoPreviousChampion, Registry
from weatherglass.settings import Settings
from weatherglass.store import quarantine
from weatherglass.store.promotions import Action
from weatherglass.store.quarantine import QuarantinedVersion

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text('{"size": 1}')
    return folder


def register(registry: Registry, folder: Path) -> str:
    return registry.register(FORECASTER, folder, {"mae": 1.5}, {"trees": 3}, {"size": "first"})


def test_an_empty_registry_has_no_champion_and_creates_no_file(settings: Settings) -> None:
    assert Registry(settings).champion(FORECASTER) is None
    assert Registry(settings).promotions() == []
    assert not settings.state_dir.exists()


def test_tables_that_appear_while_a_query_fails_are_read(settings: Settings, folder: Path) -> None:
    settings.state_dir.mkdir(parents=True)
    (settings.state_dir / "mlflow.db").touch()
    reader, versions = Registry(settings), []
    assert reader.champion(FORECASTER) is None

    def create_tables(context: object) -> None:
        if not versions:
            writer = Registry(settings)
            versions.append(register(writer, folder))
            writer.promote(FORECASTER, versions[0], "user", "first model", {})

    sa.event.listen(reader._engine, "handle_error", create_tables)
    champion = reader.champion(FORECASTER)
    assert champion is not None
    assert [champion.version] == versions


def test_the_files_of_a_model_are_on_the_disk_before_the_folder_has_its_name(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        calls.append(Path(target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    registry = Registry(settings)
    version = registry.version(FORECASTER, register(registry, folder))
    assert version
    parent = version.folder.parent
    unfinished = next(path for path in calls if path.name.startswith(".") and path.parent == parent)
    files = [unfinished / path.name for path in folder.iterdir()]
    assert all(calls.index(path) < calls.index(version.folder) for path in [unfinished, *files])
    assert parent in calls[calls.index(version.folder) :]


def test_a_promotion_changes_the_champion_and_is_logged(settings: Settings, folder: Path) -> None:
    registry, reader = Registry(settings), Registry(settings)
    first = register(registry, folder)
    assert reader.champion(FORECASTER) is None
    registry.promote(FORECASTER, first, "user", "first model", {"mae": 1.5})
    second = register(registry, folder)
    registry.promote(FORECASTER, second, "user", "better", {"mae": 1.25})
    champion = reader.champion(FORECASTER)
    assert champion is not None
    assert (champion.version, champion.tags["size"]) == (second, "first")
    assert json.loads((champion.folder / "model.json").read_text()) == {"size": 1}
    assert reader.champion(ANOMALY_DETECTOR) is None
    assert [(p.from_version, p.to_version, p.reason) for p in reader.promotions()] == [
        (None, first, "first model"),
        (first, second, "better"),
    ]
    # MLflow's client, and therefore its UI, shows the same champion.
    aliased = registry._mlflow().get_model_version_by_alias(FORECASTER, CHAMPION)
    assert (str(aliased.version), aliased.tags["folder"]) == (second, champion.tags["folder"])
    run = registry._mlflow().get_run(aliased.run_id)
    assert (run.data.metrics, run.data.params) == ({"mae": 1.5}, {"trees": "3"})


def test_a_rollback_activates_the_previous_champion_that_is_not_in_quarantine(settings: Settings, folder: Path) -> None:
    registry = Registry(settings)
    one, two, three, four = (register(registry, folder) for _ in range(4))
    for version in (one, two, three, four):
        registry.challenge(FORECASTER, version, "training", "newer", {})
        registry.promote(FORECASTER, version, "user", "newer", {})
        assert registry.challenger(FORECASTER) is None
    with registry.store().begin() as connection:
        quarantine.add(connection, QuarantinedVersion(FORECASTER, three, datetime.now(UTC), "an actor", "NaN"))
    assert registry.roll_back(FORECASTER, "operator", "cold bias").to_version == two
    assert Registry(settings).champion(FORECASTER).version == two  # type: ignore[union-attr]
    assert [v.version for v in registry.previous_champions(FORECASTER)] == [one]
    registry.roll_back(FORECASTER, "operator", "still biased")
    with pytest.raises(NoPreviousChampion) as error:
        registry.roll_back(FORECASTER, "operator", "still biased")
    assert (error.value.kind, error.value.champion) == (FORECASTER, one)
    registry.promote(FORECASTER, three, "operator", "cause fixed", {})
    assert registry.quarantined(FORECASTER) == {}
    steps = [
        (p.action, p.from_version, p.to_version) for p in registry.promotions() if p.action is not Action.CHALLENGE
    ]
    assert steps[-3:] == [
        (Action.ROLLBACK, four, two),
        (Action.ROLLBACK, two, one),
        (Action.PROMOTE, one, three),
    ]


def test_the_log_of_promotions_rejects_updates_and_deletes(settings: Settings, folder: Path) -> None:
    registry = Registry(settings)
    registry.promote(FORECASTER, register(registry, folder), "user", "first", {})
    for change in ("UPDATE promotions SET changed_by = 'other'", "DELETE FROM promotions"):
        with pytest.raises(sa.exc.DBAPIError), registry.store().begin() as connection:
            connection.execute(sa.text(change))
    assert [p.changed_by for p in registry.promotions()] == ["user"]


def _first_write(state_dir: Path, folder: Path) -> None:
    register(Registry(Settings(state_dir=state_dir)), folder)


def test_two_processes_can_create_the_tables_at_the_same_time(tmp_path: Path, folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=_first_write, args=(tmp_path / "state", folder)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert register(Registry(Settings(state_dir=tmp_path / "state")), folder) == "3"
