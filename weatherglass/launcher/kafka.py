"""The embedded broker: one Kafka process (KRaft, broker and controller in one) from the jars of `pom.xml`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from weatherglass.net import answers
from weatherglass.settings import LOOPBACK, Settings

HEAP = (
    "-Xms128m -Xmx384m -XX:+UseSerialGC -XX:MaxMetaspaceSize=96m -XX:ReservedCodeCacheSize=48m -XX:TieredStopAtLevel=1"
)
START_LIMIT = 60.0
"""Seconds after which a broker that does not answer is given up; it takes two to four on an idle machine."""


class BrokerError(RuntimeError):
    """The broker could not be started; the message holds its last words."""


class Broker:
    """Paths, configuration and life of the embedded broker. Its data lie in `<state>/kafka`."""

    def __init__(self, settings: Settings):
        self.folder = settings.state_dir / "kafka"
        self.port = settings.kafka_port
        self.controller_port = settings.kafka_controller_port
        self.jars = settings.build_dir / "jars" / "kafka"
        self.properties = self.folder / "server.properties"

    @property
    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self.properties)]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "JAVA_TOOL_OPTIONS": ""}

    def prepare(self) -> None:
        """Write the configuration, and format the data folder the first time.

        Raises:
            BrokerError: the jars are missing, or Kafka refused to format its folder.
        """
        if not any(self.jars.glob("kafka_2.13-*.jar")):
            raise BrokerError(f"no Kafka in {self.jars}: run `make setup`")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.properties.write_text(self._configuration(), encoding="utf-8")
        (self.folder / "log4j2.yaml").write_text(_LOGGING, encoding="utf-8")
        if (self.folder / "data" / "meta.properties").exists():
            return
        shutil.rmtree(self.folder / "data", ignore_errors=True)  # a formatting that was cut off
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=", since an id may begin with a dash.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self.properties)]
        done = subprocess.run([*self._java(), *tool], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerError(f"Kafka could not format {self.folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def wait(self, alive: Callable[[], bool], log: Path) -> None:
        """Return once the broker accepts connections.

        Raises:
            BrokerError: it ended, or does not answer in time.
        """
        end = time.monotonic() + START_LIMIT
        while not answers(f"{LOOPBACK}:{self.port}"):
            if not alive():
                raise BrokerError(f"the Kafka broker ended while starting; its last words:\n{tail(log)}")
            if time.monotonic() > end:
                raise BrokerError(f"the Kafka broker does not answer on {LOOPBACK}:{self.port}; see {log}")
            time.sleep(0.1)

    def _java(self) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}"
        return ["java", *HEAP.split(), logging, "-cp", f"{self.jars}/*"]

    def _configuration(self) -> str:
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "num.partitions": 1,
            "auto.create.topics.enable": "false",
            # One broker: the internal topics have one copy, and few partitions keep files and start-up small.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 8,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # A transaction cut off by a crash must not hold readers back for long (the default is a minute).
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 2000,
            "log.segment.bytes": 64 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())


class RunningBroker:
    """A broker as a child process, for tests and benchmarks."""

    def __init__(self, settings: Settings):
        self.broker = Broker(settings)
        self.bootstrap_servers = settings.bootstrap_servers
        self.log = self.broker.folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        self.broker.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.broker.command, env=self.broker.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self.broker.wait(lambda: self._process is not None and self._process.poll() is None, self.log)
        except BrokerError:
            self.stop(signal.SIGKILL)  # who could not have it will not stop it
            raise

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Stop it in good order (TERM), or not (KILL)."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(sig)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def tail(log: Path, size: int = 3000) -> str:
    """The last words of a log file."""
    return log.read_bytes()[-size:].decode(errors="replace") if log.exists() else ""


_LOGGING = """\
Configuration:
  Appenders:
    Console:
      name: console
      PatternLayout:
        pattern: "%d{ISO8601} %p %m (%c{1})%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: console
"""
