"""DAGs run whole, in an Airflow with a home and a database of its own, by `dag.test()` in a process of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from weatherglass.settings import PROJECT_ROOT, Settings

RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import timezone
dag_id, conf, before = sys.argv[1:]
exec(before)
dag = DagBag(f"dags/{dag_id}.py").dags[dag_id]
run = dag.test(logical_date=timezone.utcnow(), run_conf=json.loads(conf))
print("STATES", json.dumps({one.task_id: one.state for one in run.get_task_instances()}))
"""


class Airflow:
    """An Airflow whose tasks have these settings, and further variables of the environment."""

    def __init__(self, home: Path, settings: Settings):
        self._database = home / "airflow.db"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "WEATHERGLASS_"))},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        }
        self._do([sys.executable, "-m", "airflow", "db", "migrate"])

    def run(
        self, dag_id: str, conf: dict[str, Any] | None = None, before: str = "", **variables: str
    ) -> dict[str, str]:
        """One run; its tasks' states. `before` is executed first, to put something in an engine's place."""
        said = self._do([sys.executable, "-c", RUN, dag_id, json.dumps(conf or {}), before], variables)
        [line] = [line for line in said.splitlines() if line.startswith("STATES ")]
        states: dict[str, str] = json.loads(line.removeprefix("STATES "))
        return states

    def triggered(self, dag_id: str) -> list[Any]:
        """The runs of a DAG that others asked for."""
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute("SELECT run_id FROM dag_run WHERE dag_id = ?", (dag_id,)).fetchall()

    def _do(self, command: list[str], variables: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            env={**self._environment, **(variables or {})},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout
