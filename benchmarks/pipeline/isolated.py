"""A pipeline of its own on the broker and Ray head in use: own topics, groups, actors, jobs, checkpoint and store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from benchmarks.pipeline.scenarios import Load
from benchmarks.ports import free_ports
from producer.topic_bootstrap import bootstrap_topics
from spark_jobs.spark_conf import environment as spark_environment
from spark_jobs.spark_conf import stream_conf, submit_command
from weatherglass.files import write_atomically
from weatherglass.jobs.folder import HOST_LOCK, JobFolder, StartRequest, is_locked
from weatherglass.settings import PROJECT_ROOT, Settings, Source
from weatherglass.settings_errors import variable
from weatherglass.store.migrate import migrate
from weatherglass.waiting import wait_until

PREFIX = "benchmark-"
FOLDER = "benchmarks"
"""Folder in the state folder: results, and in `running` the state of isolated pipelines."""
HOST = "benchmarks.pipeline.host"
ENVIRONMENT_FILE = "environment.json"
HOST_SECONDS = 30.0
REMOVE_SECONDS = 180.0

SINK, FEATURES, SERVE, SIMULATE = "store_predictions", "stream_features", "serve_predictions", "simulate_observations"
JOBS = (SINK, FEATURES, SERVE, SIMULATE)
"""In the order in which they are started."""
MODULES = {SINK: "weatherglass.sink", SERVE: "ray_jobs.serve_predictions", SIMULATE: "producer.simulation"}
"""The modules of the jobs that `spark-submit` does not start; each has its job folder as the only argument."""

SHARED = {
    *("build_dir", "ray_address", "spark_master", "spark_memory_mb", "spark_trigger_seconds"),
    *(name for name in Settings.model_fields if name.startswith("kafka_")),
    *(name for name in Settings.model_fields if name.endswith("_port")),  # default ports may be equal to its others
}
"""Settings that an isolated pipeline shares with the installation."""

Log = Callable[[str], None]


class PipelineFailed(RuntimeError):
    """An isolated pipeline could not be started, a job of it ended, or it could not be removed."""


def running_folder(settings: Settings) -> Path:
    """Where the isolated pipelines of an installation have their state."""
    return settings.state_dir / FOLDER / "running"


def isolated_settings(settings: Settings, name: str, load: Load) -> Settings:
    """The settings of an isolated pipeline: what it shares with the installation, and otherwise the defaults."""
    values = {field: about.get_default() for field, about in Settings.model_fields.items()}
    own = {
        "state_dir": running_folder(settings).resolve() / name,
        "topic_prefix": f"{PREFIX}{name}-",
        "kafka_bootstrap": settings.bootstrap_servers,
        "registry_url": settings.mlflow_url,
        "spark_ui_port": free_ports(1)[0],
        "source": Source.SIMULATE,
        "simulate_stations": load.stations,
        "simulate_rate": load.rate,
        "spark_cores": load.workers,
        "inference_actors": load.workers,
    }
    return Settings(**(values | settings.model_dump(include=SHARED) | own))


def isolated_environment(isolated: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings and no others."""
    changed = [name for name, about in Settings.model_fields.items() if getattr(isolated, name) != about.get_default()]
    explicit = isolated.model_dump(include=set(changed), mode="json")
    others = {name: value for name, value in environment.items() if not name.startswith("WEATHERGLASS_")}
    return others | {variable(name): str(value) for name, value in explicit.items()}


