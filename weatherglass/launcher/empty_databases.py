"""Empty databases of Airflow and MLflow with all tables, which `make setup` creates and the first start copies.

    python -m weatherglass.launcher.empty_databases FOLDER

Airflow and MLflow create their tables by migrations, which would take many seconds of each first start. Without these
copies, they do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile
from typing import Any

from weatherglass.files import DamagedFileError, file_digest, read_json, replacing, sync, write_atomically
from weatherglass.launcher import airflow
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store.engine import sqlite_file

FOLDER = PROJECT_ROOT / "build" / "databases"
AIRFLOW, MLFLOW = "airflow.db", "mlflow.db"
VERSIONS = "versions.json"
"""The versions of the packages and the SHA-256 of the databases; written last."""
PACKAGES = ("apache-airflow", "mlflow")
JOURNALS = ("-wal", "-shm", "-journal")
"""Files next to a SQLite database. What is left of a database that was removed must not be applied to another one."""


def create(folder: Path) -> None:
    """Create the databases in a folder, replacing earlier ones.

    Raises:
        CalledProcessError: Airflow's tables could not be created.
    """
    from weatherglass.registry.registry import create_tables

    with tempfile.TemporaryDirectory() as scratch:
        new = Path(scratch)
        create_tables(f"sqlite:///{new / MLFLOW}")
        own = {"AIRFLOW_HOME": scratch, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new / AIRFLOW}"}
        program = airflow.migration(Path(sys.executable).parent, {**os.environ, **own})
        subprocess.run(program.argv, env=program.environment, check=True, capture_output=True, text=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERSIONS).unlink(missing_ok=True)
        for name in (AIRFLOW, MLFLOW):
            copyfile(new / name, folder / name)
            sync(folder / name)
    digests = {name: file_digest(folder / name) for name in (AIRFLOW, MLFLOW)}
    write_atomically(folder / VERSIONS, json.dumps({"packages": _packages(), "databases": digests}))


def copy_missing(settings: Settings, folder: Path = FOLDER) -> None:
    """Copy each database that the state folder lacks, if the copy is undamaged and of the installed versions."""
    try:
        content: dict[str, Any] = read_json(folder / VERSIONS, dict, "")
    except (FileNotFoundError, DamagedFileError):
        return
    if content.get("packages") != _packages():
        return
    targets = {AIRFLOW: airflow.database(settings), MLFLOW: sqlite_file(settings.mlflow_url)}
    for name, target in targets.items():
        source = folder / name
        if target is None or _exists(target) or not source.exists():
            continue
        if content["databases"][name] == file_digest(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                copyfile(source, temporary)
            if name == AIRFLOW:
                airflow.mark_migrated(settings)


def _exists(database: Path) -> bool:
    return any(database.with_name(database.name + suffix).exists() for suffix in ("", *JOURNALS))


def _packages() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


def main(folder: Path) -> None:
    """Create the databases. A failure is only reported, because they are not needed."""
    try:
        create(folder)
    except (subprocess.CalledProcessError, OSError) as error:
        output = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        print(f"{output or ''}{error}\nThe first start will create the tables instead.", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
