"""The embedded broker: one Kafka process (KRaft, combined broker and controller) from the jars of `pom.xml`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from weatherglass.files import write_atomically
from weatherglass.launcher import kafka_files
from weatherglass.net import accepts_connections
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.waiting import wait_until

HEAP = (
    "-Xms128m -Xmx384m -XX:+UseSerialGC -XX:MaxMetaspaceSize=96m -XX:ReservedCodeCacheSize=48m -XX:TieredStopAtLevel=1"
)
START_SECONDS = 300.0
"""Limit for the start of the broker, which takes two to four seconds on an idle machine."""


class BrokerError(RuntimeError):
    """The broker could not be started; the message contains the end of its log."""


class Broker:
    """Paths, configuration and start of the embedded broker. Its data is in `<state>/kafka`."""

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
        """Write the configuration, and format the data folder at the first start.

        Raises:
            BrokerError: the jars are missing, or Kafka could not format its folder.
            DamagedFileError: a small file in the data folder is missing or damaged.
        """
        if not any(self.jars.glob("kafka_2.13-*.jar")):
            raise BrokerError(f"no Kafka jars in {self.jars}; run: make setup")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.properties, self._configuration())
        write_atomically(self.folder / "log4j2.yaml", _LOGGING)
        data, copy = self.folder / "data", self.folder / "meta.properties"
        if (data / kafka_files.META).exists() or kafka_files.has_messages(data):
            kafka_files.check_data(data, copy)
            return
        shutil.rmtree(data, ignore_errors=True)  # left by an interrupted format
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=", because an id can begin with a dash.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self.properties)]
        result = subprocess.run(
            [*self._java(), *tool], env=self.environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise BrokerError(f"Kafka could not format {self.folder}:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
        kafka_files.check_data(data, copy)

    def wait(self, alive: Callable[[], bool], log: Path) -> None:
        """Return once the broker accepts connections.

        Raises:
            BrokerError: it exited, or does not accept connections in time.
        """
        address = f"{LOOPBACK}:{self.port}"

        def ready() -> bool:
            if not alive():
                raise BrokerError(f"Kafka exited during its start; end of {log}:\n{tail(log)}")
            return accepts_connections(address)

        if not wait_until(ready, START_SECONDS):
            raise BrokerError(f"Kafka does not accept connections on {address} after {START_SECONDS:.0f} s; see {log}")

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
            # One broker: internal topics have one replica, and few partitions make the start fast.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 8,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # A transaction left open by a crash blocks readers for up to this time (default: one minute).
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 2000,
            # A killed broker may register again only when its previous session has ended (default: 9 s). Its attempts
            # are up to a session apart.
            "broker.session.timeout.ms": 6000,
            "broker.heartbeat.interval.ms": 1000,
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
            self.stop(signal.SIGKILL)  # the caller gets no object to stop
            raise

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Stop the broker: SIGTERM for a clean shutdown, SIGKILL for a crash."""
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
    """The end of a log file, at most `size` bytes; empty if there is no file."""
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