class IsolatedPipeline:
    """A running isolated pipeline; `settings` are its own."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.folders = {name: JobFolder(settings.jobs_dir / name) for name in JOBS}

    def start(self, log: Log) -> None:
        """Create topics and store, and request the start of all jobs."""
        bootstrap_topics(self.settings, lambda _: None)
        migrate(self.settings.store_url)
        for name, folder in self.folders.items():
            folder.request_start(self._request(name, folder))
        if not wait_until(lambda: all(folder.process.exists() for folder in self.folders.values()), HOST_SECONDS):
            raise PipelineFailed("the job host did not start all jobs")
        log(f"Started {', '.join(JOBS)} with the prefix {self.settings.topic_prefix}")

    def _request(self, name: str, folder: JobFolder) -> StartRequest:
        if name == FEATURES:
            script = PROJECT_ROOT / "spark_jobs" / "stream_features.py"
            argv = submit_command(stream_conf(self.settings), script, str(folder.path))
            return StartRequest(argv, spark_environment(self.settings))
        return StartRequest([sys.executable, "-m", MODULES[name], str(folder.path)])

    def check(self) -> None:
        """Raise PipelineFailed if a job has ended."""
        for name, folder in self.folders.items():
            if folder.process.exists() and not folder.alive():
                tail = folder.log.read_text(encoding="utf-8", errors="replace")[-2000:] if folder.log.exists() else ""
                raise PipelineFailed(f"{name} ended: {folder.outcome().reason}\n{tail}")


@contextmanager
def isolated_pipeline(settings: Settings, load: Load, log: Log) -> Iterator[IsolatedPipeline]:
    """Start an isolated pipeline, and remove it afterwards; its host also removes it if this process is killed.

    Raises:
        PipelineFailed: it could not be started, or could not be removed completely.
    """
    isolated = isolated_settings(settings, uuid4().hex[:8], load)
    isolated.state_dir.mkdir(parents=True)
    settings.artifacts_dir.mkdir(exist_ok=True)
    isolated.artifacts_dir.symlink_to(settings.artifacts_dir.resolve())
    environment = isolated_environment(isolated, os.environ)
    own = {name: value for name, value in environment.items() if name.startswith("WEATHERGLASS_")}
    write_atomically(isolated.state_dir / ENVIRONMENT_FILE, json.dumps(own), private=True)  # URLs contain passwords
    host = _start_host(isolated.state_dir, environment)
    try:
        if not wait_until(lambda: is_locked(isolated.jobs_dir / HOST_LOCK), HOST_SECONDS):
            raise PipelineFailed("the job host did not start")
        pipeline = IsolatedPipeline(isolated)
        pipeline.start(log)
        yield pipeline
    finally:
        _end_host(host, isolated.state_dir)
    log(f"Removed topics, groups, actors, jobs and store with the prefix {isolated.topic_prefix}")


def remove_leftovers(settings: Settings, log: Log) -> None:
    """Remove the isolated pipelines of earlier runs. No other run may be active.

    Their hosts were killed as well, for example by a power cut, or could not reach the broker.
    """
    for folder in sorted(running_folder(settings).glob("*")):
        try:
            _remove_leftover(settings, folder)
            log(f"Removed what an earlier run left: {folder.name}")
        except (PipelineFailed, OSError, ValueError) as error:
            log(f"WARNING: {folder} was left by an earlier run and could not be removed: {error}")


def _remove_leftover(settings: Settings, folder: Path) -> None:
    wait_until(lambda: not is_locked(folder / "jobs" / HOST_LOCK), REMOVE_SECONDS)  # its host may be about to remove it
    file = folder / ENVIRONMENT_FILE
    if not file.exists():  # it precedes everything that has to be ended
        shutil.rmtree(folder, ignore_errors=True)
        return
    others = {name: value for name, value in os.environ.items() if not name.startswith("WEATHERGLASS_")}
    now = {"kafka_bootstrap": settings.bootstrap_servers, **settings.model_dump(include={"ray_address", "ray_port"})}
    addresses = {variable(name): str(value) for name, value in now.items()}  # those of then may be out of date
    _end_host(_start_host(folder, others | json.loads(file.read_text(encoding="utf-8")) | addresses), folder)


def _start_host(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (folder.parent.parent / "host.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", HOST],
            cwd=PROJECT_ROOT,
            env={**environment, "PYTHONPATH": str(PROJECT_ROOT), "PYSPARK_PYTHON": sys.executable},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end_host(host: subprocess.Popen[bytes], folder: Path) -> None:
    assert host.stdin
    host.stdin.close()
    try:
        code = host.wait(REMOVE_SECONDS)
    except subprocess.TimeoutExpired:
        raise PipelineFailed(f"{folder} is not removed after {REMOVE_SECONDS:g} s; see host.log there") from None
    if code or folder.exists():
        raise PipelineFailed(f"{folder} could not be removed completely; see {folder.parent.parent / 'host.log'}")
