"""A stack ends in good order and leaves nothing behind, however its launcher went."""

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
from weatherglass.launcher.down import down
from weatherglass.launcher.processes import ProcessRecords, members, send
from weatherglass.launcher.stopping import LAUNCHER, WHO, launcher_runs, stop_everything
from weatherglass.net import answers
from weatherglass.settings import PROJECT_ROOT, Settings, variable
from weatherglass.waiting import wait_until

pytestmark = pytest.mark.integration
LIMIT = 120.0
FAKE_JOB = PROJECT_ROOT / "tests" / "fake_job.py"

FAKE_LAUNCHER = textwrap.dedent("""
    # Starts a real broker, a real job host and something that heeds no signal, then waits as `make up` does.
    import os, signal, sys, time
    from weatherglass.launcher.kafka import Broker
    from weatherglass.launcher.processes import Children, Program, Records
    from weatherglass.launcher.stopping import LAUNCHER
    from weatherglass.settings import load_settings

    settings = load_settings()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    Records(settings).write(LAUNCHER, os.getpid())
    children = Children(settings)
    deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(600)"
    children.start(Program("scheduler", [sys.executable, "-c", deaf.replace("(2, 15)", "(15,)")], dict(os.environ)))
    children.start(Program("replay", [sys.executable, "-c", deaf], dict(os.environ)))
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
    chosen = {variable(name): str(getattr(settings, name)) for name in fields}
    process = subprocess.Popen([sys.executable, "-c", FAKE_LAUNCHER], env={**os.environ, **chosen}, cwd=PROJECT_ROOT)
    try:
        assert wait_until((settings.state_dir / "ready").exists, LIMIT), "the broker does not start"
        yield process
    finally:
        process.kill()
        process.wait()
        left = members(settings)
        send(signal.SIGKILL, left)
        psutil.wait_procs(left, timeout=LIMIT)


def start_job(settings: Settings, manner: str) -> JobFolder:
    folder = JobFolder(settings.jobs_dir / f"job_{manner}")
    folder.request_start(StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), manner]))
    assert wait_until(lambda: (folder.alive() and folder.last_progress() is not None) or _beats(folder), LIMIT)
    return folder


def _beats(folder: JobFolder) -> bool:
    return folder.alive() and folder.heartbeat.exists()


def test_down_after_the_launcher_was_killed(launcher: subprocess.Popen[bytes], settings: Settings) -> None:
    """Everything is found by what is written down; a job finishes its batch and knows who asked."""
    job = start_job(settings, "polite")
    launcher.kill()
    launcher.wait()
    assert not launcher_runs(settings)
    assert answers(settings.bootstrap_servers)
    assert len(members(settings)) >= 5

    assert down(settings) == 0

    assert members(settings) == []
    assert not answers(settings.bootstrap_servers)
    assert not job.alive()
    assert job.outcome().ok
    assert WHO in job.outcome().why
    assert ProcessRecords(settings).all() == []
    assert down(settings) == 0  # and again, with nothing there


def test_the_launcher_itself_is_spared_by_its_own_stop(launcher: subprocess.Popen[bytes], settings: Settings) -> None:
    """The launcher calls the same function about its own children, from inside."""
    assert stop_everything(settings, lambda _: None)
    assert launcher.poll() is None
    assert [record.name for record in ProcessRecords(settings).all()] == [LAUNCHER]
    assert members(settings) == []


def test_a_job_that_heeds_nothing_is_ended_though_the_host_is_dead(
    launcher: subprocess.Popen[bytes], settings: Settings
) -> None:
    job = start_job(settings, "deaf")
    for name in ("job-host", LAUNCHER):
        record = ProcessRecords(settings).read(name)
        assert record
        os.kill(record.pid, signal.SIGKILL)
    launcher.wait()
    assert down(settings) == 0
    assert not job.alive()
    assert members(settings) == []


def test_the_broker_keeps_its_data_over_a_stop(
    launcher: subprocess.Popen[bytes], settings: Settings, tmp_path: Path
) -> None:
    """It is the last to go and goes in good order: what was acknowledged is there after the next start."""
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
