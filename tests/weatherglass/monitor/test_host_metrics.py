"""Metrics of the machine, measured on real disks and processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import make_settings
from tests.weatherglass.monitor.conftest import Clock
from weatherglass.alerts import metrics as m
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.jobs.folder import JobFolder
from weatherglass.monitor.host_metrics import PROCESS_SCAN_INTERVAL, HostMetrics
from weatherglass.settings import Settings


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk requires root: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_raises_an_alert(small_disk: Path, clock: Clock) -> None:
    host, evaluator = HostMetrics(make_settings(small_disk)), RuleEvaluator(RULES)

    def evaluate(count: int) -> tuple[set[str], set[str]]:
        started, resolved = set(), set()
        for _ in range(count):
            sample = MetricSample(clock.advance())
            host.collect(sample)
            evaluation = evaluator.evaluate(sample)
            started |= {firing.rule.name for firing in evaluation.started}
            resolved |= {firing.rule.name for firing in evaluation.resolved}
        return started, resolved

    assert evaluate(4) == (set(), set())
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
    assert evaluate(4) == ({"disk_nearly_full"}, set())
    filler.unlink()
    assert evaluate(8) == (set(), {"disk_nearly_full"})


def test_usage_of_a_component_includes_its_child_processes(settings: Settings, clock: Clock) -> None:
    # /proc counts CPU time in ticks of 10 ms, so the child uses several of them before it reports.
    child = "import time\nwhile time.process_time() < 0.2: pass\nprint(1, flush=True); input()"
    parent = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=0); input(); p.wait()"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert leader.stdout
        leader.stdout.readline()
        folder = JobFolder(settings.jobs_dir / "some_job")
        folder.path.mkdir(parents=True)
        folder.write_json(folder.process, {"pid": leader.pid})
        host = HostMetrics(settings)
        sample = MetricSample(clock.advance(60))
        host.collect(sample)
        assert sample.get(m.PART_PROCESSES, "some_job") == 2
        assert (sample.get(m.PART_MEMORY, "some_job") or 0) > 1e6
        assert (sample.get(m.PART_CPU, "some_job") or 0) >= 0.1
    finally:
        leader.communicate(b"\n\n")


@contextmanager
def session(*arguments: str, **environment: str) -> Iterator[int]:
    """A process that leads a session and has read and written at least 100 kB; yields its process id."""
    work = "with open('/dev/zero', 'rb', 0) as f, open('/dev/null', 'wb', 0) as g: g.write(f.read(100_000))\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{work}print(1, flush=True); input()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout
        assert process.stdout.readline()
        yield process.pid
    finally:
        process.communicate(b"\n")


def collected(host: HostMetrics, clock: Clock, seconds: float = 0) -> MetricSample:
    sample = MetricSample(clock.advance(seconds))
    host.collect(sample)
    return sample


def test_disk_and_network_are_those_of_the_machine(settings: Settings, clock: Clock) -> None:
    settings.state_dir.mkdir(parents=True)
    before, disk = psutil.net_io_counters(), shutil.disk_usage(settings.state_dir)
    sample = collected(HostMetrics(settings), clock)
    after = psutil.net_io_counters()
    assert sample.get(m.DISK_FREE) == pytest.approx(disk.free / (disk.used + disk.free), abs=0.02)
    assert before.bytes_recv <= (sample.get(m.NETWORK, "received") or 0) <= after.bytes_recv
    assert before.bytes_sent <= (sample.get(m.NETWORK, "sent") or 0) <= after.bytes_sent


def test_a_process_belongs_to_the_component_of_its_session_or_of_the_state_folder_in_its_environment(
    settings: Settings, clock: Clock
) -> None:
    own, foreign = {"WEATHERGLASS_STATE_DIR": str(settings.state_dir)}, {"WEATHERGLASS_STATE_DIR": "/elsewhere"}
    run = settings.state_dir / "run"
    run.mkdir(parents=True)
    (run / "damaged.json").write_text('{"pid": ')
    (run / "text.json").write_text('{"pid": "1"}')
    with ExitStack() as stack:
        kafka = stack.enter_context(session(**own))
        stack.enter_context(session("ray", **own))
        stack.enter_context(session("job", **own))
        stack.enter_context(session("ray", **foreign))
        (run / "kafka.json").write_text(f'{{"pid": {kafka}}}')
        sample = collected(HostMetrics(settings), clock)
    assert sample.series(m.PART_PROCESSES) == {("kafka",): 1.0, ("ray",): 1.0, ("other",): 1.0}
    assert (sample.get(m.PART_READ, "kafka") or 0) >= 100_000
    assert (sample.get(m.PART_WRITTEN, "kafka") or 0) >= 100_000


def test_processes_are_scanned_every_minute(settings: Settings, clock: Clock) -> None:
    host = HostMetrics(settings)
    assert collected(host, clock).series(m.PART_PROCESSES) == {}
    interval = PROCESS_SCAN_INTERVAL.total_seconds()
    assert interval == 60
    with session("job", WEATHERGLASS_STATE_DIR=str(settings.state_dir)):
        assert collected(host, clock, interval - 1).series(m.PART_PROCESSES) == {}
        assert collected(host, clock, 1).series(m.PART_PROCESSES) == {("other",): 1.0}
        assert collected(host, clock, interval).series(m.PART_PROCESSES) == {("other",): 1.0}
    assert collected(host, clock, interval - 1).series(m.PART_PROCESSES) == {("other",): 1.0}
    assert collected(host, clock, 1).series(m.PART_PROCESSES) == {}


def test_the_usage_of_a_process_that_has_ended_is_kept(settings: Settings, clock: Clock) -> None:
    """The values are counters: a decrease would count as a restart, and all of the rest as used since then."""
    host, own = HostMetrics(settings), {"WEATHERGLASS_STATE_DIR": str(settings.state_dir)}
    interval = PROCESS_SCAN_INTERVAL.total_seconds()
    with session("first", **own):
        with session("second", **own):
            both = collected(host, clock)
        first = collected(host, clock, interval)
        assert first.get(m.PART_PROCESSES, "other") == 1
        assert first.get(m.PART_MEMORY, "other") < both.get(m.PART_MEMORY, "other")
        assert first.get(m.PART_READ, "other") == both.get(m.PART_READ, "other") >= 200_000
        assert first.get(m.PART_CPU, "other") >= both.get(m.PART_CPU, "other")
    assert collected(host, clock, interval).get(m.PART_READ, "other") is None
    with session("third", **own):
        assert collected(host, clock, interval).get(m.PART_READ, "other") >= 300_000
