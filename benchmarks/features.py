"""The features job alone, beside a broker: catching up, latency, state over a day, and other plans of Spark.

    python -m benchmarks.features [PART…] [--runs 3] [--messages 1000000] [--seconds 30] [--write]

Parts: `job` (catching up), `plans` (the same by other plans of Spark), `latency`, `state`; all by default, each a few
minutes. Everything runs on free ports in a temporary folder, with the load from a separate process. Prints tables in
Markdown; `--write` puts each part into docs/performance.md as soon as it is measured.
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
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import psutil
from kafka import KafkaConsumer, TopicPartition

from tests.conftest import TestBroker, make_settings
from tests.spark_jobs.driver import Driver, ends
from weatherglass.settings import PROJECT_ROOT
from weatherglass.topics import FEATURES, RAW

COMPILING_SECONDS = 120.0
"""For which the JVM, which shares two cores with everything else, compiles what a job runs for ever."""

PAGE = PROJECT_ROOT / "docs" / "performance.md"
STATIONS = 100
LAST = re.compile(rb'"last_observation":"([^"]+)"')
JOB = {"job": "**the job as it is shipped**, both queries"}
PLANS = {"sliding": "built-in sliding windows, running sums (no revisions)",
         "gathered": "built-in sliding windows, rows gathered (revisions)",
         "panes": "one-minute panes in `transformWithState` (revisions): the product's"}  # fmt: skip


@contextmanager
def broker(folder: Path) -> Iterator[TestBroker]:
    running = TestBroker(make_settings(folder, spark_memory_mb=1500))
    running.start()
    running.create_topics()
    try:
        yield running
    finally:
        running.stop()


def load(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.feature_load", *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL)


def send_backlog(at: TestBroker, start: datetime, minutes: float, stations: int, messages: int) -> dict[int, int]:
    given = ["--start", start.isoformat(), "--minutes", minutes, "--stations", stations, "--messages", messages]
    if load("backlog", at.bootstrap_servers, _jars(at), *given).wait():
        raise SystemExit("the load could not be sent")
    return ends(at.bootstrap_servers, RAW)


def _jars(at: TestBroker) -> Path:
    return at.settings.build_dir / "jars" / "kafka"


class Cost(NamedTuple):
    """Of a run, from the start of its process: seconds by the clock, and of CPU."""

    wall: float
    cpu: float


@contextmanager
def measured(costs: list[Cost]) -> Iterator[None]:
    begin, before = time.monotonic(), _cpu_of_ended()
    yield
    costs.append(Cost(time.monotonic() - begin, _cpu_of_ended() - before))


def _cpu_of_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def product(at: TestBroker, folder: Path, offsets: dict[int, int]) -> None:
    """The whole job, to the end of the batch with the last message."""
    driver = Driver(at.settings, folder)
    driver.start()
    try:
        driver.wait_until_read(offsets)
    finally:
        driver.kill()


def plan(at: TestBroker, name: str, folder: Path) -> None:
    driver = Driver(at.settings, folder)
    driver.script = PROJECT_ROOT / "benchmarks" / "feature_plans.py"
    driver.arguments = [name]
    if driver.run():
        raise SystemExit(f"the plan {name} failed:\n{driver.log_tail()}")


def catching_up(folder: Path, names: dict[str, str], runs: int, messages: int) -> list[str]:
    """From the start of a process to the last message; the steady state is the whole without its first tenth.

    Args:
        names: "job" or those of plans, with the words for the table.
    """
    lines = ["| | a tenth | all | steady state | CPU of it, per million |", "|---|---|---|---|---|"]
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    costs: dict[str, dict[bool, list[Cost]]] = defaultdict(lambda: {False: [], True: []})
    first = messages // 10
    with broker(folder / "backlog") as at:
        for whole in (False, True):
            count, begin, minutes = (messages - first, start + timedelta(minutes=3), 27) if whole else (first, start, 3)
            offsets = send_backlog(at, begin, minutes, STATIONS, count)
            for run in range(runs):
                for name in names:
                    job = folder / f"{name}-{whole}-{run}"
                    with measured(costs[name][whole]):
                        product(at, job, offsets) if name == "job" else plan(at, name, job)
    for name, words in names.items():
        tenth, all_ = (Cost(*map(statistics.median, zip(*costs[name][whole], strict=True))) for whole in (False, True))
        more = messages - first
        lines.append(
            f"| {words} | {tenth.wall:.1f} s | {all_.wall:.1f} s | {more / (all_.wall - tenth.wall) / 1000:.0f} k "
            f"messages/s | {(all_.cpu - tenth.cpu) / more * 1e6:.1f} s |"
        )
    return lines


def latency(folder: Path, rates: list[int], seconds: float) -> list[str]:
    lines = ["| messages/s | p50 | p95 | longest | CPU of the job |", "|---|---|---|---|---|"]
    with broker(folder / "latency") as at:
        load("live", at.bootstrap_servers, _jars(at), *_series(folder / "first.log", 100, 1)).wait()
        driver = Driver(at.settings, folder / "live")
        begin = time.monotonic()
        driver.start()
        try:
            driver.wait_until_read(ends(at.bootstrap_servers, RAW))
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
    return [*lines, "", f"From the start of the process to the first batch's end: {started:.1f} s."]


def _series(log: Path, rate: float, seconds: float) -> list[object]:
    return ["--stations", STATIONS, "--rate", rate, "--seconds", seconds, "--log", log]


def _live(at: TestBroker, driver: Driver, log: Path, rate: int, seconds: float) -> list[float]:
    """Seconds from an observation's production to the first record holding it that a consumer could read."""
    stop = Event()
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    reader = Thread(target=_read_features, args=(at.bootstrap_servers, seen, stop))
    reader.start()
    load("live", at.bootstrap_servers, _jars(at), *_series(log, rate, seconds)).wait()
    driver.wait_until_read(ends(at.bootstrap_servers, RAW))
    time.sleep(2)
    stop.set()
    reader.join()
    waits = []
    lines = log.read_text(encoding="utf-8").splitlines()
    for line in lines[len(lines) // 5 :]:  # the first fifth warms up
        station, text = line.split()
        produced, records = float(text), seen[station]
        at_ = bisect_left(records, (round(produced, 3) - 0.0005,))
        if at_ == len(records):
            raise SystemExit(f"no feature of {station} at {produced} came")
        waits.append(records[at_][1] - produced)
    return waits


def _read_features(servers: str, seen: dict[str, list[tuple[float, float]]], stop: Event) -> None:
    """The newest observation in each record, and when the record was read; records that hold no newer one left out."""
    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    partitions = [TopicPartition(FEATURES, number) for number in consumer.partitions_for_topic(FEATURES)]
    consumer.assign(partitions)
    consumer.seek_to_end(*partitions)
    while not stop.is_set():
        for records in consumer.poll(timeout_ms=500).values():
            now = time.time()
            for record in records:
                found = LAST.search(record.value)
                assert found
                newest = datetime.fromisoformat(found[1].decode()).timestamp()
                known = seen[record.key.decode()]
                if not known or newest > known[-1][0]:
                    known.append((newest, now))
    consumer.close()


def _processes(driver: Driver) -> list[psutil.Process]:
    assert driver.process
    root = psutil.Process(driver.process.pid)
    return [root, *root.children(recursive=True)]


def _cpu(driver: Driver) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in _processes(driver))


