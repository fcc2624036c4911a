"""What the cluster's containers run beyond a plain command: `python -m weatherglass.launcher.cluster <role>`.

- `prepare`: makes the databases and their tables, then ends.
- `airflow <process>`: becomes one of Airflow's processes, configured as on one machine.
- `jobs`: the job host, with a node of the Ray cluster for the watcher of the inference actors.
- `pipeline`: sets the pipeline going through Airflow, as `make up` does, and ends when everything is green.

Settings and secrets come from the environment, which `docker-compose.yml` makes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from weatherglass.launcher import airflow
from weatherglass.settings import Settings, SettingsError, load_settings

AIRFLOW_LIMIT = 600.0
"""Seconds; a first start of all containers at once, on fewer cores than the cluster's, is slow and ends by itself."""
LOOK_SECONDS = 1.0


def prepare(settings: Settings, environment: Mapping[str, str]) -> None:
    """Make what is missing of databases and tables; at the end become Airflow's own migration."""
    from weatherglass.launcher.databases import make_database
    from weatherglass.store.migrate import migrate

    tables = airflow.options(settings) | dict(environment)
    for url in (tables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], settings.store_url, settings.mlflow_url):
        make_database(url)
    migrate(settings.store_url)
    os.execvpe("airflow", ["airflow", "db", "migrate"], tables)  # noqa: S606


def become_airflow(process: str, settings: Settings, environment: Mapping[str, str]) -> None:
    """Become the api-server, scheduler, dag-processor or triggerer."""
    home = Path(environment["AIRFLOW_HOME"])
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = airflow.options(settings)
    if password := environment.get("AIRFLOW_PASSWORD"):
        passwords = home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({airflow.USER: password}), encoding="utf-8")
        own["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(passwords)
    os.execvpe("airflow", ["airflow", *airflow.PROCESSES[process]], own | dict(environment))  # noqa: S606


def run_pipeline(settings: Settings, environment: Mapping[str, str]) -> int:
    """Open the DAGs in their order; 0 once everything is green."""
    from weatherglass.launcher.airflow_api import AirflowApi
    from weatherglass.launcher.console import Console
    from weatherglass.launcher.errors import PipelineError
    from weatherglass.launcher.pipeline import PipelineStart

    progress = Console()
    api = AirflowApi(airflow.url(settings), environment["AIRFLOW_PASSWORD"])
    try:
        wait(lambda: api.healthy() is None, AIRFLOW_LIMIT, lambda: f"Airflow: {api.healthy()}")
        green = PipelineStart(settings, settings.source, api, progress.say, wait).run()
    except (PipelineError, TimeoutError) as error:
        progress.say(f"the pipeline could not be set going: {error}")
        return 1
    progress.say("Weatherglass is up" if green else "Weatherglass is started, though not everything is green")
    return 0 if green else 1


def wait(done: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Wait until something is done; an Airflow that is just being started again is asked again.

    Raises:
        TimeoutError: it was not done in time; `what` names it.
    """
    import requests

    end = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except (requests.ConnectionError, requests.Timeout):
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"not there after {seconds:.0f} s: {what()}")
        time.sleep(LOOK_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m weatherglass.launcher.cluster", description="A container of the cluster."
    )
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("prepare", help="make databases and tables")
    roles.add_parser("airflow", help="one of Airflow's processes").add_argument("process", choices=airflow.PROCESSES)
    roles.add_parser("jobs", help="host the long-lived jobs")
    roles.add_parser("pipeline", help="set the pipeline going")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"a setting is wrong:\n{error}", file=sys.stderr)
        return 2
    if options.role == "prepare":
        prepare(settings, os.environ)
    elif options.role == "airflow":
        become_airflow(options.process, settings, os.environ)
    elif options.role == "pipeline":
        return run_pipeline(settings, os.environ)
    from weatherglass.launcher.job_container import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
