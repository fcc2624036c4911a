"""The start of the broker with a program in place of Java, which records its calls."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import make_settings
from weatherglass.launcher import kafka
from weatherglass.launcher.kafka import Broker, BrokerError, RunningBroker, tail
from weatherglass.net import accepts_connections
from weatherglass.settings import LOOPBACK, Settings

ID = "kZT_sk_ASA2r5y4kQBEAwA"
JAVA = """\
#!{python}
import json, os, pathlib, socket, sys, time
calls = pathlib.Path({calls!r})
with calls.open("a") as file:
    file.write(json.dumps([sys.argv[1:], os.environ["JAVA_TOOL_OPTIONS"]]) + "\\n")
properties = dict(line.split("=", 1) for line in pathlib.Path(sys.argv[-1]).read_text().splitlines())
mode = (calls.parent / "mode").read_text()
if "format" in sys.argv:
    print("x" * 1000 + "o" * 2000)
    print("x" * 1000 + "e" * 2000, file=sys.stderr)
    if mode == "unformatted":
        sys.exit(3)
    data = pathlib.Path(properties["log.dirs"])
    data.mkdir()
    (data / "meta.properties").write_text("node.id=1\\ndirectory.id={id}\\nversion=1\\ncluster.id={id}\\n")
elif mode == "exits":
    print("no memory", flush=True)
else:
    server = socket.create_server(("127.0.0.1", int(properties["listeners"].split(",")[0].rpartition(":")[2])))
    while True:
        time.sleep(1)
"""


class Java:
    def __init__(self, folder: Path):
        self.calls_file, self.mode = folder / "calls", folder / "mode"
        self.mode.write_text("works")
        program = folder / "java"
        program.write_text(JAVA.format(python=sys.executable, calls=str(self.calls_file), id=ID))
        program.chmod(0o755)

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Java:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-agent")
    return Java(folder)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    jars = tmp_path / "build" / "jars" / "kafka"
    jars.mkdir(parents=True)
    (jars / "kafka_2.13-4.3.1.jar").touch()
    return make_settings(tmp_path / "state", build_dir=tmp_path / "build")


def test_the_data_folder_is_formatted_once_with_the_configuration(java: Java, settings: Settings) -> None:
    broker = Broker(settings)
    (broker.folder / "data").mkdir(parents=True)
    (broker.folder / "data" / "left-over").touch()
    for _ in range(2):
        broker.prepare()
    [(arguments, options)] = java.calls
    assert options == ""
    jars = settings.build_dir / "jars" / "kafka"
    assert f"-Dlog4j2.configurationFile={broker.folder / 'log4j2.yaml'}" in arguments
    assert arguments[arguments.index("-cp") + 1] == f"{jars}/*"
    assert arguments[-4:-2] == ["format", next(one for one in arguments if one.startswith("--cluster-id="))]
    assert len(arguments[-3].removeprefix("--cluster-id=")) == 22
    assert not (broker.folder / "data" / "left-over").exists()
    assert (broker.folder / "log4j2.yaml").read_text().startswith("Configuration:")
    assert (broker.folder / "meta.properties").exists()
    properties = dict(line.split("=", 1) for line in broker.properties.read_text().splitlines())
    assert {name: value for name, value in properties.items() if "listeners" in name or "voters" in name} == {
        "listeners": f"PLAINTEXT://{LOOPBACK}:{settings.kafka_port},CONTROLLER://{LOOPBACK}:"
        f"{settings.kafka_controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{settings.kafka_port}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{settings.kafka_controller_port}",
    }
    one = {name for name in properties if name.endswith(("replication.factor", "min.isr"))}
    assert len(one) == 5
    assert {properties[name] for name in one | {"num.partitions", "node.id"}} == {"1"}
    assert properties["group.initial.rebalance.delay.ms"] == "0"
    assert int(properties["log.segment.bytes"]) == 2**26
    assert broker.command[-2:] == ["kafka.Kafka", str(broker.properties)]


def test_a_failed_format_is_an_error_with_the_end_of_its_output(java: Java, settings: Settings) -> None:
    java.mode.write_text("unformatted")
    with pytest.raises(BrokerError) as error:
        Broker(settings).prepare()
    out, _, err = str(error.value).rstrip("\n").partition("\n")[2].partition("\n")
    assert out == "o" * 1999
    assert err == "e" * 1999


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_running_broker_accepts_connections_until_it_is_stopped(
    java: Java, settings: Settings, number: signal.Signals
) -> None:
    running = RunningBroker(settings)
    running.stop()  # it was not started
    running.start()
    try:
        process = psutil.Process(running.pid)
        assert os.getsid(running.pid) == running.pid
        assert accepts_connections(running.bootstrap_servers)
    finally:
        running.stop(number)
    assert not process.is_running()
    assert not accepts_connections(running.bootstrap_servers)
    running.stop()
    assert running.log == settings.state_dir / "kafka" / "broker.log"
    with pytest.raises(AssertionError):
        _ = running.pid


def test_a_broker_that_exits_during_its_start_is_an_error_with_the_end_of_its_log(
    java: Java, settings: Settings
) -> None:
    java.mode.write_text("exits")
    running = RunningBroker(settings)
    with pytest.raises(BrokerError, match="no memory"):
        running.start()
    assert running._process is None


def test_a_broker_that_accepts_no_connections_in_time_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kafka, "START_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(BrokerError, match=str(settings.kafka_port)):
        Broker(settings).wait(lambda: True, tmp_path / "log")
    assert time.monotonic() - start >= 0.3


def test_the_tail_of_a_log_is_limited_in_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_bytes(b"a" + 3000 * b"b")
    assert tail(log) == 3000 * "b"
    assert tail(log, 2) == "bb"
