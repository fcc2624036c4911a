"""The sink as a separate process, with a real broker and a real store."""

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
from tests.raw_batches import GZIP, NotUtf8, RawRecord, batch, produce
from tests.ray_heads import end_group
from tests.ray_jobs.conftest import STOP_TIMEOUT, committed
from tests.ray_jobs.windows import leading
from tests.waiting import until
from tests.weatherglass.store.samples import a_guidance
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.jobs.folder import JobFolder
from weatherglass.record_headers import INPUTS_HEADER, Origin, headers
from weatherglass.records import Observation
from weatherglass.registry.registry import Registry
from weatherglass.settings import Settings
from weatherglass.stations import bundled_stations
from weatherglass.store import guidance, weather_alerts
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.predictions import FULL_RETENTION
from weatherglass.store.schema import observations, predictions, shadow_predictions
from weatherglass.store.weather_alerts import EndReason
from weatherglass.topics import (
    FEATURES,
    GUIDANCE,
    MAX_REJECTED_VALUE_BYTES,
    PREDICTIONS,
    RAW,
    REJECTED,
    SHADOW,
    STORE_GROUP,
)

pytestmark = pytest.mark.integration

STATIONS = ("new-york", "boston", "miami")


RECENT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
"""A full hour; 15 minutes later are not in the future either."""
OLD = -int((FULL_RETENTION + timedelta(days=1)).total_seconds()) // 60
"""Minutes from `RECENT` to a full hour at which predictions are thinned."""


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


def predict(settings: Settings, minutes: int) -> list[PredictionResult]:
    manager = ModelManager(Registry(settings))
    predictor = Predictor(HourBuffer(bundled_stations().__getitem__), manager)
    windows = [leading(station, RECENT + timedelta(minutes=minutes), float(minutes % 30)) for station in STATIONS]
    models = replace(manager.current, challenger=PersistenceForecaster(), challenger_version="8")
    return predictor.predict(windows, models)


def publish(settings: Settings, minutes: int) -> None:
    """A prediction and an observation of each station, and others in a transaction that is aborted."""
    now = datetime.now(UTC)
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id="test")
    producer.init_transactions()
    for commit in (True, False):
        producer.begin_transaction()
        for result in predict(settings, minutes if commit else minutes + 1):
            record_headers = [*headers(result.prediction, Origin.REPLAY, now), (INPUTS_HEADER, result.inputs.encode())]
            key = result.prediction.station_id.encode()
            assert result.shadow
            for topic, prediction in ((PREDICTIONS, result.prediction), (SHADOW, result.shadow)):
                producer.send(topic, key=key, value=prediction.to_json(), headers=record_headers)
        for station in STATIONS:
            reading = observation(station, minutes if commit else minutes + 1)
            producer.send(RAW, key=station.encode(), value=reading.to_json(), headers=headers(reading, None, now))
        if commit:
            producer.send(RAW, key=b"x", value=b"{rubbish")
            for year in (b"0001-01-01T00:00:00+01:00", b"9999-12-31T23:59:59-10:00"):  # out of range in UTC
                producer.send(RAW, key=b"x", value=b'{"station_id": "x", "timestamp": "%s", "temperature": 1}' % year)
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
    producer.close()


