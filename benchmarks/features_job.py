"""Benchmark of the features job with a broker: catching up, latency, state over a day, and other Spark plans.

    python -m benchmarks.features_job [SECTION…] [--runs 3] [--messages 1000000] [--seconds 30] [--write]

Sections: `job` (catching up), `plans` (the same with other Spark plans), `parallelism` (the same with other numbers of
cores and partitions), `latency`, `state`; default: all, a few minutes each, a quarter of an hour for `parallelism`.
Everything runs on free ports in a temporary folder, with the load from a separate process. Prints Markdown tables;
`--write` also updates docs/performance.md after each section.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import psutil
from kafka import KafkaConsumer, TopicPartition

from benchmarks.features_driver import FeaturesDriver, ends
from benchmarks.ports import free_ports
from producer.topic_bootstrap import bootstrap_topics
from weatherglass.launcher.kafka import RunningBroker
from weatherglass.settings import PROJECT_ROOT, Settings, load_settings

COMPILING_SECONDS = 120.0
"""How long the JVM compiles code after the start of the job, on two shared cores."""

PAGE = PROJECT_ROOT / "docs" / "performance.md"
STATIONS = 100
LAST = re.compile(rb'"last_observation":"([^"]+)"')


@contextmanager
def broker(folder: Path, partitions: int | None = None) -> Iterator[Settings]:
    """A broker with all topics; `partitions` replaces the number of partitions of `weather-raw`."""
    port, controller_port, ui_port = free_ports(3)
    settings = load_settings(
        state_dir=folder,
        kafka_port=port,
        kafka_controller_port=controller_port,
        spark_ui_port=ui_port,
        spark_memory_mb=1500,
    )
    running = RunningBroker(settings)
    running.start()
    raw = settings.topics.raw
    topics = [replace(t, partitions=partitions or t.partitions) if t.name == raw else t for t in settings.topics.table]
    bootstrap_topics(settings, lambda _: None, topics)
    try:
        yield settings
    finally:
        running.stop()


def load(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.feature_load", *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL)


def send_backlog(at: Settings, start: datetime, minutes: float, stations: int, messages: int) -> dict[int, int]:
    options = ["--start", start.isoformat(), "--minutes", minutes, "--stations", stations, "--messages", messages]
    if load("backlog", at.bootstrap_servers, _jars(at), *options).wait():
        raise SystemExit("Sending the backlog failed")
    return ends(at.bootstrap_servers, at.topics.raw)


def _jars(at: Settings) -> Path:
    return at.build_dir / "jars" / "kafka"


class Cost(NamedTuple):
    """Wall-clock and CPU time of a run since the start of its process, seconds."""

    wall: float
    cpu: float


@contextmanager
def measured(costs: list[Cost]) -> Iterator[None]:
    begin, before = time.monotonic(), _cpu_of_children()
    yield
    costs.append(Cost(time.monotonic() - begin, _cpu_of_children() - before))


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


Run = Callable[[Settings, Path, dict[int, int]], None]
"""Runs a job in a folder up to the offsets of `weather-raw`, partition -> end."""


def job(cores: int | None = None, shuffle_partitions: int | None = None) -> Run:
    """The complete job to the end of the batch with the last message; by default with the job's configuration."""

    def run(at: Settings, folder: Path, offsets: dict[int, int]) -> None:
        driver = FeaturesDriver(at.model_copy(update={"spark_cores": cores} if cores else {}), folder)
        if shuffle_partitions:
            driver.conf["spark.sql.shuffle.partitions"] = str(shuffle_partitions)
        driver.start()
        try:
            driver.wait_until_read(offsets)
        finally:
            driver.kill()

    return run


def plan(name: str) -> Run:
    def run(at: Settings, folder: Path, _: dict[int, int]) -> None:
        driver = FeaturesDriver(at, folder)
        driver.script = PROJECT_ROOT / "benchmarks" / "feature_plans.py"
        driver.arguments = [name]
        if driver.run():
            raise SystemExit(f"Plan {name} failed:\n{driver.log_tail()}")

    return run


HEADER = ["| | a tenth | all | steady state | CPU in the steady state, per million |", "|---|---|---|---|---|"]
JOB = {"**the job**": job()}
PLANS = {
    "built-in sliding windows, running sums (no revisions)": plan("sliding"),
    "built-in sliding windows, collected rows (revisions)": plan("collected"),
}
PARALLEL = {
    f"{cores} of 2 cores, {partitions} shuffle partitions": job(cores, partitions)
    for cores in (1, 2)
    for partitions in (1, 2, 4, 8)
}
TOPIC_PARTITIONS = (1, 2, 4, 8)


