"""Complete runs of DAGs by `dag.test()`, in a subprocess with its own Airflow home and database."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from plugins.run_notes import SUMMARY_KEY
from weatherglass.settings import PROJECT_ROOT, Settings

RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import timezone
dag_id, conf, setup = sys.argv[1:]
exec(setup)
dag = DagBag(f"dags/{dag_id}.py").dags[dag_id]
run = dag.test(logical_date=timezone.utcnow(), run_conf=json.loads(conf))
print("STATES", json.dumps({task.task_id: task.state for task in run.get_task_instances()}))
"""


class DagRunner:
    """Runs DAGs with these settings, and optionally further environment variables."""

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
        self._execute([sys.executable, "-m", "airflow", "db", "migrate"])

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, setup: str = "", **variables: str) -> dict[str, str]:
        """Run a DAG once and return the states of its tasks.

        Args:
            conf: values of the DAG's parameters.
            setup: Python code executed before, for example to replace an engine.
            variables: environment variables.
        """
        output = self._execute([sys.executable, "-c", RUN, dag_id, json.dumps(conf or {}), setup], variables)
        (line,) = [line for line in output.splitlines() if line.startswith("STATES ")]
        states: dict[str, str] = json.loads(line.removeprefix("STATES "))
        return states

    def triggered_runs(self, dag_id: str) -> list[Any]:
        """The runs of a DAG that another DAG has triggered."""
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute("SELECT run_id FROM dag_run WHERE dag_id = ?", (dag_id,)).fetchall()

    def summaries(self, dag_id: str) -> list[str]:
        """What the tasks of a DAG gave to the notes of its runs, oldest first."""
        query = "SELECT value FROM xcom WHERE key = ? AND dag_id = ? ORDER BY timestamp"
        with closing(sqlite3.connect(self._database)) as connection:
            return [json.loads(value) for (value,) in connection.execute(query, (SUMMARY_KEY, dag_id))]

    def _execute(self, command: list[str], variables: dict[str, str] | None = None) -> str:
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
