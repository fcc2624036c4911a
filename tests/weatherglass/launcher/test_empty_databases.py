"""The databases that the first start copies: with all tables, and only for the installed versions."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import make_settings
from weatherglass.launcher import airflow, empty_databases
from weatherglass.launcher.empty_databases import AIRFLOW, MLFLOW, VERSIONS, copy_missing, create
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store.engine import sqlite_file

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    create(folder)
    return folder


def files(settings: Settings) -> dict[str, Path]:
    return {AIRFLOW: airflow.database(settings), MLFLOW: Path(str(sqlite_file(settings.mlflow_url)))}


def test_copies_need_no_migration_and_can_be_used(folder: Path, settings: Settings) -> None:
    copy_missing(settings, folder)
    assert airflow.is_migrated(settings)
    for name, file in files(settings).items():
        assert file.read_bytes() == (folder / name).read_bytes()

    registry, model = Registry(settings), settings.state_dir / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    version = registry.register(FORECASTER, model, {}, {}, {})
    registry.promote(FORECASTER, version, "a test", "the first", {})
    champion = registry.champion(FORECASTER)
    assert champion is not None
    assert champion.folder.is_relative_to(settings.artifacts_dir)


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_a_database_that_exists_or_left_a_journal_is_kept(folder: Path, settings: Settings, suffix: str) -> None:
    kept = [file.with_name(file.name + suffix) for file in files(settings).values()]
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"mine")
    copy_missing(settings, folder)
    for name in (file.name for file in kept):
        assert [found.name for found in settings.state_dir.rglob(f"{name.partition('.')[0]}.db*")] == [name]
    assert {file.read_bytes() for file in kept} == {b"mine"}
    assert not airflow.is_migrated(settings)


@pytest.mark.parametrize("damage", ["no versions", "empty versions", "other versions", "shortened", "missing"])
def test_damaged_databases_and_those_of_other_versions_are_not_copied(
    folder: Path, settings: Settings, tmp_path: Path, damage: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    versions = other / VERSIONS
    match damage:
        case "no versions":
            versions.unlink()
        case "empty versions":
            versions.write_text("")
        case "other versions":
            content = json.loads(versions.read_text())
            versions.write_text(json.dumps(content | {"packages": dict.fromkeys(content["packages"], "0.1")}))
    for name in (AIRFLOW, MLFLOW):
        if damage == "shortened":
            (other / name).write_bytes((other / name).read_bytes()[:-4096])
        elif damage == "missing":
            (other / name).unlink()
    copy_missing(settings, other)
    assert not any(file.exists() for file in files(settings).values())


def test_only_sqlite_files_are_copied(folder: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "state", registry_url="postgresql+psycopg://localhost/weatherglass")
    copy_missing(settings, folder)
    assert {file.name for file in settings.state_dir.iterdir()} == {airflow.home(settings).name}


def test_a_failure_leaves_the_tables_to_the_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="the reason\n")

    monkeypatch.setattr("weatherglass.registry.registry.create_tables", lambda url: None)
    monkeypatch.setattr(subprocess, "run", fail)
    empty_databases.main(tmp_path / "databases")
    assert "the reason" in capsys.readouterr().err
    assert not (tmp_path / "databases").exists()