def rows(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the store without `stored_at` and `id`, by table."""
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
    """Numbers of predictions and observations."""
    return [len(table_rows) for table_rows in rows(settings).values()][:2]


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


def test_committed_records_are_stored_once_when_read_twice(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    publish(settings, 0)
    with sink(settings, folder.path):
        until("stored", lambda: counts(settings) == [3, 3])
        publish(settings, 15)
        until("stored", lambda: {len(table_rows) for table_rows in rows(settings).values()} == {6})
    first = rows(settings)
    rewind(settings)
    folder = JobFolder(tmp_path / "again")
    with sink(settings, folder.path) as process:
        count = 0

        def stored() -> bool:
            nonlocal count
            progress = folder.last_progress() or {}
            count = max(count, progress.get("predictions", 0))
            return count > 0 and progress.get("lag") == 0

        until("read again", stored)
        folder.request_stop("the test")
        assert process.wait(STOP_TIMEOUT) == 0
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
    assert hashes[0] == hashes[1], "both versions use the same inputs"
    assert all(len(inputs) == 64 for _, _, inputs in hashes[0])


def test_the_sink_waits_for_a_store_that_is_not_migrated(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    publish(settings, 0)
    with sink(settings, folder.path):
        until("retry reported", lambda: (folder.last_progress() or {}).get("store_available") is False)
        migrate(settings.store_url)
        until("stored", lambda: counts(settings) == [3, 3])


def test_the_sink_does_not_import_ray_or_mlflow() -> None:
    code = "import sys, weatherglass.sink.sink; sys.exit('ray' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_run_of_guidance_is_stored_once_with_its_source(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    runs = [a_guidance("boston", RECENT), a_guidance("boston", RECENT, "gfs_seamless", simulated=True)]
    sources = (Origin.OPEN_METEO, Origin.SIMULATED)
    records = [
        RawRecord(run.to_json(), headers=headers(run, source, RECENT))
        for run, source in zip(runs, sources, strict=True)
    ]
    produce(settings.bootstrap_servers, GUIDANCE, 3, batch([*records, *records]))
    engine = open_store(settings.store_url)

    def stored() -> list[tuple[Any, Any]]:
        with engine.connect() as connection:
            return [(one.guidance, one.source) for one in guidance.latest(connection, "boston")]

    with sink(settings, folder.path):
        until("stored", lambda: stored() == list(zip(runs, sources, strict=True)))
    engine.dispose()


def test_old_predictions_are_thinned_to_one_per_hour(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    publish(settings, OLD)
    with sink(settings, folder.path):
        until("predictions stored, too old observations skipped", lambda: counts(settings) == [3, 0])
        publish(settings, OLD + 15)
        until("stored", lambda: counts(settings) == [6, 0])
    engine, long_ago = open_store(settings.store_url), datetime.now(UTC) - 2 * weather_alerts.RETENTION
    with engine.begin() as connection:
        weather_alerts.open_alert(connection, 1, "Frost", "boston", {}, long_ago)
        weather_alerts.end(connection, 1, EndReason.CLEARED, long_ago)
    with sink(settings, folder.path):
        publish(settings, 0)
        until("only the first old prediction of each hour kept", lambda: counts(settings) == [3 + 3, 3])
    with engine.connect() as connection:
        assert weather_alerts.list_alerts(connection, 1) == []
    engine.dispose()


def test_records_of_the_future_are_skipped(serving_settings: Settings, tmp_path: Path) -> None:
    settings, folder = serving_settings, JobFolder(tmp_path / "job")
    migrate(settings.store_url)
    publish(settings, 60 * 24 * 365)
    publish(settings, 0)
    with sink(settings, folder.path):
        until("stored without those of next year", lambda: set(map(len, rows(settings).values())) == {3})


def test_invalid_predictions_are_copied_and_other_invalid_records_are_not(
    serving_settings: Settings, tmp_path: Path
) -> None:
    """The features job and inference copy the invalid observations and features."""
    settings, bootstrap = serving_settings, serving_settings.bootstrap_servers
    migrate(settings.store_url)
    garbage = [
        RawRecord(None),
        RawRecord(b"{"),
        RawRecord(b"a" * 3_000_000, b"k" * 3_000_000),
        RawRecord(b"undecodable", headers=[(NotUtf8("name"), b"")]),
        RawRecord(b"[]", headers=[("source", None), ("inputs", None)]),
    ]
    for topic in (RAW, FEATURES, PREDICTIONS, SHADOW, GUIDANCE):
        produce(bootstrap, topic, 1, batch(garbage, GZIP))
    publish(settings, 0)
    folder = JobFolder(tmp_path / "job")
    with sink(settings, folder.path) as process:
        until("stored", lambda: set(map(len, rows(settings).values())) == {3})
        until("copied", lambda: len(committed(bootstrap, REJECTED)) >= 12)
        folder.request_stop("the test")
        assert process.wait(STOP_TIMEOUT) == 0
    copies = committed(bootstrap, REJECTED)
    origins = sorted((dict(copy.headers)["topic"].decode(), int(dict(copy.headers)["offset"])) for copy in copies)
    assert origins == [(topic, offset) for topic in (GUIDANCE, PREDICTIONS, SHADOW) for offset in (0, 1, 2, 4)]
    assert {len(copy.value or b"") for copy in copies} == {0, 1, 2, MAX_REJECTED_VALUE_BYTES}
