"""`make chaos ARGS="--minutes 30 --seed 1"`: random faults against a whole running stack, then the checker.

It starts a complete stack in a temporary folder on free ports, with the broker behind the proxy, runs the load and the
seeded schedule of faults, stops ingestion, waits until everything is read, and checks topics and store. It prints a
table and writes JSON. Exit status: 0, or 1 if there is any violation or something is not read.

The same seed, duration and targets give the same schedule; the targets are the processes that run at the start.

With `--recovery`, the faults are kills and suspensions of each process, whose recovery times are appended to a file.
Each run measures what is still missing there, so that the measurement can be split over several runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from uuid import uuid4

import psutil
from kafka.errors import KafkaError

from tests.chaos.checker import check
from tests.chaos.disk import mounted
from tests.chaos.injector import Injector, NoTarget
from tests.chaos.journal import Journal, read_journal
from tests.chaos.load import Clock, plan, publish
from tests.chaos.process_targets import is_measured
from tests.chaos.recovery import PredictionWatch, recovery
from tests.chaos.report import Injected, Result, append_recovery, read_recoveries, recovery_table, table, write
from tests.chaos.schedule import MEASURED_SECONDS, Fault, Kind, rounds, schedule
from tests.chaos.stack import ChaosStack
from tests.chaos.store_reader import read_store
from tests.chaos.topic_reader import read_topics
from tests.conftest import free_ports, make_settings
from tests.e2e.running import replay_without_gaps
from tests.postgres import PostgresServer, postgres, programs
from weatherglass.settings import Settings, Source
from weatherglass.stations import bundled_stations

STATIONS = tuple(f"chaos-{number:02}" for number in range(30))
LAG_SECONDS = 900.0
LAG_POLL_SECONDS = 2.0


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="duration of the load and the faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--recovery",
        type=int,
        default=0,
        metavar="RUNS",
        help="instead of random faults, kill and suspend each process until --times has so many times of each fault, "
        "for --minutes at most, and print a table of them",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=["*"],
        metavar="FAULT",
        help="measure the recovery from these faults only, such as 'kill kafka' or 'stop job/*'",
    )
    parser.add_argument("--times", type=Path, default=Path("build/recovery.jsonl"), help="collects recovery times")
    parser.add_argument("--table", action="store_true", help="only print the table of the recovery times in --times")
    parser.add_argument("--postgres", action="store_true", help="store in PostgreSQL, which also fails")
    parser.add_argument("--tmpfs-mb", type=int, default=0, help="state folder on a tmpfs of this size, which is filled")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder, also if nothing is found")
    options = parser.parse_args(argv)
    if options.postgres and programs() is None:
        parser.error("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print and write the result; the exit status."""
    options = arguments(argv)
    if options.table:
        print(recovery_table(read_recoveries(options.times)))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="weatherglass-chaos-"))
    print(f"state, logs and journal: {folder}", flush=True)
    with ExitStack() as context:
        is_small = bool(options.tmpfs_mb) and context.enter_context(mounted(folder / "state", options.tmpfs_mb))
        if options.tmpfs_mb and not is_small:
            print("the state folder is not on a tmpfs, because mounting needs root: no full disk", flush=True)
        database = context.enter_context(postgres(free_ports(1)[0])) if options.postgres else None
        measurement = Measurement(options.recovery, options.only, options.times) if options.recovery else None
        result = run(options.seed, options.minutes, folder, is_small, database, measurement)
        write(result, options.output)
        if is_small and (options.keep or not result.is_correct):
            shutil.copytree(folder / "state" / "logs", folder / "logs")  # the rest ends with the tmpfs
    print(f"{table(result)}\nwritten to {options.output}")
    if options.recovery:
        print(recovery_table(read_recoveries(options.times)))
    if result.is_correct and not options.keep:
        shutil.rmtree(folder)
    return 0 if result.is_correct else 1


@dataclass(frozen=True)
class Measurement:
    """Which recovery times are measured: `runs` of each fault that matches one of the patterns, collected in `file`."""

    runs: int
    patterns: Sequence[str]
    file: Path

    def faults(self, names: Sequence[str], minutes: float) -> list[Fault]:
        """What is missing in the file and can be measured in so many minutes.

        Args:
            names: names of the processes, as in `process_targets`.
        """
        possible = [(kind, name) for kind in (Kind.KILL, Kind.STOP) for name in names if is_measured(name)]
        selected = [
            fault for fault in possible if any(fnmatchcase(" ".join(fault), pattern) for pattern in self.patterns)
        ]
        known = read_recoveries(self.file)
        missing = {fault: self.runs - len(known.get(fault, ())) for fault in selected}
        return [fault for fault in rounds(missing) if fault.start + MEASURED_SECONDS <= minutes * 60]

    def record(self, injected: Injected) -> None:
        append_recovery(injected, self.file)


