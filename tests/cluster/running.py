"""The cluster as a user starts it, with its own names, ports, secrets and volumes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests import waiting
from tests.conftest import free_ports
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.records import iso
from weatherglass.settings import LOOPBACK, PROJECT_ROOT

HERE = Path(__file__).parent
START_TIMEOUT = 1500.0
PIPELINE_ATTEMPTS = 3
"""The first may fail on a slow machine. More do not help, and end only after the timeout of a test."""
EVENT_TIMEOUT = 600.0
"""Seconds, generous for a busy machine. Durations are printed, not asserted."""
PROBE_ATTEMPTS = 5
"""A poll of the replay sometimes happens between reading its time and publishing the probes, but not repeatedly."""
PROBE_STATIONS = ("probe-1", "probe-4", "probe-6")
"""Stations on three partitions; those of the replay are also on the fourth. No model has seen them: with more of them
than stations of the replay, the pipeline would correctly be degraded."""
PORT_VARIABLES = (
    *("AIRFLOW_PORT", "SPARK_MASTER_PORT", "SPARK_UI_PORT", "RAY_DASHBOARD_PORT", "API_PORT"),
    *("PROMETHEUS_PORT", "ALERTMANAGER_PORT"),
)


until = partial(waiting.until, limit=EVENT_TIMEOUT, interval=1)


@dataclass(frozen=True)
class Record:
    """A record of a topic, like `kafka.consumer.fetcher.ConsumerRecord`; `timestamp` in ms since 1970."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Cluster:
    """A Compose project. `overlays` are additional Compose files; `environment` overrides values of .env."""

    def __init__(self, name: str, folder: Path, engine: Mapping[str, str], overlays: tuple[str, ...] = ()):
        self.name = name
        self.env_file = folder / f"{name}.env"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("WEATHERGLASS_")},
            **engine,
            "COMPOSE_PROJECT_NAME": name,
            "WEATHERGLASS_SOURCE": "replay",
            "POSTGRES_IMAGE": "weatherglass-postgres",
            "PROMETHEUS_IMAGE": "weatherglass-prometheus",
            "ALERTMANAGER_IMAGE": "weatherglass-alertmanager",
            "WEATHERGLASS_TRAIN_FULL_MODEL": "false",
        }
        self.files = ["docker-compose.yml", *overlays]
        self._kafka_shell: subprocess.Popen[str] | None = None
        self._make_env()
        lines = self.env_file.read_text(encoding="utf-8").splitlines()
        self.secrets = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        self.ports = {name: int(self.secrets.pop(name)) for name in PORT_VARIABLES}

    def _make_env(self) -> None:
        """Create the file .env as a user does, and add free ports; an existing file is kept."""
        command = [PROJECT_ROOT / "docker" / "make-env", self.env_file]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        if PORT_VARIABLES[0] in self.env_file.read_text(encoding="utf-8"):
            return
        with self.env_file.open("a", encoding="utf-8") as file:
            file.writelines(
                f"{name}={port}\n" for name, port in zip(PORT_VARIABLES, free_ports(len(PORT_VARIABLES)), strict=True)
            )

    # --- Docker

    def compose(self, *words: str) -> str:
        """Run `docker compose …` and return its output."""
        files = [word for file in self.files for word in ("--file", file)]
        return self._run(["docker", "compose", "--env-file", str(self.env_file), *files, *words])

    def docker(self, *words: str) -> str:
        return self._run(["docker", *words])

    def _run(self, command: list[str], **more: str) -> str:
        done = subprocess.run(
            command,
            cwd=PROJECT_ROOT,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    def build(self) -> None:
        self.compose("--file", "docker/certificates.yml", "build", "--quiet")

    def up(self, *services: str) -> None:
        """Start services, all without arguments, and then wait until the pipeline is started.

        `up` of Compose fails if a container that others wait for exits once; the next call continues.
        """
        until("the containers to start", lambda: self._up(*services), limit=START_TIMEOUT)
        if not services:
            self.wait_for_pipeline()

    def _up(self, *services: str) -> bool:
        try:
            self.compose("up", "--detach", *services)
        except AssertionError as error:
            print(error, file=sys.stderr)
            return False
        return True

    def wait_for_pipeline(self) -> None:
        """Wait until the container `pipeline` has exited with 0."""

        def succeeded() -> bool:
            pipeline = self.inspect("pipeline")[0]
            state = pipeline["State"]
            assert pipeline["RestartCount"] < PIPELINE_ATTEMPTS
            return state["Status"] == "exited" and state["ExitCode"] == 0

        try:
            until("the start of the pipeline", succeeded, limit=2 * START_TIMEOUT)
        except AssertionError:
            print(self.compose("logs", "--tail", "60", "pipeline", "jobs"), file=sys.stderr)
            raise

    def down(self, *options: str) -> None:
        self.compose("--profile", "*", "down", *options)

    def run_documented_commands(self, heading: str, backup: Path) -> None:
        """Run the commands that docs/deployment.md gives below a bold heading."""
        page = (PROJECT_ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
        commands = page.partition(f"**{heading}.**")[2].partition("\n\n    ")[2].partition("\n\n")[0]
        assert commands, heading
        script = ["bash", "-euo", "pipefail", "-c", commands]
        self._run(script, COMPOSE_ENV_FILES=str(self.env_file), BACKUP=str(backup))

    def containers(self, *services: str) -> list[str]:
        """Names of the containers of the services, running or not; without arguments of all services.

        Uses the engine, which takes a tenth of the time of Compose.
        """
        columns = ("--format", '{{.Label "com.docker.compose.service"}} {{.Names}}')
        listed = self.docker("ps", "--all", "--filter", f"label=com.docker.compose.project={self.name}", *columns)
        rows = [line.split() for line in listed.splitlines()]
        return sorted(name for service, name in rows if not services or service in services)

    def inspect(self, *services: str) -> list[dict[str, Any]]:
        """`docker inspect` of each container of the services; without arguments of all services."""
        names = self.containers(*services)
        return list(json.loads(self.docker("inspect", *names))) if names else []

    def kill(self, container: str) -> None:
        """End a container with SIGKILL and wait for its exit."""
        self.docker("kill", "--signal", "KILL", container)
        self.docker("wait", container)

    def start(self, container: str) -> None:
        self.docker("start", container)

    # --- HTTP

    def get(self, port: str, path: str, token: str = "", headers: Mapping[str, str] | None = None) -> requests.Response:
        headers = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return requests.get(f"http://{LOOPBACK}:{self.ports[port]}{path}", headers=headers, timeout=60)

    def api(self, path: str) -> Any:
        """The JSON at a path of the API; None if the API is not available or returns an error."""
        try:
            response = self.get("API_PORT", path, self.secrets["WEATHERGLASS_API_TOKEN"])
        except requests.RequestException:
            return None
        return response.json() if response.ok else None

    def spark(self) -> dict[str, Any]:
        """Workers and applications according to the Spark master."""
        return dict(self.get("SPARK_MASTER_PORT", "/json/").json())

    def ray(self, resource: str) -> list[dict[str, Any]]:
        """`nodes`, `actors`, … according to Ray's state API."""
        path = f"/api/v0/{resource}?detail=1&limit=200"
        response = self.get("RAY_DASHBOARD_PORT", path, self.secrets["RAY_AUTH_TOKEN"])
        response.raise_for_status()
        return list(response.json()["data"]["result"]["result"])

    def airflow(self) -> AirflowApi:
        """Airflow's REST API, logged in."""
        return AirflowApi(f"http://{LOOPBACK}:{self.ports['AIRFLOW_PORT']}", self.secrets["AIRFLOW_PASSWORD"])

    # --- Kafka, from a separate container, which no test stops

    def kafka(self, *command: Any) -> Any:
        """Run a command of `kafka_shell.py` in the network of the cluster and return its result."""
        shell = self._kafka_shell = self._kafka_shell or self._start_kafka_shell()
        assert shell.stdin
        assert shell.stdout
        try:
            shell.stdin.write(json.dumps(command) + "\n")
            shell.stdin.flush()
            result = shell.stdout.readline()
            assert result, f"no result of {command[0]}; the reason is on stderr"
        except BaseException:
            self.close_kafka_shell()  # a pending result would be taken for that of the next command
            raise
        return json.loads(result)

    def _start_kafka_shell(self) -> subprocess.Popen[str]:
        options = (
            *("--name", f"{self.name}-kafka-shell", "--network", f"{self.name}_kafka"),
            *("--volume", f"{HERE / 'kafka_shell.py'}:/kafka_shell.py:ro", "--log-driver", "none"),
        )
        return subprocess.Popen(
            ["docker", "run", "--rm", "--init", "--interactive", *options, "weatherglass", "python", "/kafka_shell.py"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close_kafka_shell(self) -> None:
        """Remove the container of `kafka`, which uses the network of the cluster."""
        if self._kafka_shell is not None:
            self.docker("rm", "--force", f"{self.name}-kafka-shell")
            self._kafka_shell.communicate()
            self._kafka_shell = None

    def records(self, topic: str) -> list[Record]:
        """All committed records of a topic up to its present end."""

        def raw(text: str) -> bytes:
            return base64.b64decode(text)

        return [
            Record(r[0], r[1], r[2], raw(r[3]), raw(r[4]), [(name, raw(value)) for name, value in r[5]])
            for r in self.kafka("records", topic)
        ]

    def lag(self, group: str, topic: str) -> int:
        return int(self.kafka("lag", group, topic))

    # --- the data flow

    def publish_probes(self) -> str:
        """Publish an observation of each probe station and return its time. Waits until the broker is available.

        The time is that of the replay, which may be hours ago: present times would advance the watermark, and the
        observations of the replay would be late. Repeated if the replay has advanced meanwhile, since then the probes
        may be late.
        """
        values = {"temperature": 11.0, "humidity": 50.0, "pressure": 1010.0, "wind_speed": 2.0, "wind_direction": 180.0}
        for _ in range(PROBE_ATTEMPTS):
            newest = self._newest_observation() or datetime.now(UTC).replace(microsecond=0)
            probed = newest + timedelta(seconds=1)
            messages = [{"station_id": station, "timestamp": iso(probed), **values} for station in PROBE_STATIONS]
            self.kafka("publish", "weather-raw", messages)
            if self._newest_observation() == probed:
                return iso(probed)
        raise AssertionError(f"the replay advanced during {PROBE_ATTEMPTS} attempts to publish probes")

    def _newest_observation(self) -> datetime | None:
        times = [json.loads(record.value)["timestamp"] for record in self.records("weather-raw")]
        return datetime.fromisoformat(max(times)) if times else None

    def measure_flow(self) -> float:
        """Seconds from publishing observations of the probe stations to their predictions in the API."""
        started = time.monotonic()
        self.wait_for_predictions(self.publish_probes())
        return time.monotonic() - started

    def wait_for_predictions(self, timestamp: str) -> None:
        """Wait until the API has predictions for the probe observations of this time."""

        def predicted() -> bool:
            predictions = [self.api(f"/predictions/{station}") for station in PROBE_STATIONS]
            return all(prediction and prediction["timestamp"] >= timestamp for prediction in predictions)

        until(f"predictions for the observations of {timestamp}", predicted)
