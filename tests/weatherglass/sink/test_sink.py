"""The sink as a process of its own, with the real broker and a real store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from sqlalchemy import select

from ray_jobs.inference.hour_buffer import HourBuffer
from ray_jobs.inference.model_manager import ModelManager
from ray_jobs.inference.predictor import PredictionResult, Predictor
from tests.ray_heads import end_group
from tests.ray_jobs.conftest import PATIENCE
from tests.ray_jobs.windows import leading
from tests.waiting import until
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.jobs.folder import JobFolder
from weatherglass.records import INPUTS_HEADER, Observation, Origin, headers
from weatherglass.registry.registry import Registry
from weatherglass.settings import Settings
from weatherglass.stations import known_stations
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.predictions import KEPT_WHOLE
from weatherglass.store.schema import observations, predictions, shadow_predictions
from weatherglass.topics import PREDICTIONS, RAW, SHADOW, STORE_GROUP

pytestmark = pytest.mark.integration

STATIONS = ("new-york", "boston", "miami")


RECENT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
"""So that a quarter of an hour later is no future either."""
OLD = -int((KEPT_WHOLE + timedelta(days=1)).total_seconds()) // 60
"""Minutes from `RECENT`, on a full hour."""


def observation(station_id: str, minutes: int) -> Observation:
    return Observation(
        station_id=station_id,
        timestamp=RECENT + timedelta(minutes=minutes),
        temperature=minutes / 10,
        humidity=50.0,
        pressure=None,
        wind_speed=3.0,
        wind_direction=180.0,
    )


def some_answers(settings: Settings, minutes: int) -> list[PredictionResult]:
    champions = ModelManager(Registry(settings))
    answers = Predictor(HourBuffer(known_stations().__getitem__), champions)
    windows = [leading(station, RECENT + timedelta(minutes=minutes), float(minutes % 30)) for station in STATIONS]
    return answers.answer(
        windows, replace(champions.current, challenger=PersistenceForecaster(), challenger_version="8")
    )


def publish(settings: Settings, minutes: int) -> None:
    """A prediction and an observation of each station, and one of each that an aborted transaction takes back."""
    now = datetime.now(UTC)
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id="test")
    producer.init_transactions()
    for good in (True, False):
        producer.begin_transaction()
        for answer in some_answers(settings, minutes if good else minutes + 1):
            about = [*headers(answer.prediction, Origin.REPLAY, now), (INPUTS_HEADER, answer.inputs.encode())]
            key = answer.prediction.station_id.encode()
            assert answer.shadow
            for topic, made in ((PREDICTIONS, answer.prediction), (SHADOW, answer.shadow)):
                producer.send(topic, key=key, value=made.to_json(), headers=about)
        for station in STATIONS:
            reading = observation(station, minutes if good else minutes + 1)
            producer.send(RAW, key=station.encode(), value=reading.to_json(), headers=headers(reading, None, now))
        if good:
            producer.send(RAW, key=b"x", value=b"{rubbish")
            for year in (b"0001-01-01T00:00:00+01:00", b"9999-12-31T23:59:59-10:00"):  # UTC has no such year
                producer.send(RAW, key=b"x", value=b'{"station_id": "x", "timestamp": "%s", "temperature": 1}' % year)
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
    producer.close()


def rows(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """What the store holds, but for when it came there and its running numbers."""
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(
                    tuple(str(value) for name, value in row._mapping.items() if name not in ("stored_at", "id"))
                    for row in connection.execute(select(table))
                )
                for table in (predictions, observations, shadow_predictions)
            }
    finally:
        engine.dispose()


def counts(settings: Settings) -> list[int]:
    """Of predictions and of observations."""
    return [len(some) for some in rows(settings).values()][:2]


@contextmanager
def sink(settings: Settings, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_KAFKA_PORT": str(settings.kafka_port),
    }
    command = [sys.executable, "-m", "weatherglass.sink", str(folder)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        end_group(process)


def rewind(settings: Settings) -> None:
    consumer = KafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, group_id=STORE_GROUP, enable_auto_commit=False
    )
    for topic in (RAW, PREDICTIONS, SHADOW):
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        for tp in partitions:
            consumer.position(tp)
        consumer.commit()
    consumer.close()


def test_what_is_committed_is_stored_once_however_often_it_is_read(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    publish(settings, 0)
    with sink(settings, folder.path):
        until("stored", lambda: counts(settings) == [3, 3])
        publish(settings, 15)
        until("stored", lambda: {len(some) for some in rows(settings).values()} == {6})
    first = rows(settings)
    rewind(settings)
    folder = JobFolder(tmp_path / "again")
    with sink(settings, folder.path) as process:
        done = 0

        def stored() -> bool:
            nonlocal done
            progress = folder.last_progress() or {}
            done = max(done, progress.get("predictions", 0))
            return done > 0 and progress.get("lag") == 0

        until("read again", stored)
        folder.request_stop("the test")
        assert process.wait(PATIENCE) == 0
    assert rows(settings) == first
    assert folder.outcome().ok
    engine = open_store(settings.store_url)
    with engine.connect() as connection:
        hashes = [
            set(connection.execute(select(table.c.station_id, table.c.timestamp, table.c.inputs_hash)))
            for table in (predictions, shadow_predictions)
        ]
        versions = set(connection.execute(select(shadow_predictions.c.model_version)).scalars())
    engine.dispose()
    assert versions == {"8"}
    assert hashes[0] == hashes[1], "both forecast from the same inputs"
    assert all(len(inputs) == 64 for _, _, inputs in hashes[0])


def test_a_store_that_is_not_ready_is_waited_for(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    publish(settings, 0)
    with sink(settings, folder.path):
        until("said so", lambda: "does not answer" in (folder.last_progress() or {}).get("said", ""))
        migrate(settings.store_url)
        until("stored", lambda: counts(settings) == [3, 3])


def test_it_needs_no_ray() -> None:
    """The sink is to be a small process."""
    code = "import sys, weatherglass.sink.sink; sys.exit('ray' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_old_predictions_are_thinned_to_one_an_hour(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    publish(settings, OLD)
    with sink(settings, folder.path):
        until("stored, but for readings beyond the horizon of the past", lambda: counts(settings) == [3, 0])
        publish(settings, OLD + 15)
        until("stored", lambda: counts(settings) == [6, 0])
    with sink(settings, folder.path):
        publish(settings, 0)
        until("the old predictions of each hour but its first gone", lambda: counts(settings) == [3 + 3, 3])


def test_a_reading_of_the_future_is_not_the_newest(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    publish(settings, 60 * 24 * 365)
    publish(settings, 0)
    with sink(settings, folder.path):
        until("stored, but for the readings of next year", lambda: counts(settings) == [6, 3])