def parallelism(folder: Path, runs: int, messages: int) -> list[str]:
    lines = catching_up(folder / "cores", PARALLEL, runs, messages)
    for partitions in TOPIC_PARTITIONS:
        label = f"topic with {partitions} partitions; 2 cores, 2 shuffle partitions"
        lines += catching_up(folder / f"topic-{partitions}", {label: job(2, 2)}, runs, messages, partitions)
    return [*HEADER, *lines]


def catching_up(
    folder: Path, variants: dict[str, Run], runs: int, messages: int, partitions: int | None = None
) -> list[str]:
    """Time from the start of a process to the last message; the steady state excludes the first tenth.

    Args:
        variants: label in the table -> what is measured, in alternating order.
    """
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    costs: dict[str, dict[bool, list[Cost]]] = defaultdict(lambda: {False: [], True: []})
    first = messages // 10
    with broker(folder / "backlog", partitions) as at:
        for whole in (False, True):
            count, begin, minutes = (messages - first, start + timedelta(minutes=3), 27) if whole else (first, start, 3)
            offsets = send_backlog(at, begin, minutes, STATIONS, count)
            for run in range(runs):
                for number, (label, measure) in enumerate(variants.items()):
                    with measured(costs[label][whole]):
                        measure(at, folder / f"{number}-{whole}-{run}", offsets)
    return [_steady(label, costs[label], messages - first) for label in variants]


def _steady(label: str, costs: dict[bool, list[Cost]], more: int) -> str:
    tenth, all_ = (Cost(*map(statistics.median, zip(*costs[whole], strict=True))) for whole in (False, True))
    rate = more / (all_.wall - tenth.wall) / 1000
    cpu = (all_.cpu - tenth.cpu) / more * 1e6
    return f"| {label} | {tenth.wall:.1f} s | {all_.wall:.1f} s | {rate:.0f} k messages/s | {cpu:.1f} s |"


def latency(folder: Path, rates: list[int], seconds: float) -> list[str]:
    lines = ["| messages/s | p50 | p95 | longest | CPU of the job |", "|---|---|---|---|---|"]
    with broker(folder / "latency") as at:
        load("live", at.bootstrap_servers, _jars(at), *_series(folder / "first.log", 100, 1)).wait()
        driver = FeaturesDriver(at, folder / "live")
        begin = time.monotonic()
        driver.start()
        try:
            driver.wait_until_read(ends(at.bootstrap_servers, at.topics.raw))
            started = time.monotonic() - begin
            for number, rate in enumerate([rates[0], *rates]):
                if number == 1:
                    _live(at, driver, folder / "compiling.log", rates[-1], COMPILING_SECONDS)
                cpu = _cpu(driver)
                seen = _live(at, driver, folder / f"{number}.log", rate, seconds)
                cpu = (_cpu(driver) - cpu) / seconds
                cuts = statistics.quantiles(seen, n=100)
                name = rate if number else f"{rate}, a job just started"
                lines.append(f"| {name} | {cuts[49]:.2f} s | {cuts[94]:.2f} s | {max(seen):.2f} s | {cpu:.2f} cores |")
            cpu = _cpu(driver)
            time.sleep(10)
            lines.append(f"| none | | | | {(_cpu(driver) - cpu) / 10:.2f} cores |")
        finally:
            driver.kill()
    return [*lines, "", f"From the start of the process to the end of the first batch: {started:.1f} s."]


def _series(log: Path, rate: float, seconds: float) -> list[object]:
    return ["--stations", STATIONS, "--rate", rate, "--seconds", seconds, "--log", log]


def _live(at: Settings, driver: FeaturesDriver, log: Path, rate: int, seconds: float) -> list[float]:
    """Seconds from the production of each observation to the first readable record that contains it."""
    stop = Event()
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    reader = Thread(target=_read_features, args=(at, seen, stop))
    reader.start()
    load("live", at.bootstrap_servers, _jars(at), *_series(log, rate, seconds)).wait()
    driver.wait_until_read(ends(at.bootstrap_servers, at.topics.raw))
    time.sleep(2)
    stop.set()
    reader.join()
    waits = []
    lines = log.read_text(encoding="utf-8").splitlines()
    for line in lines[len(lines) // 5 :]:  # the first fifth is a warm-up
        station, text = line.split()
        produced, records = float(text), seen[station]
        at_ = bisect_left(records, (round(produced, 3) - 0.0005,))
        if at_ == len(records):
            raise SystemExit(f"No record of {station} at {produced}")
        waits.append(records[at_][1] - produced)
    return waits


def _read_features(at: Settings, seen: dict[str, list[tuple[float, float]]], stop: Event) -> None:
    """Collect the newest observation of each record and the time of reading; skips records without a newer one."""
    consumer, topic = (
        KafkaConsumer(bootstrap_servers=at.bootstrap_servers, enable_auto_commit=False),
        at.topics.features,
    )
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_end(*partitions)
    while not stop.is_set():
        for records in consumer.poll(timeout_ms=500).values():
            now = time.time()
            for record in records:
                match = LAST.search(record.value)
                assert match
                newest = datetime.fromisoformat(match[1].decode()).timestamp()
                known = seen[record.key.decode()]
                if not known or newest > known[-1][0]:
                    known.append((newest, now))
    consumer.close()


def _processes(driver: FeaturesDriver) -> list[psutil.Process]:
    assert driver.process
    root = psutil.Process(driver.process.pid)
    return [root, *root.children(recursive=True)]


def _cpu(driver: FeaturesDriver) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in _processes(driver))


