"""The databases that the first start copies: with all tables, and only for the installed versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import make_settings
from weatherglass.launcher import airflow, empty_databases
from weatherglass.launcher.empty_databases import AIRFLOW, MLFLOW, STORE, VERSIONS, copy_missing, create
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.migrate import migrate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    create(folder, make_settings(folder / "state"))
    return folder


def schema(file: Path) -> set[tuple[str, ...]]:
    with sa.create_engine(f"sqlite:///{file}").connect() as connection:
        return {tuple(row) for row in connection.execute(sa.text("SELECT type, name, tbl_name FROM sqlite_master"))}


def files(settings: Settings) -> dict[str, Path]:
    urls = {MLFLOW: settings.mlflow_url, STORE: settings.store_url}
    return {AIRFLOW: airflow.database(settings)} | {name: Path(str(sqlite_file(url))) for name, url in urls.items()}


def test_copies_need_no_migration_and_can_be_used(folder: Path, settings: Settings) -> None:
    copy_missing(settings, folder)
    assert airflow.is_migrated(settings)
    for name, file in files(settings).items():
        assert file.read_bytes() == (folder / name).read_bytes()
    before = schema(files(settings)[STORE])
    migrate(settings.store_url)
    assert schema(files(settings)[STORE]) == before
    open_store(settings.store_url).dispose()

    registry, model = Registry(settings), settings.state_dir / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    version = registry.register(FORECASTER, model, {}, {}, {})
    registry.promote(FORECASTER, version, "a test", "the first", {})
    champion = registry.champion(FORECASTER)
    assert champion is not None
    assert champion.folder.is_relative_to(settings.artifacts_dir)


def test_a_database_that_exists_is_kept(folder: Path, settings: Settings) -> None:
    for file in files(settings).values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"mine")
    copy_missing(settings, folder)
    assert {file.read_bytes() for file in files(settings).values()} == {b"mine"}
    assert not airflow.is_migrated(settings)


@pytest.mark.parametrize("content", [None, "", json.dumps(dict.fromkeys(empty_databases.PACKAGES, "0.1"))])
def test_databases_of_other_versions_are_not_copied(
    folder: Path, settings: Settings, tmp_path: Path, content: str | None
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in (AIRFLOW, MLFLOW, STORE):
        (other / name).write_bytes((folder / name).read_bytes())
    if content is not None:
        (other / VERSIONS).write_text(content)
    copy_missing(settings, other)
    assert not any(file.exists() for file in files(settings).values())


def test_only_sqlite_files_are_copied(folder: Path, tmp_path: Path) -> None:
    server = "postgresql+psycopg://localhost/weatherglass"
    settings = make_settings(tmp_path / "state", database_url=server, registry_url=server)
    copy_missing(settings, folder)
    assert {file.name for file in settings.state_dir.iterdir()} == {airflow.home(settings).name}
