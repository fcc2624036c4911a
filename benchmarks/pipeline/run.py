"""Runs the loads of a scenario, one after the other, each in an isolated pipeline."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from benchmarks.pipeline import results as reporting
from benchmarks.pipeline.events import EventRecorder, Key
from benchmarks.pipeline.isolated import (
    FOLDER,
    IsolatedPipeline,
    Log,
    PipelineFailed,
    isolated_pipeline,
    remove_leftovers,
)
from benchmarks.pipeline.scenarios import Load, Scenario, loads
from benchmarks.pipeline.usage import UsageMeter
from weatherglass.files import exclusive_lock
from weatherglass.jobs.progress_tail import ProgressTail
from weatherglass.settings import Settings
from weatherglass.store import benchmark_results
from weatherglass.store.benchmark_results import BenchmarkResult
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.schema import predictions

START_SECONDS = 600.0
"""Limit for the first prediction, on a busy machine."""
WARM_UP_SECONDS = 20.0
"""Between the first prediction and the measurement: the first batches of a job are slow."""
SAMPLE_SECONDS = 2.0
PROGRESS_SECONDS = 20.0
"""Interval of the lines of progress during a measurement."""
DRAIN_SECONDS = 15.0
"""How long the last predictions of the measurement may take; later ones are missing in the figures."""


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
    failed: list[str] = []
    planned = loads(scenario, base)
    store = open_store(settings.store_url)
    try:
        with exclusive_lock(folder / "lock"):
            remove_leftovers(settings, log)
            with store.connect() as connection:
                found = benchmark_results.of_run(connection, run)
            measured_before = {Load(each.stations, each.rate, each.workers) for each in found}
            for number, load in enumerate(planned, start=1):
                if load in measured_before:
                    log(f"Load {number} of {len(planned)}: {load}, measured before the interruption")
                    continue
                log(f"Load {number} of {len(planned)}: {load}, {seconds:g} s")
                try:
                    measured = measure(settings, load, seconds, log, warm_up, broker)
                except (PipelineFailed, OSError) as error:
                    failed.append(f"{load}: {error}")
                    log(f"WARNING: not measured: {failed[-1]}")
                    continue
                found.append(
                    BenchmarkResult(
                        run, datetime.now(UTC), scenario, load.stations, load.rate, load.workers, measured, about
                    )
                )
                with store.begin() as connection:
                    benchmark_results.save(connection, found[-1])
    finally:
        store.dispose()
    if found:
        file = reporting.write_files(folder / "results", run, found)
        log(f"Results of run {run}, also in {file}:")
        for line in reporting.table(found).splitlines():
            log(line)
    if failed:
        raise BenchmarkFailed(f"{len(failed)} of {len(planned)} loads were not measured: " + "; ".join(failed))
    return found


def measure(
    settings: Settings, load: Load, seconds: float, log: Log, warm_up: float, broker: int | None
) -> dict[str, Any]:
    """The figures of a load.

    Raises:
        PipelineFailed: a job ended, or there was no prediction in time.
    """
    with isolated_pipeline(settings, load, log) as pipeline:
        recorder = EventRecorder(pipeline.settings)
        recorder.start()
        try:
            _wait_for_predictions(pipeline, recorder)
            log(f"First prediction; measuring after {warm_up:g} s")
            _sleep(pipeline, warm_up)
            tails = {job: ProgressTail(folder.progress) for job, folder in pipeline.folders.items()}
            reports: dict[str, list[dict[str, Any]]] = {job: [] for job in tails}
            meter, begin = UsageMeter(pipeline, broker), time.time()
            next_line = begin + PROGRESS_SECONDS
            while (left := begin + seconds - time.time()) > 0:
                _sleep(pipeline, min(left, SAMPLE_SECONDS))
                meter.sample()
                for job, tail in tails.items():
                    reports[job] += tail.read()
                if time.time() >= next_line:
                    next_line += PROGRESS_SECONDS
                    log(f"Measured {time.time() - begin:.0f} of {seconds:g} s, {len(recorder.readable)} predictions")
            end, usage = time.time(), meter.finish()
            _drain(pipeline, recorder, end)
            stored = _stored(pipeline.settings)
        finally:
            recorder.close()
    return reporting.figures(recorder.produced, recorder.readable, stored, (begin, end), usage, reports)


def _wait_for_predictions(pipeline: IsolatedPipeline, recorder: EventRecorder) -> None:
    limit = time.monotonic() + START_SECONDS
    while not recorder.readable:
        _sleep(pipeline, 0.2)
        if time.monotonic() > limit:
            raise PipelineFailed(f"no prediction in {START_SECONDS:g} s")


def _sleep(pipeline: IsolatedPipeline, seconds: float) -> None:
    """Sleep, and fail if a job ends."""
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        pipeline.check()


def _drain(pipeline: IsolatedPipeline, recorder: EventRecorder, end: float) -> None:
    """Wait until an observation that was produced after the measurement is predicted, or `DRAIN_SECONDS`."""
    limit = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < limit and _newest(recorder) < end:
        _sleep(pipeline, 0.2)


def _newest(recorder: EventRecorder) -> float:
    """When the newest observation with a prediction was produced, Unix seconds."""
    return max((recorder.produced.get(key, 0.0) for key in list(recorder.readable)), default=0.0)


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