def _resident(driver: FeaturesDriver) -> int:
    return sum(process.memory_info().rss for process in _processes(driver))


def state_over_time(folder: Path, stations: int, hours: int) -> list[str]:
    """State and memory during a day of event time, with one observation per station and minute."""
    lines = ["| event time | state | rows of state | memory of the job | checkpoint on disk |", "|---|---|---|---|---|"]
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=hours + 1)
    with broker(folder / "day") as at:
        driver = FeaturesDriver(at, folder / "day-job")
        driver.start()
        try:
            for step in range(2 * hours):
                begin = start + timedelta(minutes=30 * step)
                driver.wait_until_read(send_backlog(at, begin, 30, stations, 30 * stations))
                if step in (0, 1, 3, 7) or step % 8 == 7:
                    last = [line for line in driver.progress() if "state_bytes" in line][-1]
                    disk = sum(file.stat().st_size for file in driver.checkpoint.rglob("*") if file.is_file())
                    lines.append(
                        f"| {(step + 1) / 2:g} h | {last['state_bytes'] / 1e6:.0f} MB | {last['state_rows']} "
                        f"| {_resident(driver) / 1e6:.0f} MB | {disk / 1e6:.0f} MB |"
                    )
        finally:
            driver.kill()
    return lines


def machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())  # fmt: skip
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, "
        f"Python {platform.python_version()}, Spark {version('pyspark')} with a heap of 1500 MB; "
        f"load average before the run: {os.getloadavg()[0]:.1f}."
    )


def write(section: str, lines: list[str]) -> None:
    """Replace a section of docs/performance.md."""
    begin, end = f"<!-- bench-features: {section} -->\n", "<!-- end -->\n"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help="job, plans, parallelism, latency, state (default: all)"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each size; the median is reported")
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages of the backlog")
    parser.add_argument("--seconds", type=float, default=30, help="duration of each rate")
    parser.add_argument("--hours", type=int, default=24, help="hours of event time for `state`")
    parser.add_argument("--stations", type=int, default=1000, help="number of stations for `state`")
    parser.add_argument("--write", action="store_true", help="also update docs/performance.md")
    options = parser.parse_args()
    backlog = (
        f"{options.messages} messages of {STATIONS} stations and 30 minutes, from the start of the process; steady "
        f"state: without the first tenth; median of {options.runs} runs."
    )
    sections: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
        "job": (
            f"Catching up: {backlog}",
            lambda folder: [*HEADER, *catching_up(folder, JOB, options.runs, options.messages)],
        ),
        "plans": (
            f"The same with other Spark plans, each in its own driver: {backlog}",
            lambda folder: [*HEADER, *catching_up(folder, PLANS, options.runs, options.messages)],
        ),
        "parallelism": (
            f"The job with other numbers of cores and partitions: {backlog}",
            lambda folder: parallelism(folder, options.runs, options.messages),
        ),
        "latency": (
            "From the production of an observation to the first record that contains it and can be read by a consumer "
            f"({STATIONS} stations, {options.seconds:g} s each, without the first fifth; all lines but the first after "
            "another two minutes):",
            lambda folder: latency(folder, [100, 1000], options.seconds),
        ),
        "state": (
            f"State during {options.hours} h of event time; {options.stations} stations, one observation per minute:",
            lambda folder: state_over_time(folder, options.stations, options.hours),
        ),
    }
    if unknown := set(options.sections) - set(sections):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; sections: {', '.join(sections)}")
    for name in options.sections or sections:
        heading, measure = sections[name]
        with tempfile.TemporaryDirectory(prefix="weatherglass-bench-") as folder:
            lines = [f"{heading} {machine()}", "", *measure(Path(folder))]
        print("\n".join(lines), flush=True)
        if options.write:
            write(name, lines)


if __name__ == "__main__":
    main()
