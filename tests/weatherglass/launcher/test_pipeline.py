"""The start of the pipeline against a fake Airflow: slow or failed DAGs do not prevent the rest of the start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import make_settings
from tests.prepared_history import write_history
from weatherglass.history.prepared import MANIFEST, OBSERVATIONS, STATIONS
from weatherglass.history.source_choice import choice_file
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.launcher.errors import PipelineError
from weatherglass.launcher.pipeline import (
    DAGS,
    FILES,
    HEALTHY_SECONDS,
    HISTORY,
    INGEST,
    MONITOR,
    MQTT,
    SERVE,
    SIMULATE,
    TOPICS,
    TRAIN,
    PipelineProblem,
    PipelineStart,
)
from weatherglass.registry.registry import FORECASTER, IMPORTED, ModelVersion, Registry
from weatherglass.settings import Settings, Source


class Airflow:
    """The runs of a DAG have the state in `states`, by default success."""

    def __init__(self, **states: str):
        self.states = states
        self.unpaused: list[str] = []
        self.triggered: list[str] = []
        self.order: list[str] = []
        """DAGs in the order in which they are unpaused; `HISTORY` where it is triggered."""
        self.failed: list[str] = []

    def ensure_pool(self, *_: object) -> None: ...

    def import_errors(self) -> list[str]:
        return []

    def dags(self) -> dict[str, Any]:
        return dict.fromkeys(DAGS)

    def unpause(self, dag_id: str) -> None:
        self.unpaused.append(dag_id)
        if dag_id != HISTORY:
            self.order.append(dag_id)

    def trigger(self, dag_id: str, note: str) -> str:
        self.triggered.append(dag_id)
        self.order.append(dag_id)
        return "run"

    def runs(self, dag_id: str, *states: str) -> list[dict[str, Any]]:
        exists = dag_id in self.triggered and (not states or self.run(dag_id, "")["state"] in states)
        return [self.run(dag_id, "") | {"dag_run_id": "run"}] if exists else []

    def fail(self, dag_id: str, run_id: str) -> None:
        assert run_id == "run"
        self.failed.append(dag_id)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return {"state": self.states.get(dag_id, "success")}

    def failed_task_logs(self, dag_id: str, run_id: str) -> str:
        return f"log of {dag_id}"


class Start:
    """A start whose waits time out immediately."""

    def __init__(self, settings: Settings, **states: str):
        self.airflow = Airflow(**states)
        self.log: list[str] = []
        self.pipeline = PipelineStart(settings, cast(AirflowApi, self.airflow), self.log.append, self._wait)

    def _wait(self, condition: Callable[[], bool], seconds: float, describe: Callable[[], str]) -> None:
        if seconds != HEALTHY_SECONDS and not condition():
            raise TimeoutError(describe())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state", source=Source.REPLAY)


def test_slow_history_is_pending_and_the_other_dags_start(settings: Settings) -> None:
    start = Start(settings, prepare_history="running")
    start.pipeline.run()
    assert start.pipeline.problems == [PipelineProblem.HISTORY_PENDING]
    assert {INGEST, TRAIN, SERVE, MONITOR} <= set(start.airflow.unpaused)
    assert TRAIN not in start.airflow.triggered, "the history triggers it"


class Champion:
    """A registry whose champion was trained on a history from `source`."""

    def __init__(self, source: str, **tags: str):
        self.version = ModelVersion(FORECASTER, "1", Path("unused"), {"data_source": source, **tags})

    def champion(self, _: str) -> ModelVersion:
        return self.version


@pytest.mark.parametrize(("source", "fits"), [("nycflights13", True), ("open-meteo", False)])
def test_with_models_for_the_source_history_is_prepared_when_the_pipeline_works(
    settings: Settings, source: str, fits: bool
) -> None:
    start = Start(settings, prepare_history="running")
    start.pipeline.registry = cast(Registry, Champion(source))
    start.pipeline.run()
    waited = PipelineProblem.HISTORY_PENDING in start.pipeline.problems
    assert waited is not fits
    assert start.airflow.triggered.count(HISTORY) == 1
    assert TRAIN in start.airflow.unpaused, "the history triggers it"
    assert (start.airflow.order.index(HISTORY) > start.airflow.order.index(MONITOR)) is fits


@pytest.mark.parametrize("imported", [False, True])
def test_with_an_imported_champion_a_training_is_triggered_and_not_waited_for(
    settings: Settings, imported: bool
) -> None:
    """It may have failed or been interrupted at an earlier start."""
    write_history(settings.history_dir, "nycflights13")
    start = Start(settings, train_models="running")
    start.pipeline.registry = cast(Registry, Champion("nycflights13", **({IMPORTED: "4"} if imported else {})))
    start.pipeline.run()
    assert (TRAIN in start.airflow.triggered) is imported
    assert start.pipeline.problems == []


def test_an_active_run_of_prepare_history_is_not_triggered_again(settings: Settings) -> None:
    start = Start(settings, prepare_history="running")
    start.airflow.triggered.append(HISTORY)  # by an earlier start
    start.pipeline.run()
    assert start.airflow.triggered.count(HISTORY) == 1
    assert start.pipeline.problems == [PipelineProblem.HISTORY_PENDING]


def test_with_a_damaged_choice_of_the_source_the_present_history_is_kept(settings: Settings) -> None:
    write_history(settings.history_dir, "nycflights13")
    choice_file(settings).write_text("")
    start = Start(settings)
    start.pipeline.run()
    assert HISTORY not in start.airflow.triggered
    assert start.airflow.triggered.count(TRAIN) == 1
    assert any(str(choice_file(settings)) in line for line in start.log)


def test_a_slow_first_training_is_pending_and_the_other_dags_start(settings: Settings) -> None:
    write_history(settings.history_dir, "nycflights13")
    start = Start(settings, train_models="running")
    start.pipeline.run()
    assert start.pipeline.problems == [PipelineProblem.MODEL_PENDING]
    assert start.airflow.triggered.count(TRAIN) == 1
    assert {SERVE, MONITOR} <= set(start.airflow.unpaused)


def test_failed_history_is_reported_with_its_log(settings: Settings) -> None:
    start = Start(settings, prepare_history="failed")
    start.pipeline.run()
    assert start.pipeline.problems == [PipelineProblem.HISTORY_FAILED]
    assert any(f"log of {HISTORY}" in line for line in start.log)


def test_a_failed_training_is_reported_with_its_log(settings: Settings) -> None:
    write_history(settings.history_dir, "nycflights13")
    start = Start(settings, train_models="failed")
    start.pipeline.run()
    assert start.pipeline.problems == [PipelineProblem.MODEL_FAILED]
    assert any(f"log of {TRAIN}" in line for line in start.log)


def test_failed_topics_end_the_start_with_their_log(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=f"log of {TOPICS}"):
        Start(settings, bootstrap_topics="failed").pipeline.run()


def test_topics_that_take_too_long_end_the_start(settings: Settings) -> None:
    with pytest.raises(TimeoutError, match=TOPICS):
        Start(settings, bootstrap_topics="running").pipeline.run()


@pytest.mark.parametrize("name", [MANIFEST, STATIONS, f"{OBSERVATIONS}/year=2014/part.parquet"])
def test_a_damaged_history_is_reported_and_prepared_again(settings: Settings, name: str) -> None:
    write_history(settings.history_dir, "nycflights13")
    (settings.history_dir / name).write_bytes(b"")
    start = Start(settings, train_models="failed")
    start.pipeline.run()
    assert HISTORY in start.airflow.triggered
    assert any(str(settings.history_dir / name) in line for line in start.log)


@pytest.mark.parametrize(
    ("source", "history", "zip_file", "prepares"),
    [
        (Source.REPLAY, "nycflights13", None, False),
        (Source.REPLAY, "open-meteo", None, True),
        (Source.OPEN_METEO, "open-meteo", None, False),
        (Source.OPEN_METEO, "nycflights13", None, True),
        (Source.REPLAY, "kaggle", "given", False),
        (Source.REPLAY, "nycflights13", "given", True),
        # Downloaded with the Kaggle account of an Airflow connection.
        (Source.REPLAY, "kaggle", "downloaded", False),
        (Source.OPEN_METEO, "kaggle", "downloaded", False),
        (Source.REPLAY, "kaggle", None, True),
    ],
)
def test_history_is_prepared_only_if_it_is_from_another_source(
    tmp_path: Path, source: Source, history: str, zip_file: str | None, prepares: bool
) -> None:
    kaggle_zip = tmp_path / "kaggle.zip"
    kaggle_zip.touch()
    settings = make_settings(tmp_path / "state", source=source, kaggle_zip=kaggle_zip if zip_file == "given" else None)
    if zip_file == "downloaded":
        settings.kaggle_file.parent.mkdir(parents=True)
        settings.kaggle_file.touch()
    write_history(settings.history_dir, history)
    start = Start(settings, train_models="failed")
    start.pipeline.run()
    assert (HISTORY in start.airflow.triggered) is prepares


def test_simulated_stations_are_not_polled(tmp_path: Path) -> None:
    start = Start(make_settings(tmp_path / "state", source=Source.SIMULATE), train_models="failed")
    start.pipeline.run()
    assert SIMULATE in start.airflow.unpaused
    assert INGEST not in start.airflow.triggered


@pytest.mark.parametrize("state", ["running", "success"])
def test_the_simulation_of_an_earlier_start_is_stopped_if_the_source_is_another(settings: Settings, state: str) -> None:
    start = Start(settings, simulate_observations=state)
    start.airflow.triggered.append(SIMULATE)
    with suppress(TimeoutError):
        start.pipeline.run()
    assert start.airflow.failed == ([SIMULATE] if state == "running" else [])
    assert SIMULATE not in start.airflow.unpaused


@pytest.mark.parametrize("url", ["", "mqtt://broker"])
def test_mqtt_messages_are_received_if_a_broker_is_set_and_files_always(tmp_path: Path, url: str) -> None:
    start = Start(make_settings(tmp_path / "state", source=Source.REPLAY, mqtt_url=url), train_models="failed")
    start.pipeline.run()
    assert FILES in start.airflow.unpaused
    assert (MQTT in start.airflow.unpaused) is bool(url)


def test_the_mqtt_job_of_an_earlier_start_is_stopped_if_no_broker_is_set(settings: Settings) -> None:
    start = Start(settings, receive_mqtt="running")
    start.airflow.triggered.append(MQTT)
    with suppress(TimeoutError):
        start.pipeline.run()
    assert start.airflow.failed == [MQTT]
