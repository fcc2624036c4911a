"""Everything is stopped in order and completely, whether the launcher is running or was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.jobs.processes import signal_processes
from weatherglass.launcher.down import down
from weatherglass.launcher.processes import LAUNCHER, ProcessRecords, launched_processes, launcher_is_running
from weatherglass.launcher.stopping import REQUESTED_BY, stop_everything
from weatherglass.net import accepts_connections
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.settings_errors import variable
from weatherglass.waiting import wait_until

pytestmark = pytest.mark.integration
LIMIT = 120.0
FAKE_JOB = PROJECT_ROOT / "tests" / "fake_job.py"

FAKE_LAUNCHER = textwrap.dedent("""
    # Starts a real broker, a real job host and processes that ignore signals, then waits as `make up` does.
    import os, signal, sys, time
    from weatherglass.launcher.kafka import Broker
    from weatherglass.launcher.processes import LAUNCHER, Children, ProcessRecords, Program
    from weatherglass.settings import load_settings

    settings = load_settings()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    ProcessRecords(settings).write(LAUNCHER, os.getpid())
    children = Children(settings)
    ignore = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(600)"
    children.start(Program("scheduler", [sys.executable, "-c", ignore.replace("(2, 15)", "(15,)")], dict(os.environ)))
    children.start(Program("replay", [sys.executable, "-c", ignore], dict(os.environ)))
    children.start(Program("job-host", [sys.executable, "-m", "weatherglass.jobs.host"], dict(os.environ)))
    broker = Broker(settings)
    broker.prepare()
    children.start(Program("kafka", broker.command, broker.environment))
    broker.wait(lambda: children.alive("kafka"), children.log("kafka"))
    (settings.state_dir / "ready").touch()
    time.sleep(600)
""")


@pytest.fixture
def launcher(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    fields = ["state_dir", *(name for name in Settings.model_fields if name.endswith("_port"))]
    environment = {variable(name): str(getattr(settings, name)) for name in fields}
    process = subprocess.Popen(
        [sys.executable, "-c", FAKE_LAUNCHER], env={**os.environ, **environment}, cwd=PROJECT_ROOT
    )
    try:
        assert wait_until((settings.state_dir / "ready").exists, LIMIT), "timed out"
        yield process
    finally:
        process.kill()
        process.wait()
        left = launched_processes(settings)
        signal_processes(signal.SIGKILL, left)
        psutil.wait_procs(left, timeout=LIMIT)


def start_job(settings: Settings, mode: str) -> JobFolder:
    folder = JobFolder(settings.jobs_dir / f"job_{mode}")
    folder.request_start(StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), mode]))
    assert wait_until(lambda: folder.alive() and folder.heartbeat.exists(), LIMIT)
    return folder


def test_down_stops_everything_after_the_launcher_was_killed(
    launcher: subprocess.Popen[bytes], settings: Settings
) -> None:
    """Processes are found by their records; a job finishes its batch."""
    job = start_job(settings, "cooperative")
    launcher.kill()
    launcher.wait()
    assert not launcher_is_running(settings)
    assert accepts_connections(settings.bootstrap_servers)
    assert len(launched_processes(settings)) >= 5

    assert down(settings) == 0

    assert launched_processes(settings) == []
    assert not accepts_connections(settings.bootstrap_servers)
    assert not job.alive()
    assert job.outcome().ok
    assert REQUESTED_BY in job.outcome().reason
    assert ProcessRecords(settings).all() == []
    assert down(settings) == 0  # nothing is running


def test_stop_everything_does_not_end_the_launcher_that_calls_it(
    launcher: subprocess.Popen[bytes], settings: Settings
) -> None:
    assert stop_everything(settings, lambda _: None)
    assert launcher.poll() is None
    assert [record.name for record in ProcessRecords(settings).all()] == [LAUNCHER]
    assert launched_processes(settings) == []


def test_down_kills_a_job_that_ignores_its_stop_without_a_job_host(
    launcher: subprocess.Popen[bytes], settings: Settings
) -> None:
    job = start_job(settings, "ignores-stop")
    for name in ("job-host", LAUNCHER):
        record = ProcessRecords(settings).read(name)
        assert record
        os.kill(record.pid, signal.SIGKILL)
    launcher.wait()
    assert down(settings) == 0
    assert not job.alive()
    assert launched_processes(settings) == []


def test_acknowledged_messages_survive_a_stop(
    launcher: subprocess.Popen[bytes], settings: Settings, tmp_path: Path
) -> None:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import KafkaAdminClient, NewTopic

    from weatherglass.launcher.kafka import RunningBroker

    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all")
    for number in range(100):
        producer.send("kept", str(number).encode())
    producer.flush()
    producer.close()
    assert down(settings) == 0
    log = (settings.state_dir / "logs" / "kafka.log").read_text()
    again = RunningBroker(settings)
    again.start()
    try:
        consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, auto_offset_reset="earliest")
        consumer.assign([TopicPartition("kept", 0)])
        seen: list[bytes] = []
        assert wait_until(lambda: _read(consumer, seen) >= 100, LIMIT)
        consumer.close()
    finally:
        again.stop()
    assert seen == [str(number).encode() for number in range(100)], log


def _read(consumer: object, seen: list[bytes]) -> int:
    batches = consumer.poll(timeout_ms=500)  # type: ignore[attr-defined]
    seen += [record.value for records in batches.values() for record in records]
    return len(seen)
