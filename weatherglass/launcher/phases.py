"""The phases of `make up`, from top to bottom.

Modules that import pandas or SQLAlchemy take seconds to import. The phases import them while the servers start.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weatherglass.files import DamagedFileError
from weatherglass.launcher import airflow, environment, ports, ray_head, stopping
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.launcher.console import Console
from weatherglass.launcher.credentials import USER, Credentials
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.kafka import Broker, tail
from weatherglass.launcher.processes import Program, launched_processes
from weatherglass.launcher.supervisor import Supervisor
from weatherglass.net import accepts_connections
from weatherglass.settings import LOOPBACK, Settings, Source

if TYPE_CHECKING:
    from producer.sources import SourceChoice

SERVER_SECONDS = 300.0
"""Long, because all programs start at the same time, on a machine that may be busy; one that exits ends the wait."""
MODELS = "models"
"""The program that registers the shipped models."""


class Startup:
    """What the phases share. From `choose_source` on, `settings.source` is AUTO only if Open-Meteo responds."""

    def __init__(self, settings: Settings, console: Console, supervisor: Supervisor):
        self.settings = settings
        self.console = console
        self.log = console.log
        self.supervisor = supervisor
        self.credentials = Credentials(settings)
        self.bin = Path(sys.executable).parent
        self.broker = Broker(settings)
        self.source: Future[SourceChoice] | None = None
        self.environment: dict[str, str] = {}
        self.imports_models = False
        self.healthy = False

    @property
    def runs_kafka(self) -> bool:
        return not self.settings.kafka_bootstrap

    @property
    def runs_ray(self) -> bool:
        return not self.settings.ray_address

    @property
    def runs_replay(self) -> bool:
        return self.settings.source is Source.REPLAY

    @property
    def airflow_environment(self) -> dict[str, str]:
        return airflow.environment(self.settings, self.credentials, self.environment)

    def start_module(self, name: str, module: str) -> None:
        """Start `python -m module` as a supervised program."""
        self.supervisor.start(Program(name, [str(self.bin / "python"), "-m", module], self.environment))

    def wait_for_port(self, program: str, port: int, description: str, host: str = LOOPBACK) -> None:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.supervisor.wait(
            lambda: accepts_connections(address),
            SERVER_SECONDS,
            lambda: f"{description} on {address}",
            needs=(program,),
        )


def end_leftovers(startup: Startup) -> None:
    """End the processes of an earlier launcher that was killed."""
    if leftovers := launched_processes(startup.settings):
        startup.log(f"ending {len(leftovers)} processes that an earlier start left running")
        stopping.stop_everything(startup.settings, startup.log)


def check_files(startup: Startup) -> None:
    """Check the small files that programs would otherwise fail to read after everything is started."""
    startup.credentials.check()
    airflow.check_configuration(startup.settings)


def check_ports(startup: Startup) -> None:
    if problems := ports.problems(startup.settings):
        raise StartError("\n".join(problem.message for problem in problems))


def start_kafka(startup: Startup) -> None:
    if startup.runs_kafka:
        startup.log("starting Kafka")
        startup.broker.prepare()
        startup.supervisor.start(Program("kafka", startup.broker.command, startup.broker.environment))


def probe_sources(startup: Startup) -> None:
    """Check in the background which sources can be used; `choose_source` waits for the result."""

    def resolve() -> SourceChoice:
        from producer import sources

        return sources.resolve_source(startup.settings)

    executor = ThreadPoolExecutor(1, thread_name_prefix="choose-source")
    startup.source = executor.submit(resolve)
    executor.shutdown(wait=False)


def copy_empty_databases(startup: Startup) -> None:
    """At a first start, replace the migrations of Airflow and MLflow by copies."""
    from weatherglass.launcher.empty_databases import copy_missing

    copy_missing(startup.settings)


def migrate_store(startup: Startup) -> None:
    from weatherglass.store.migrate import migrate

    migrate(startup.settings.store_url)


def choose_source(startup: Startup) -> None:
    """Replace AUTO if Open-Meteo does not respond; all other programs get the source from their environment."""
    assert startup.source is not None
    choice = startup.source.result()
    startup.log(choice.description)
    startup.settings = startup.settings.model_copy(update={"source": choice.source})
    startup.environment = environment.shared_environment(startup.settings, startup.bin, startup.credentials)


def start_ray(startup: Startup) -> None:
    if startup.runs_ray:
        startup.log("starting Ray")
        ray_head.prepare(startup.settings)
        startup.supervisor.start(ray_head.program(startup.settings, startup.bin, startup.environment))


def start_replay(startup: Startup) -> None:
    if startup.runs_replay:
        startup.start_module("replay", "producer.replay")


def start_station_listener(startup: Startup) -> None:
    if startup.settings.station_listener_host:
        startup.start_module("station-listener", "weatherglass.api.station_listener")


def start_job_host(startup: Startup) -> None:
    startup.start_module("job-host", "weatherglass.jobs.host")


def start_import_of_models(startup: Startup) -> None:
    """Register the shipped models in the background, unless there are champions."""
    from weatherglass.registry.registry import Registry
    from weatherglass.registry.shipped import shipped_models

    settings = startup.settings
    try:
        models = shipped_models(settings, datetime.now(UTC))
    except DamagedFileError:  # reported when the history is prepared
        return
    registry = Registry(settings)
    if any(registry.champion(model.kind) is None for model in models):
        command = [str(startup.bin / "weatherglass"), "models", "import-shipped"]
        startup.supervisor.children.start(Program(MODELS, command, startup.environment))
        startup.imports_models = True


def migrate_airflow(startup: Startup) -> None:
    """Create or update Airflow's tables after a change of its version, or if there are none; this takes ten seconds."""
    if airflow.is_migrated(startup.settings):
        return
    startup.log("creating Airflow's tables")
    program = airflow.migration(startup.bin, startup.airflow_environment)
    if startup.supervisor.run_to_end(program) != 0:
        log = startup.supervisor.children.log(program.name)
        raise StartError(f"Airflow's tables could not be created; end of {log}:\n{tail(log)}")
    airflow.mark_migrated(startup.settings)


