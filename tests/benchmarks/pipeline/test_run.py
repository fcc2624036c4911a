"""The loads of a run: an error costs one of them, and what is measured is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError
from sqlalchemy.exc import OperationalError

from benchmarks.pipeline import events, run
from benchmarks.pipeline.isolated import SERVE, PipelineFailed
from benchmarks.pipeline.scenarios import Load, Scenario, loads
from benchmarks.pipeline.usage import Usage
from tests.waiting import until
from weatherglass.files import exclusive_lock
from weatherglass.settings import Settings
from weatherglass.store import benchmark_results
from weatherglass.store.engine import open_store

LOAD = Load(3, 3.0, 1)
FIGURES: dict[str, Any] = {"latency_ms": {"p50": 1.0}}
PLANNED = loads(Scenario.WORKERS, LOAD)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def run_all(settings: Settings, log: Callable[[str], None] = lambda _: None) -> list[Load]:
    found = run.run_scenario(settings, "run-1", Scenario.WORKERS, LOAD, 1.0, log)
    return [Load(each.stations, each.rate, each.workers) for each in found]


def saved(settings: Settings) -> int:
    store = open_store(settings.store_url)
    with store.connect() as connection:
        count = len(benchmark_results.newest(connection, 10))
    store.dispose()
    return count


def rows_of_file(settings: Settings) -> int:
    return len((settings.state_dir / "benchmarks" / "results" / "run-1.csv").read_text().splitlines()) - 1


@pytest.mark.parametrize(
    "error",
    [
        PipelineFailed("job"),
        OSError("disk"),
        KafkaTimeoutError(),
        OperationalError("select", {}, Exception("locked")),
        psutil.NoSuchProcess(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_affects_one_load(settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def measure(_: Settings, load: Load, *__: object) -> dict[str, Any]:
        if load == PLANNED[1]:
            raise error
        return FIGURES

    monkeypatch.setattr(run, "measure", measure)
    with pytest.raises(run.BenchmarkFailed):
        run_all(settings)
    assert saved(settings) == rows_of_file(settings) == len(PLANNED) - 1
    error = PipelineFailed()
    monkeypatch.setattr(run, "measure", lambda *_: FIGURES)
    assert sorted(run_all(settings), key=PLANNED.index) == PLANNED


def test_the_files_are_written_if_the_run_is_interrupted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: Settings, load: Load, *__: object) -> dict[str, Any]:
        if load == PLANNED[1]:
            raise KeyboardInterrupt
        return FIGURES

    monkeypatch.setattr(run, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run_all(settings)
    assert rows_of_file(settings) == 1


def test_what_a_load_leaves_is_removed_before_the_next_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    monkeypatch.setattr(run, "remove_leftovers", lambda *_: steps.append("remove"))
    monkeypatch.setattr(run, "measure", lambda *_: steps.append("measure") or FIGURES)
    run_all(settings)
    assert steps == ["remove", "measure"] * len(PLANNED)


def test_waiting_for_another_run_is_logged(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure", lambda *_: FIGURES)
    first_line = threading.Event()
    with exclusive_lock(settings.state_dir / "benchmarks" / "lock"):
        thread = threading.Thread(target=run_all, args=(settings, lambda _: first_line.set()))
        thread.start()
        logged = first_line.wait(60)
    thread.join()
    assert logged


class Recorder:
    """Records nothing, and then has one prediction."""

    def __init__(self, _: Settings):
        self.produced: dict[events.Key, float] = {}
        self.readable = {("a", None): 1.0}
        self.failure: Exception | None = None

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


class Pipeline:
    """A running pipeline, whose inference actors report one after the other."""

    def __init__(self, workers: int = 1):
        self.settings = SimpleNamespace(inference_actors=workers)
        self.reports = [{"message": "starting"}, *({"pids": list(range(count + 1))} for count in range(workers))]
        self.folders = {SERVE: SimpleNamespace(last_progress=self.last_progress, progress=Path("missing"))}

    def last_progress(self) -> dict[str, Any]:
        return self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]

    def check(self) -> None:
        pass


@pytest.fixture
def measurable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`measure` without processes and waiting."""
    monkeypatch.setattr(run, "EventRecorder", Recorder)
    monkeypatch.setattr(run, "UsageMeter", lambda *_: SimpleNamespace(sample=lambda: None, finish=Usage))
    monkeypatch.setattr(run, "_stored", lambda _: {})
    monkeypatch.setattr(run, "DRAIN_SECONDS", 0.0)
    monkeypatch.setattr(run.reporting, "figures", lambda *_: FIGURES)


@pytest.mark.usefixtures("measurable")
def test_figures_are_kept_if_the_pipeline_cannot_be_removed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def pipeline(*_: object) -> Iterator[Pipeline]:
        yield Pipeline()
        raise PipelineFailed("host.log")

    lines: list[str] = []
    monkeypatch.setattr(run, "isolated_pipeline", pipeline)
    assert run.measure(settings, LOAD, 0.01, lines.append, 0.0, None) == FIGURES
    assert [line for line in lines if line.startswith("WARNING") and "host.log" in line]


@pytest.mark.usefixtures("measurable")
def test_a_pipeline_that_fails_before_the_end_has_no_figures(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def pipeline(*_: object) -> Iterator[Pipeline]:
        raise PipelineFailed
        yield

    monkeypatch.setattr(run, "isolated_pipeline", pipeline)
    with pytest.raises(PipelineFailed):
        run.measure(settings, LOAD, 0.01, lambda _: None, 0.0, None)


@pytest.mark.usefixtures("measurable")
def test_predictions_after_the_measurement_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all stations: the first one of any station does not end the wait."""
    slept: list[float] = []
    monkeypatch.setattr(run, "DRAIN_SECONDS", 15.0)
    monkeypatch.setattr(run, "_sleep", lambda _pipeline, _recorder, seconds: slept.append(seconds))
    run._measure_running(Pipeline(), 0.0, lambda _: None, 0.0, None)  # type: ignore[arg-type]
    assert slept[-1] == 15.0


@pytest.mark.parametrize("workers", [1, 3])
def test_the_warm_up_begins_when_all_inference_actors_run(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    pipeline: Any = Pipeline(workers)
    monkeypatch.setattr(run, "_sleep", lambda *_: None)
    run._wait_for_predictions(pipeline, Recorder(Settings()))  # type: ignore[arg-type]
    assert len(pipeline.last_progress()["pids"]) == workers
    pipeline.settings.inference_actors += 1
    monkeypatch.setattr(run, "START_SECONDS", 0.0)
    with pytest.raises(PipelineFailed):
        run._wait_for_predictions(pipeline, Recorder(Settings()))  # type: ignore[arg-type]


def test_an_error_of_the_recorder_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        def __init__(self, *_: object):
            pass

        def partitions_of(self, _: str) -> list[Any]:
            return []

        def assign(self, partitions: Any) -> None:
            pass

        def poll(self, _: int) -> dict[Any, Any]:
            raise KafkaConnectionError("broker")

        def close(self) -> None:
            pass

    monkeypatch.setattr(events, "RecordReader", Reader)
    recorder = events.EventRecorder(Settings(topic_prefix="trial-"))
    recorder.start()
    failure = until("the error", lambda: recorder.failure)
    with pytest.raises(PipelineFailed) as raised:
        run._sleep(Pipeline(), recorder, 60.0)  # type: ignore[arg-type]
    assert raised.value.__cause__ is failure
    recorder.close()
