"""The order of the start, against an Airflow that does what a test says: what takes too long stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import make_settings
from weatherglass.history.prepared import Manifest, write_manifest
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.launcher.errors import PipelineError
from weatherglass.launcher.pipeline import DAGS, HISTORY, INGEST, SERVE, TOPICS, TRAIN, WATCH, PipelineStart
from weatherglass.settings import Settings, Source

GREEN = ""
"""What is waited for at the end, in the words of a wait that asks nobody."""


class Airflow:
    """`states`: how a DAG's runs are; a run of another DAG succeeds."""

    def __init__(self, **states: str):
        self.states = states
        self.opened: list[str] = []
        self.triggered: list[str] = []

    def ensure_pool(self, *_: object) -> None: ...

    def import_errors(self) -> list[str]:
        return []

    def dags(self) -> dict[str, Any]:
        return dict.fromkeys(DAGS)

    def unpause(self, dag_id: str) -> None:
        self.opened.append(dag_id)

    def trigger(self, dag_id: str, note: str) -> str:
        self.triggered.append(dag_id)
        return "a run"

    def runs(self, dag_id: str, *states: str) -> list[dict[str, Any]]:
        there = dag_id in self.triggered and (not states or self.run(dag_id, "")["state"] in states)
        return [self.run(dag_id, "") | {"dag_run_id": "a run"}] if there else []

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return {"state": self.states.get(dag_id, "success")}

    def last_words(self, dag_id: str, run_id: str) -> str:
        return f"the last words of {dag_id}"


class Scene:
    """A start; a wait for what is not done comes to its end at once."""

    def __init__(self, settings: Settings, source: Source = Source.REPLAY, **states: str):
        self.airflow = Airflow(**states)
        self.said: list[str] = []
        self.pipeline = PipelineStart(settings, source, cast(AirflowApi, self.airflow), self.said.append, self._wait)

    def _wait(self, done: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
        if what() != GREEN and not done():
            raise TimeoutError(f"not there after {seconds:.0f} s: {what()}")

    def heard(self) -> str:
        return "\n".join(self.said)


def prepared(settings: Settings, source: str) -> None:
    settings.history_dir.mkdir(parents=True)
    write_manifest(settings.history_dir, Manifest(source, "", "2013-01-01T00:00:00Z", "2013-12-30T23:00:00Z", 1, 1))


def test_history_that_takes_too_long_stops_nothing(settings: Settings) -> None:
    scene = Scene(settings, prepare_history="running")
    scene.pipeline.run()
    assert "NO HISTORY YET" in scene.heard()
    assert {INGEST, TRAIN, SERVE, WATCH} <= set(scene.airflow.opened)
    assert TRAIN not in scene.airflow.triggered, "the history triggers it when it is there"


def test_history_under_way_is_not_begun_once_more(settings: Settings) -> None:
    scene = Scene(settings, prepare_history="running")
    scene.airflow.triggered.append(HISTORY)  # by an earlier start
    scene.pipeline.run()
    assert scene.airflow.triggered.count(HISTORY) == 1
    assert "NO HISTORY YET" in scene.heard()


def test_a_first_model_that_takes_too_long_stops_nothing(settings: Settings) -> None:
    prepared(settings, "nycflights13")
    scene = Scene(settings, train_models="running")
    scene.pipeline.run()
    assert "NO MODEL YET" in scene.heard()
    assert TRAIN in scene.heard().partition("NO MODEL YET")[2], "it is said where to look"
    assert scene.airflow.triggered.count(TRAIN) == 1
    assert {SERVE, WATCH} <= set(scene.airflow.opened)


def test_what_fails_is_said_with_its_last_words(settings: Settings) -> None:
    scene = Scene(settings, prepare_history="failed")
    scene.pipeline.run()
    assert f"NO HISTORY, so forecasts are made without a model:\nthe last words of {HISTORY}" in scene.heard()
    prepared(settings, "nycflights13")
    scene = Scene(settings, train_models="failed")
    scene.pipeline.run()
    assert f"NO MODEL, so forecasts are made without:\nthe last words of {TRAIN}" in scene.heard()


def test_without_topics_nothing_goes_on(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="the last words of bootstrap_topics"):
        Scene(settings, bootstrap_topics="failed").pipeline.run()
    with pytest.raises(TimeoutError, match=TOPICS):
        Scene(settings, bootstrap_topics="running").pipeline.run()


@pytest.mark.parametrize(
    ("source", "history", "zip_is", "missing"),
    [
        (Source.REPLAY, "nycflights13", None, False),
        (Source.REPLAY, "open-meteo", None, True),
        (Source.OPEN_METEO, "open-meteo", None, False),
        (Source.OPEN_METEO, "nycflights13", None, True),
        (Source.REPLAY, "kaggle", "given", False),
        (Source.REPLAY, "nycflights13", "given", True),
        # An account of Kaggle, which only Airflow knows: `auto` has downloaded the zip.
        (Source.REPLAY, "kaggle", "downloaded", False),
        (Source.OPEN_METEO, "kaggle", "downloaded", False),
        (Source.REPLAY, "kaggle", None, True),
    ],
)
def test_history_is_prepared_only_where_it_is_of_another_source(
    tmp_path: Path, source: Source, history: str, zip_is: str | None, missing: bool
) -> None:
    given = tmp_path / "kaggle.zip"
    given.touch()
    settings = make_settings(tmp_path / "state", kaggle_zip=given if zip_is == "given" else None)
    if zip_is == "downloaded":
        settings.kaggle_file.parent.mkdir(parents=True)
        settings.kaggle_file.touch()
    prepared(settings, history)
    scene = Scene(settings, source, train_models="failed")
    scene.pipeline.run()
    assert (HISTORY in scene.airflow.triggered) is missing
