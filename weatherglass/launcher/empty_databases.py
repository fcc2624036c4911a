"""Empty databases with all tables, which `make setup` creates once and the first start copies.

    python -m weatherglass.launcher.empty_databases FOLDER

Airflow and MLflow create their tables by migrations, which would take many seconds of each first start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile

from weatherglass.files import DamagedFileError, read_json, replacing, write_atomically
from weatherglass.launcher import airflow
from weatherglass.settings import PROJECT_ROOT, Settings, load_settings

FOLDER = PROJECT_ROOT / "build" / "databases"
AIRFLOW, MLFLOW, STORE = "airflow.db", "mlflow.db", "store.db"
VERSIONS = "versions.json"
PACKAGES = ("apache-airflow", "mlflow")
"""Only their present versions can use the databases; the store is migrated at each start."""


def create(folder: Path, settings: Settings) -> None:
    """Create the databases in a folder, replacing earlier ones.

    Raises:
        CalledProcessError: Airflow's tables could not be created.
    """
    from weatherglass.registry.registry import create_tables
    from weatherglass.store.migrate import migrate

    with tempfile.TemporaryDirectory() as scratch:
        new = Path(scratch)
        migrate(f"sqlite:///{new / STORE}")
        create_tables(f"sqlite:///{new / MLFLOW}")
        own = {"AIRFLOW_HOME": scratch, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new / AIRFLOW}"}
        program = airflow.migration(Path(sys.executable).parent, {**os.environ, **airflow.options(settings), **own})
        subprocess.run(program.argv, env=program.environment, check=True, capture_output=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERSIONS).unlink(missing_ok=True)
        for name in (AIRFLOW, MLFLOW, STORE):
            copyfile(new / name, folder / name)
    write_atomically(folder / VERSIONS, json.dumps(_versions()))


def copy_missing(settings: Settings, folder: Path = FOLDER) -> None:
    """Copy each database that the state folder lacks; nothing without databases of the installed versions."""
    try:
        if read_json(folder / VERSIONS, dict, "") != _versions():
            return
    except (FileNotFoundError, DamagedFileError):
        return
    for name, target in _targets(settings):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                copyfile(folder / name, temporary)
            if name == AIRFLOW:
                airflow.mark_migrated(settings)


def _targets(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Name and place of the databases that are SQLite files."""
    from weatherglass.store.engine import sqlite_file

    yield AIRFLOW, airflow.database(settings)
    for name, url in ((MLFLOW, settings.mlflow_url), (STORE, settings.store_url)):
        if file := sqlite_file(url):
            yield name, file


def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


if __name__ == "__main__":
    create(Path(sys.argv[1]), load_settings())
