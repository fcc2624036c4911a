"""How the launcher runs Airflow: four processes, SQLite, one API worker, everything on loopback."""

from __future__ import annotations

import configparser
import json
from importlib.metadata import version
from pathlib import Path

from weatherglass.files import DamagedFileError, write_atomically
from weatherglass.launcher.credentials import USER, Credentials
from weatherglass.launcher.processes import Program
from weatherglass.settings import LOOPBACK, PROJECT_ROOT, Settings

PROCESSES = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Arguments of the command `airflow` for each process."""

MIGRATION = "airflow-migration"
TASK_SLOTS = 3
"""Each is a process of 160 MB: one for a heavy task, one for ingestion, one for tasks that start long-lived jobs."""
DAG_REFRESH_SECONDS = 60

Options = dict[tuple[str, str], object]
"""Airflow's options by section and name."""


def home(settings: Settings) -> Path:
    return settings.state_dir / "airflow"


def database(settings: Settings) -> Path:
    return home(settings) / "airflow.db"


def has_tables(settings: Settings) -> bool:
    """Whether the database exists and is not empty."""
    return database(settings).exists() and database(settings).stat().st_size > 0


def is_migrated(settings: Settings) -> bool:
    """Whether the tables are those of the installed version."""
    file = _version_file(settings)
    return has_tables(settings) and file.exists() and file.read_bytes() == version("apache-airflow").encode()


def mark_migrated(settings: Settings) -> None:
    """Record that the tables are those of the installed version."""
    write_atomically(_version_file(settings), version("apache-airflow"))


def _version_file(settings: Settings) -> Path:
    return home(settings) / "migrated"


def url(settings: Settings) -> str:
    return f"http://{settings.airflow_host}:{settings.airflow_port}"


def check_configuration(settings: Settings) -> None:
    """Check `airflow.cfg`, which Airflow creates at its first start.

    An empty or shortened one is harmless: every option that Weatherglass needs is in the environment.

    Raises:
        DamagedFileError: Airflow could not parse the file.
    """
    file = home(settings) / "airflow.cfg"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        finding = f"Airflow cannot parse it ({type(error).__name__})"
        remedy = "Remove it: Airflow creates it again, and Weatherglass sets its options in the environment"
        raise DamagedFileError(file, finding, remedy) from error


def environment(settings: Settings, credentials: Credentials, common: dict[str, str]) -> dict[str, str]:
    """The environment of Airflow's processes and, through them, of their tasks."""
    own = {
        # Four processes share one file: on a busy machine a writer waits longer than the default of five seconds.
        ("database", "sql_alchemy_conn"): f"sqlite:///{database(settings)}?timeout=15",
        ("core", "simple_auth_manager_users"): f"{USER}:admin",
        ("core", "simple_auth_manager_passwords_file"): credentials.passwords_file,
        ("core", "fernet_key"): credentials.key("airflow_fernet_key"),
        ("api", "host"): LOOPBACK,
        ("api", "base_url"): url(settings),
        ("api", "secret_key"): credentials.key("airflow_secret_key"),
        ("api_auth", "jwt_secret"): credentials.key("airflow_jwt_secret"),
    }
    return {**common, **options(settings), **_variables(own), "AIRFLOW_HOME": str(home(settings))}


def options(settings: Settings) -> dict[str, str]:
    """Options for one machine and for the cluster, as environment variables; no address to listen on, no secrets."""
    spark = {
        "conn_type": "spark",
        "host": settings.spark_master or f"local[{settings.spark_cores}]",
        "extra": {"spark-binary": "spark-submit", "deploy-mode": "client"},
    }
    values: Options = {
        ("core", "dags_folder"): PROJECT_ROOT / "dags",
        ("core", "plugins_folder"): PROJECT_ROOT / "plugins",
        ("core", "load_examples"): False,
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): TASK_SLOTS,
        # The launcher unpauses them in the order of the pipeline.
        ("core", "dags_are_paused_at_creation"): True,
        ("core", "execution_api_server_url"): f"{url(settings)}/execution/",
        ("api", "port"): settings.airflow_port,
        ("api", "workers"): 1,
        ("logging", "colored_console_log"): False,
        # Kafka's client logs every connection, which would fill the task logs.
        ("logging", "namespace_levels"): "kafka=WARNING",
        # A task whose process ended with the last stop is retried after 90 s instead of five minutes.
        ("scheduler", "task_instance_heartbeat_timeout"): 90,
        # The same for tasks of a dead scheduler. The first check, at the start of the next scheduler, may come before
        # the old one counts as dead; by default the second check would come five minutes later.
        ("scheduler", "orphaned_tasks_check_interval"): 30,
        ("dag_processor", "refresh_interval"): DAG_REFRESH_SECONDS,
        ("dag_processor", "min_file_process_interval"): DAG_REFRESH_SECONDS,
        ("dag_processor", "stale_dag_threshold"): 3 * DAG_REFRESH_SECONDS,
    }
    return {**_variables(values), "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(spark)}


def cluster_options(base_url: str) -> dict[str, str]:
    """Options of the cluster's auth manager, as environment variables; `docker-compose.yml` selects it.

    Args:
        base_url: the address that browsers use; cookies are `Secure` if it starts with `https`.
    """
    return _variables(
        {
            # As in the standalone API: a session ends after a day without a request, and after a week.
            ("fab", "session_lifetime_minutes"): 24 * 60,
            ("fab", "session_max_lifetime_minutes"): 7 * 24 * 60,
            # The plugin limits failed logins for all pages. FAB's own limit also counts successful ones.
            ("fab", "auth_rate_limited"): False,
            ("fab", "cookie_secure"): base_url.startswith("https://"),
        }
    )


def arguments(process: str, base_url: str) -> list[str]:
    """Arguments of the command `airflow` for a process in the cluster."""
    # Behind a proxy with TLS, only the proxy knows the scheme and the address of the client.
    behind_proxy = process == "api-server" and base_url.startswith("https://")
    return [*PROCESSES[process], *(["--proxy-headers"] if behind_proxy else [])]


def _variables(values: Options) -> dict[str, str]:
    return {f"AIRFLOW__{section}__{option}".upper(): str(value) for (section, option), value in values.items()}


def programs(bin_folder: Path, environment: dict[str, str]) -> list[Program]:
    return [
        Program(name, [str(bin_folder / "airflow"), *arguments], environment) for name, arguments in PROCESSES.items()
    ]


def migration(bin_folder: Path, environment: dict[str, str]) -> Program:
    """Creates or updates Airflow's tables; ends by itself."""
    return Program(MIGRATION, [str(bin_folder / "airflow"), "db", "migrate"], environment)
