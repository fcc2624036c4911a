"""Entry point of the cluster's containers: `python -m weatherglass.launcher.cluster <role>`.

- `prepare`: creates the databases, their tables and the administrator of Airflow, registers the shipped models, then
  ends.
- `airflow <process>`: one of Airflow's processes, configured as on one machine.
- `jobs`: the job host, with a node of the Ray cluster for the supervisor of the inference actors.
- `pipeline`: starts the pipeline through Airflow, as `make up` does, and ends when all components are healthy.

Settings and secrets come from the environment that `docker-compose.yml` defines.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from weatherglass.launcher import airflow
from weatherglass.launcher.credentials import password_problem
from weatherglass.settings import Settings, load_settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import StationsError, known_stations

AIRFLOW_SECONDS = 600.0
"""Long, because the first start of all containers at once is slow on few cores."""

IMPORT_MODELS = [sys.executable, "-m", "weatherglass.cli.main", "models", "import-shipped"]


def airflow_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of Airflow's processes; `environment` takes precedence over the defaults."""
    options = airflow.options(settings) | airflow.cluster_options(environment.get("AIRFLOW__API__BASE_URL", ""))
    return options | dict(environment)


def prepare(settings: Settings, environment: Mapping[str, str]) -> None:
    """Create missing databases and tables, and register the shipped models.

    At the end, a process that prepares Airflow's users replaces this one.
    """
    from weatherglass.launcher.databases import create_database
    from weatherglass.store.migrate import migrate

    if problem := password_problem(environment.get("AIRFLOW_PASSWORD", "")):
        sys.exit(f"AIRFLOW_PASSWORD {problem}; make cluster-env generates one")
    tables = airflow_environment(settings, environment)
    for url in (tables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], settings.store_url, settings.mlflow_url):
        create_database(url)
    migrate(settings.store_url)
    subprocess.run(IMPORT_MODELS, env=tables, check=False)  # if it fails, the pipeline starts with a training
    if status := subprocess.run(["airflow", "db", "migrate"], env=tables, check=False).returncode:
        sys.exit(f"Airflow's tables could not be created: exit status {status}, see above")
    os.execvpe(sys.executable, [sys.executable, "-m", "plugins.auth.users"], tables)  # noqa: S606


def exec_airflow(process: str, settings: Settings, environment: Mapping[str, str]) -> None:
    """Replace this process by the api-server, scheduler, dag-processor or triggerer."""
    Path(environment["AIRFLOW_HOME"]).mkdir(parents=True, exist_ok=True, mode=0o700)
    arguments = airflow.arguments(process, environment.get("AIRFLOW__API__BASE_URL", ""))
    os.execvpe("airflow", ["airflow", *arguments], airflow_environment(settings, environment))  # noqa: S606


def run_pipeline(settings: Settings, environment: Mapping[str, str]) -> int:
    """Start the DAGs in order; the exit status is 0 when all components are healthy."""
    from weatherglass.launcher.airflow_api import AirflowApi
    from weatherglass.launcher.console import Console
    from weatherglass.launcher.errors import PipelineError
    from weatherglass.launcher.pipeline import PipelineStart
    from weatherglass.launcher.wait import wait_for

    console = Console()
    api = AirflowApi(airflow.url(settings), environment["AIRFLOW_PASSWORD"])
    try:
        wait_for(lambda: api.health_problem() is None, AIRFLOW_SECONDS, lambda: f"Airflow: {api.health_problem()}")
        healthy = PipelineStart(settings, api, console.log, wait_for).run()
    except (PipelineError, TimeoutError) as error:
        console.log(f"the pipeline could not be started: {error}")
        return 1
    console.log("Weatherglass is up" if healthy else "Weatherglass is up, but not all components are healthy")
    return 0 if healthy else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m weatherglass.launcher.cluster", description="Runs one container of the cluster."
    )
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("prepare", help="create databases and tables")
    roles.add_parser("airflow", help="one of Airflow's processes").add_argument("process", choices=airflow.PROCESSES)
    roles.add_parser("jobs", help="host the long-lived jobs")
    roles.add_parser("pipeline", help="start the pipeline")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        known_stations(settings)
    except SettingsError as error:
        print(f"Invalid settings:\n{error}", file=sys.stderr)
        return 2
    except StationsError as error:
        print(error, file=sys.stderr)
        return 2
    if options.role == "prepare":
        prepare(settings, os.environ)
    elif options.role == "airflow":
        exec_airflow(options.process, settings, os.environ)
    elif options.role == "pipeline":
        return run_pipeline(settings, os.environ)
    from weatherglass.launcher.job_container import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