def start_airflow(startup: Startup) -> None:
    startup.log("starting Airflow")
    for program in airflow.programs(startup.bin, startup.airflow_environment):
        startup.supervisor.start(program)


def wait_for_kafka(startup: Startup) -> None:
    if startup.runs_kafka:
        children = startup.supervisor.children

        def alive() -> bool:
            startup.supervisor.check_stop()
            return children.alive("kafka")

        startup.broker.wait(alive, children.log("kafka"))
    startup.log(f"Kafka is up on {startup.settings.bootstrap_servers}")


def wait_for_replay(startup: Startup) -> None:
    if startup.runs_replay:
        startup.wait_for_port("replay", startup.settings.replay_port, "the replay server")


def wait_for_station_listener(startup: Startup) -> None:
    if host := startup.settings.station_listener_host:
        port = startup.settings.station_listener_port
        startup.wait_for_port("station-listener", port, "the listener for consoles", host)
        startup.log(f"The listener for consoles is up on {host} port {port}")


def wait_for_ray(startup: Startup) -> None:
    if startup.runs_ray:
        startup.wait_for_port("ray", startup.settings.ray_dashboard_port, "Ray's dashboard")
        startup.log(f"Ray is up on {startup.settings.ray_head}")


def wait_for_airflow(startup: Startup) -> None:
    api = _airflow_api(startup)
    startup.supervisor.wait(
        lambda: api.health_problem() is None,
        SERVER_SECONDS,
        lambda: f"Airflow: {api.health_problem()}",
        needs=airflow.PROCESSES,
    )
    startup.log(f"Airflow is up: {airflow.url(startup.settings)}")


def wait_for_models(startup: Startup) -> None:
    """Without the shipped models, the pipeline starts with the training of its own."""
    if not startup.imports_models:
        return
    children = startup.supervisor.children
    try:
        startup.supervisor.wait(lambda: not children.alive(MODELS), SERVER_SECONDS, lambda: "the shipped models")
    except TimeoutError as error:
        startup.log(str(error))
        children.kill_session(MODELS)
        return
    if children.exit_status(MODELS) == 0:
        startup.log("the shipped models are registered")
    else:
        log = children.log(MODELS)
        startup.log(f"the shipped models could not be registered; end of {log}:\n{tail(log)}")


def start_pipeline(startup: Startup) -> None:
    from weatherglass.launcher.pipeline import PipelineStart

    pipeline = PipelineStart(startup.settings, _airflow_api(startup), startup.log, startup.supervisor.wait)
    startup.healthy = pipeline.run()


def show_addresses(startup: Startup) -> None:
    from weatherglass.launcher.latest_forecast import describe_latest_forecast

    settings = startup.settings
    base = airflow.url(settings)
    startup.log("Weatherglass is up" if startup.healthy else "Weatherglass is up, but not all components are healthy")
    startup.console.write(f"""
  Airflow      {base}   login: {USER} / {startup.credentials.password}
  Dashboard    {base}/plugin/weatherglass
  API          {base}/weatherglass/docs
  Ray          {settings.ray_dashboard}   token: in {startup.credentials.ray_token_file}
  Spark        http://{LOOPBACK}:{settings.spark_ui_port}
  Logs         {startup.supervisor.children.logs}

  {describe_latest_forecast(settings) or "No forecast yet; the first one follows the next observation."}

  Show the state with `make status`. Stop with Ctrl-C here, or with `make down` in another terminal.
""")


def _airflow_api(startup: Startup) -> AirflowApi:
    return AirflowApi(airflow.url(startup.settings), startup.credentials.password)


PHASES: tuple[Callable[[Startup], None], ...] = (
    end_leftovers,
    check_files,
    check_ports,
    start_kafka,
    probe_sources,
    copy_empty_databases,
    migrate_store,
    choose_source,
    start_ray,
    start_replay,
    start_station_listener,
    start_job_host,
    start_import_of_models,
    migrate_airflow,
    start_airflow,
    wait_for_kafka,
    wait_for_replay,
    wait_for_station_listener,
    wait_for_ray,
    wait_for_airflow,
    wait_for_models,
    start_pipeline,
    show_addresses,
)
