"""Runs the loads of a scenario, one after the other, each in an isolated pipeline."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from kafka.errors import KafkaError
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.pipeline import results as reporting
from benchmarks.pipeline.events import EventRecorder, Key
from benchmarks.pipeline.isolated import (
    FOLDER,
    SERVE,
    IsolatedPipeline,
    Log,
    PipelineFailed,
    isolated_pipeline,
    remove_leftovers,
)
from benchmarks.pipeline.scenarios import Load, Scenario, loads
from benchmarks.pipeline.usage import UsageMeter
from weatherglass.files import exclusive_lock
from weatherglass.jobs.folder import is_locked
from weatherglass.jobs.progress_tail import ProgressTail
from weatherglass.settings import Settings
from weatherglass.store import benchmark_results
from weatherglass.store.benchmark_results import BenchmarkResult
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.schema import predictions

START_SECONDS = 600.0
"""Limit for the first prediction and the start of all inference actors, on a busy machine."""
WARM_UP_SECONDS = 20.0
"""Between the first prediction and the measurement: the first batches of a job are slow."""
SAMPLE_SECONDS = 2.0
PROGRESS_SECONDS = 20.0
"""Interval of the lines of progress during a measurement."""
DRAIN_SECONDS = 15.0
"""How long the last predictions of the measurement may take; later ones are missing in the figures."""
FAILURES = (PipelineFailed, OSError, KafkaError, SQLAlchemyError, psutil.Error)
"""Errors that cost one load: the others are measured nevertheless."""


class BenchmarkFailed(RuntimeError):
    """At least one load could not be measured; those that could are saved."""


def run_scenario(
    settings: Settings,
    run: str,
    scenario: Scenario,
    base: Load,
    seconds: float,
    log: Log,
    warm_up: float = WARM_UP_SECONDS,
    broker: int | None = None,
) -> list[BenchmarkResult]:
    """Measure the loads of a scenario; results are saved in the store after each, and in files at the end.

    Loads that the store has for this run, because it was interrupted, are not measured again.

    Args:
        run: name of the run.
        base: the load of which the scenario varies one number.
        seconds: of each measurement.
        log: is called with each line of progress.
        warm_up: seconds between the first prediction and the measurement.
        broker: process id of the broker, if it is local.

    Raises:
        BenchmarkFailed: a load could not be measured.
    """
    folder = settings.state_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    migrate(settings.store_url)
    about = reporting.environment()
    found: list[BenchmarkResult] = []
    failed: list[str] = []
    planned = loads(scenario, base)
    store = open_store(settings.store_url)
    if is_locked(folder / "lock"):
        log("Waiting for the end of another benchmark")
    try:
        with exclusive_lock(folder / "lock"):
            with store.connect() as connection:
                found += benchmark_results.of_run(connection, run)
            measured_before = {Load(each.stations, each.rate, each.workers) for each in found}
            for number, load in enumerate(planned, start=1):
                if load in measured_before:
                    log(f"Load {number} of {len(planned)}: {load}, measured before the interruption")
                    continue
                remove_leftovers(settings, log)
                log(f"Load {number} of {len(planned)}: {load}, {seconds:g} s")
                try:
                    measured = measure(settings, load, seconds, log, warm_up, broker)
                    at = datetime.now(UTC)
                    found.append(
                        BenchmarkResult(run, at, scenario, load.stations, load.rate, load.workers, measured, about)
                    )
                    with store.begin() as connection:
                        benchmark_results.save(connection, found[-1])
                except FAILURES as error:
                    failed.append(f"{load}: {error}")
                    log(f"WARNING: not measured, or not saved in the store: {failed[-1]}")
    finally:
        store.dispose()
        if found:
            _report(folder, run, found, log)
    if failed:
        raise BenchmarkFailed(f"{len(failed)} of {len(planned)} loads were not measured: " + "; ".join(failed))
    return found


def _report(folder: Path, run: str, found: list[BenchmarkResult], log: Log) -> None:
    """Write the files, and the most important figures to the log."""
    file = reporting.write_files(folder / "results", run, found)
    log(f"Results of run {run}, also in {file}:")
    for line in reporting.table(found).splitlines():
        log(line)


def measure(
    settings: Settings, load: Load, seconds: float, log: Log, warm_up: float, broker: int | None
) -> dict[str, Any]:
    """The figures of a load. They are kept if afterwards the pipeline cannot be removed.

    Raises:
        PipelineFailed: a job ended, there was no prediction in time, or its records could not be read.
        OSError, KafkaError, SQLAlchemyError, psutil.Error: the broker, the store or a process could not be queried.
    """
    measured = None
    try:
        with isolated_pipeline(settings, load, log) as pipeline:
            measured = _measure_running(pipeline, seconds, log, warm_up, broker)
    except FAILURES as error:
        if measured is None:
            raise
        log(f"WARNING: measured, but not removed: {error}")
    return measured


def _measure_running(
    pipeline: IsolatedPipeline, seconds: float, log: Log, warm_up: float, broker: int | None
) -> dict[str, Any]:
    recorder = EventRecorder(pipeline.settings)
    try:
        recorder.start()
        _wait_for_predictions(pipeline, recorder)
        log(f"First prediction, all actors are running; measuring after {warm_up:g} s")
        _sleep(pipeline, recorder, warm_up)
        tails = {job: ProgressTail(folder.progress) for job, folder in pipeline.folders.items()}
        reports: dict[str, list[dict[str, Any]]] = {job: [] for job in tails}
        meter, begin = UsageMeter(pipeline, broker), time.time()
        next_line = begin + PROGRESS_SECONDS
        while (left := begin + seconds - time.time()) > 0:
            _sleep(pipeline, recorder, min(left, SAMPLE_SECONDS))
            meter.sample()
            for job, tail in tails.items():
                reports[job] += tail.read()
            if time.time() >= next_line:
                next_line += PROGRESS_SECONDS
                log(f"Measured {time.time() - begin:.0f} of {seconds:g} s, {len(recorder.readable)} predictions")
        end, usage = time.time(), meter.finish()
        _sleep(pipeline, recorder, DRAIN_SECONDS)  # always: stations and partitions differ in their latency
        stored = _stored(pipeline.settings)
    finally:
        recorder.close()
    return reporting.figures(recorder.produced, recorder.readable, stored, (begin, end), usage, reports)


def _wait_for_predictions(pipeline: IsolatedPipeline, recorder: EventRecorder) -> None:
    """Wait for the first prediction and for all inference actors: the first one predicts before the others run."""
    limit = time.monotonic() + START_SECONDS
    while not (recorder.readable and _running_actors(pipeline) == pipeline.settings.inference_actors):
        _sleep(pipeline, recorder, 0.2)
        if time.monotonic() > limit:
            wanted = pipeline.settings.inference_actors
            raise PipelineFailed(
                f"{len(recorder.readable)} predictions, and {_running_actors(pipeline)} of {wanted} inference actors "
                f"in {START_SECONDS:g} s"
            )


def _running_actors(pipeline: IsolatedPipeline) -> int:
    """The number of inference actors in the last report of their supervisor."""
    return len((pipeline.folders[SERVE].last_progress() or {}).get("pids", ()))


def _sleep(pipeline: IsolatedPipeline, recorder: EventRecorder, seconds: float) -> None:
    """Sleep, and fail if a job ends or the records are no longer read."""
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        pipeline.check()
        if recorder.failure:
            raise PipelineFailed(f"the predictions could not be read: {recorder.failure!r}") from recorder.failure


def _stored(settings: Settings) -> dict[Key, float]:
    """When the prediction of each observation was stored, Unix seconds."""
    store = open_store(settings.store_url)
    try:
        with store.connect() as connection:
            return _stored_times(connection)
    finally:
        store.dispose()


def _stored_times(connection: Connection) -> dict[Key, float]:
    rows = connection.execute(select(predictions.c.station_id, predictions.c.timestamp, predictions.c.stored_at))
    return {(station, timestamp): at.timestamp() for station, timestamp, at in rows}