def _resident(driver: Driver) -> int:
    return sum(process.memory_info().rss for process in _processes(driver))


def a_day(folder: Path, stations: int, hours: int) -> list[str]:
    """State and memory while a day of event time passes, an observation a station and minute."""
    lines = ["| event time | state | rows of state | memory of the job | checkpoint on disk |", "|---|---|---|---|---|"]
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=hours + 1)
    with broker(folder / "day") as at:
        driver = Driver(at.settings, folder / "day-job")
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
        f"load of the machine before: {os.getloadavg()[0]:.1f}."
    )


def write(part: str, lines: list[str]) -> None:
    """Into its place on the page."""
    begin, end = f"<!-- bench-features: {part} -->\n", "<!-- end -->\n"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="job, plans, latency, state; all by default")
    parser.add_argument("--runs", type=int, default=3, help="of each size; the median counts")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30, help="of each rate")
    parser.add_argument("--hours", type=int, default=24, help="of event time, for the state's curve")
    parser.add_argument("--stations", type=int, default=1000, help="for the state's curve")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md too")
    chosen = parser.parse_args()
    backlog = (
        f"{chosen.messages} messages of {STATIONS} stations and 30 minutes, from the start of the process; steady "
        f"state: without the first tenth; median of {chosen.runs} runs."
    )
    parts: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
        "job": (
            f"Catching up: {backlog}",
            lambda folder: catching_up(folder, JOB, chosen.runs, chosen.messages),
        ),
        "plans": (
            f"The same by plans of Spark, each alone in its driver: {backlog}",
            lambda folder: catching_up(folder, PLANS, chosen.runs, chosen.messages),
        ),
        "latency": (
            "From an observation's production to the first record that a consumer can read and that contains it "
            f"({STATIONS} stations, {chosen.seconds:g} s each, the first fifth left out; all but the first line after "
            "two more minutes):",
            lambda folder: latency(folder, [100, 1000], chosen.seconds),
        ),
        "state": (
            f"State while {chosen.hours} h of event time pass; {chosen.stations} stations, an observation a minute:",
            lambda folder: a_day(folder, chosen.stations, chosen.hours),
        ),
    }
    if unknown := set(chosen.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(parts)}")
    for name in chosen.parts or parts:
        words, part = parts[name]
        with tempfile.TemporaryDirectory(prefix="weatherglass-bench-") as folder:
            made = [f"{words} {machine()}", "", *part(Path(folder))]
        print("\n".join(made), flush=True)
        if chosen.write:
            write(name, made)


if __name__ == "__main__":
    main()