def run(
    seed: int,
    minutes: float,
    folder: Path,
    is_small: bool,
    database: PostgresServer | None,
    measurement: Measurement | None = None,
) -> Result:
    """One run; the stack is stopped at the end.

    Args:
        measurement: the faults to inject instead of random ones.
    """
    stores = {"database_url": database.create_database(f"chaos_{uuid4().hex}")} if database else {}
    replay = replay_without_gaps(datetime.now(UTC))
    settings = make_settings(
        folder / "state",
        source=Source.REPLAY,
        train_full_model=False,
        daily_training_cron="",
        weekly_training_cron="",
        **stores,
        **replay,
    )
    with _stack(settings, folder) as stack:
        clock = Clock()
        injector = Injector(
            *(seed, settings.bootstrap_servers, settings.state_dir, stack.proxy, clock, stack.start_launcher),
            *(is_small, database),
        )
        targets = injector.targets()
        print(f"processes: {', '.join(targets[Kind.KILL])}", flush=True)
        if measurement:
            faults, record = measurement.faults(targets[Kind.KILL], minutes), measurement.record
            minutes = max((fault.start + MEASURED_SECONDS for fault in faults), default=0) / 60
        else:
            faults, record = schedule(seed, minutes, targets), _ignore
        injected = _execute(injector, faults, folder / "journal.jsonl", seed, minutes, clock, record)
        problem = ""
        try:
            stack.settle()
        except AssertionError as error:
            problem = f"not healthy at the end: {error}"
        lags = _wait_for_lags(stack)
        topics, rows = read_topics(settings.kafka_port), read_store(settings.store_url)
    entries = list(read_journal(folder / "journal.jsonl"))
    located = {name: at for name, at in bundled_stations().items() if at.elevation is not None}
    violations = check(
        topics,
        rows,
        entries,
        {name: at.elevation for name, at in located.items() if at.elevation is not None},
        {name: at.latitude for name, at in located.items()},
    )
    acknowledged = sum(entry.acknowledged for entry in entries)
    return Result(seed, minutes, acknowledged, len(entries) - acknowledged, injected, lags, violations, problem)


@contextmanager
def _stack(settings: Settings, folder: Path) -> Iterator[ChaosStack]:
    stack = ChaosStack(settings, folder)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def _ignore(_: Injected) -> None:
    """Random faults are reported at the end only."""


def _execute(
    injector: Injector,
    faults: Sequence[Fault],
    path: Path,
    seed: int,
    minutes: float,
    clock: Clock,
    record: Callable[[Injected], None] = _ignore,
) -> list[Injected]:
    """Run load and faults to their ends; the faults with the time of recovery.

    Args:
        record: called with each fault when the next one begins.
    """
    start, stop = datetime.now(UTC), threading.Event()
    journal, watch = Journal(path), PredictionWatch(injector.servers, clock.right)
    steps = plan(seed, start, minutes, STATIONS)
    executor = ThreadPoolExecutor(1)
    load = executor.submit(publish, injector.servers, steps, start, journal, stop, clock)
    found: list[Injected] = []
    try:
        for number, fault in enumerate(faults):
            stop.wait(max(start.timestamp() + fault.start - time.time(), 0))
            at, skipped = time.time(), ""
            print(f"{fault.start:7.0f} s  {fault.kind} {fault.target} {fault.duration:g} s", flush=True)
            try:
                injector.inject(fault)
            except (NoTarget, KafkaError, psutil.Error, OSError, AssertionError) as error:
                skipped = repr(error)
            if number + 1 < len(faults):
                stop.wait(max(start.timestamp() + faults[number + 1].start - time.time(), 0))
            else:
                load.result()
            found.append(Injected(fault, None if skipped else recovery(watch.seen, at, time.time()), skipped))
            record(found[-1])
        load.result()
    finally:
        stop.set()
        executor.shutdown()
        journal.close()
        watch.close()
    return found


def _wait_for_lags(stack: ChaosStack) -> dict[str, int]:
    """Wait until every group has twice read everything; the last lags."""
    deadline, zeros = time.monotonic() + LAG_SECONDS, 0
    while True:
        lags = stack.lags()
        zeros = zeros + 1 if not any(lags.values()) else 0
        if zeros == 2 or time.monotonic() > deadline:
            return lags
        print(f"waiting for {json.dumps({name: lag for name, lag in lags.items() if lag})}", flush=True)
        time.sleep(LAG_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
