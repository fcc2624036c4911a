"""A complete run of the DAG `ingest_files` with a real broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, make_settings
from tests.dags.dag_runner import DagRunner
from tests.producer.topic_reader import reading
from weatherglass.records import iso
from weatherglass.stations import STATIONS_CSV

pytestmark = pytest.mark.integration


def test_a_file_in_the_folder_is_published_and_moved(tmp_path: Path, broker: TestBroker) -> None:
    settings = make_settings(tmp_path / "state", kafka_bootstrap=broker.bootstrap_servers)
    settings.incoming_folder.mkdir(parents=True)
    settings.station_table.write_text(STATIONS_CSV.read_text() + "garden,My garden,,59.9,10.7,23,Europe/Oslo,,,\n")
    bootstrap_topics(broker.settings, log=lambda _: None)
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    lines = ["station_id,timestamp,temperature", f"garden,{iso(time)},15.5", "garden,?,15.5"]
    (settings.incoming_folder / "a.csv").write_text("\n".join(lines))
    with reading(broker.bootstrap_servers) as reader:
        dags = DagRunner(tmp_path / "airflow", settings)
        states = dags.run("ingest_files", WEATHERGLASS_KAFKA_BOOTSTRAP=broker.bootstrap_servers)
        assert states == {"wait": "success", "publish": "success"}
        (observation,) = reader.observations()
    assert (observation.station_id, observation.timestamp, observation.temperature) == ("garden", time, 15.5)
    report = json.loads((settings.incoming_folder / "done" / "a.csv.report.json").read_text())
    assert [(problem["code"], problem["lines"]) for problem in report["problems"]] == [("time_format", "3")]
    assert dags.summaries("ingest_files") == ["1 observation from 1 file"]
    assert not (settings.incoming_folder / "a.csv").exists()
