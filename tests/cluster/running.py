"""The whole cluster as a user starts it, with names, ports, secrets and volumes of its own."""

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
START_LIMIT = 1500.0
EVENT_LIMIT = 600.0
"""Seconds; how long nobody would wait on the busiest machine. How long it took is printed, not judged."""
PROBE_TRIES = 5
"""A poll of the replay now and then comes between a look at its time and the probes; hardly so often in a row."""
STATIONS = ("probe-1", "probe-4", "probe-6")
"""On three partitions; the replay's stations lie on the fourth too. No model knows them: were they more than the
replay's, the pipeline would rightly be degraded."""
PUBLISHED = (
    *("AIRFLOW_PORT", "SPARK_MASTER_PORT", "SPARK_UI_PORT", "RAY_DASHBOARD_PORT", "API_PORT"),
    *("PROMETHEUS_PORT", "ALERTMANAGER_PORT"),
)


until = partial(waiting.until, limit=EVENT_LIMIT, interval=1)


@dataclass(frozen=True)
class Record:
    """A record of a topic, as `kafka.consumer.fetcher.ConsumerRecord` has it. `timestamp` in ms since 1970."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Cluster:
    """One Compose project. `overlays` are further Compose files; `environment` overrides what .env says."""

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
        self._inside: subprocess.Popen[str] | None = None
        self._make_env()
        lines = self.env_file.read_text(encoding="utf-8").splitlines()
        self.secrets = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        self.ports = {name: int(self.secrets.pop(name)) for name in PUBLISHED}

    def _make_env(self) -> None:
        """As a user does, with ports that are free; a file that is there is kept."""
        command = [PROJECT_ROOT / "docker" / "make-env", self.env_file]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        if PUBLISHED[0] in self.env_file.read_text(encoding="utf-8"):
            return
        with self.env_file.open("a", encoding="utf-8") as file:
            file.writelines(
                f"{name}={port}\n" for name, port in zip(PUBLISHED, free_ports(len(PUBLISHED)), strict=True)
            )

    # --- Docker

    def compose(self, *words: str) -> str:
        """`docker compose …`; its output."""
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
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    def build(self) -> None:
        self.compose("--file", "docker/certificates.yml", "build", "--quiet")

    def up(self, *services: str) -> None:
        """Start, and return when everything asked for is there and the pipeline has been set going.

        A container that dies once while others wait for it ends Compose's start; it goes on with the next.
        """

        def started() -> bool:
            self._said = self._up(*services)
            return self._said == ""

        until("the containers to start", started, limit=START_LIMIT)
        if not services:
            self.wait_for_pipeline()

    def _up(self, *services: str) -> str:
        try:
            self.compose("up", "--detach", *services)
        except AssertionError as error:
            print(error, file=sys.stderr)
            return str(error)
        return ""

    def wait_for_pipeline(self) -> None:
        """Until the container `pipeline` has ended well."""

        def ended() -> bool:
            state = self.inspect("pipeline")[0]["State"]
            return state["Status"] == "exited" and state["ExitCode"] == 0

        try:
            until("the pipeline to be set going", ended, limit=2 * START_LIMIT)
        except AssertionError:
            print(self.compose("logs", "--tail", "60", "pipeline", "jobs"), file=sys.stderr)
            raise

    def down(self, *options: str) -> None:
        self.compose("--profile", "*", "down", *options)

    def follow(self, heading: str, backup: Path) -> None:
        """Do what the page on deployment tells an administrator to type under a bold heading."""
        page = (PROJECT_ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
        told = page.partition(f"**{heading}.**")[2].partition("\n\n    ")[2].partition("\n\n")[0]
        assert told, heading
        self._run(["bash", "-euo", "pipefail", "-c", told], COMPOSE_ENV_FILES=str(self.env_file), BACKUP=str(backup))

    def containers(self, *services: str) -> list[str]:
        """Names of the containers of the services, of all without any; also of those that do not run.

        Asked of the engine, which answers in a tenth of the time that Compose takes.
        """
        shown = ("--format", '{{.Label "com.docker.compose.service"}} {{.Names}}')
        listed = self.docker("ps", "--all", "--filter", f"label=com.docker.compose.project={self.name}", *shown)
        found = [line.split() for line in listed.splitlines()]
        return sorted(name for service, name in found if not services or service in services)

    def inspect(self, *services: str) -> list[dict[str, Any]]:
        """What the engine tells of each container of the services; of all without any."""
        names = self.containers(*services)
        return list(json.loads(self.docker("inspect", *names))) if names else []

    def kill(self, container: str) -> None:
        """Stop it hard, and return when it has ended."""
        self.docker("kill", "--signal", "KILL", container)
        self.docker("wait", container)

    def start(self, container: str) -> None:
        self.docker("start", container)

    # --- HTTP

    def get(self, port: str, path: str, token: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(f"http://{LOOPBACK}:{self.ports[port]}{path}", headers=headers, timeout=60)

    def api(self, path: str) -> Any:
        """A path of the API, as JSON; None while it does not answer with it."""
        try:
            answer = self.get("API_PORT", path, self.secrets["WEATHERGLASS_API_TOKEN"])
        except requests.RequestException:
            return None
        return answer.json() if answer.ok else None

    def spark(self) -> dict[str, Any]:
        """The master's own view of workers and applications."""
        return dict(self.get("SPARK_MASTER_PORT", "/json/").json())

    def ray(self, what: str) -> list[dict[str, Any]]:
        """`nodes`, `actors`, … as Ray's state API tells them."""
        answer = self.get("RAY_DASHBOARD_PORT", f"/api/v0/{what}?detail=1&limit=200", self.secrets["RAY_AUTH_TOKEN"])
        answer.raise_for_status()
        return list(answer.json()["data"]["result"]["result"])

    def airflow(self) -> AirflowApi:
        """Airflow's REST API, logged in."""
        return AirflowApi(f"http://{LOOPBACK}:{self.ports['AIRFLOW_PORT']}", self.secrets["AIRFLOW_PASSWORD"])

    # --- Kafka, from a container of its own, which no test stops

    def kafka(self, *question: Any) -> Any:
        """What `inside.py`, in the network of the cluster, answers."""
        asker = self._inside = self._inside or self._enter()
        assert asker.stdin
        assert asker.stdout
        try:
            asker.stdin.write(json.dumps(question) + "\n")
            asker.stdin.flush()
            answer = asker.stdout.readline()
            assert answer, f"no answer to {question[0]}; the reason is on stderr"
        except BaseException:
            self.leave()  # an answer that is still due would be taken for the next one's
            raise
        return json.loads(answer)

    def _enter(self) -> subprocess.Popen[str]:
        where = (
            *("--name", f"{self.name}-inside", "--network", f"{self.name}_default"),
            *("--volume", f"{HERE / 'inside.py'}:/inside.py:ro", "--log-driver", "none"),
        )
        return subprocess.Popen(
            ["docker", "run", "--rm", "--init", "--interactive", *where, "weatherglass", "python", "/inside.py"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def leave(self) -> None:
        """End the container of `kafka`, which holds the network."""
        if self._inside is not None:
            self.docker("rm", "--force", f"{self.name}-inside")
            self._inside.communicate()
            self._inside = None

    def records(self, topic: str) -> list[Record]:
        """All records of a topic up to its present end, as committed."""

        def raw(text: str) -> bytes:
            return base64.b64decode(text)

        return [
            Record(r[0], r[1], r[2], raw(r[3]), raw(r[4]), [(name, raw(value)) for name, value in r[5]])
            for r in self.kafka("records", topic)
        ]

    def lag(self, group: str, topic: str) -> int:
        return int(self.kafka("lag", group, topic))

    # --- the flow

    def observe(self) -> str:
        """Publish an observation of each probe station; its time. Waits for a broker that is away.

        In the replay's time, which may be hours ago: from the present the watermark would make the replay late. And
        once more when the replay went on meanwhile, which may have made the probes late.
        """
        values = {"temperature": 11.0, "humidity": 50.0, "pressure": 1010.0, "wind_speed": 2.0, "wind_direction": 180.0}
        for _ in range(PROBE_TRIES):
            newest = self._newest_observation() or datetime.now(UTC).replace(microsecond=0)
            probed = newest + timedelta(seconds=1)
            messages = [{"station_id": station, "timestamp": iso(probed), **values} for station in STATIONS]
            self.kafka("publish", "weather-raw", messages)
            if self._newest_observation() == probed:
                return iso(probed)
        raise AssertionError(f"the replay overtook the probes {PROBE_TRIES} times")

    def _newest_observation(self) -> datetime | None:
        times = [json.loads(record.value)["timestamp"] for record in self.records("weather-raw")]
        return datetime.fromisoformat(max(times)) if times else None

    def flow(self) -> float:
        """Seconds until new observations of the probe stations have become predictions in the API."""
        began = time.monotonic()
        self.await_answers(self.observe())
        return time.monotonic() - began

    def await_answers(self, time_of_them: str) -> None:
        """Until the observations of this time have become predictions in the API."""

        def answered() -> bool:
            answers = [self.api(f"/predictions/{station}") for station in STATIONS]
            return all(answer and answer["timestamp"] >= time_of_them for answer in answers)

        until(f"predictions for the observations of {time_of_them}", answered)
