"""Mutated records on all topics: every reader survives, counts what it skips, and goes on; the API answers.

`MUTATED_RECORDS` and `MUTATION_SEED` set the number of mutations and the seed.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kafka.consumer.fetcher import ConsumerRecord
from sqlalchemy import Table, select

from producer.replay_rejected import Selection, replay_rejected
from ray_jobs.inference.inference_loop import InferenceLoop
from tests.conftest import TestBroker, make_settings
from tests.mutated_records import Mutation, Mutator
from tests.raw_batches import GZIP, NONE, ZSTD, RawRecord, batch, produce
from tests.ray_jobs.conftest import STOP_TIMEOUT, serving
from tests.waiting import until
from tests.weatherglass.api.endpoints import get_paths
from tests.weatherglass.store.samples import a_guidance, a_window, an_observation
from weatherglass.api.app import create_app
from weatherglass.consumer.record_reader import RecordReader
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.settings import Settings
from weatherglass.sink import sink as sink_module
from weatherglass.sink.sink import Sink
from weatherglass.store import schema
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.topics import FEATURES, GUIDANCE, HOURS, PREDICTIONS, RAW, REJECTED, SHADOW, TOPICS

pytestmark = pytest.mark.integration

COUNT = int(os.environ.get("MUTATED_RECORDS", "600"))
SEED = int(os.environ.get("MUTATION_SEED", "17"))
BATCH = 20
PARTITIONS = {topic.name: topic.partitions for topic in TOPICS}
SINK_TOPICS = (RAW, FEATURES, PREDICTIONS, SHADOW, GUIDANCE)


@contextmanager
def storing(settings: Settings, folder: JobFolder) -> Iterator[Sink]:
    """Run the sink in a thread of this process."""
    sink = Sink(settings, Job(folder))
    thread = threading.Thread(target=sink.run, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        folder.request_stop("the test")
        thread.join(STOP_TIMEOUT)
        assert not thread.is_alive()
        sink.close()


def publish(bootstrap: str, mutations: list[Mutation], pick: random.Random) -> None:
    batches: defaultdict[tuple[str, int], list[RawRecord]] = defaultdict(list)
    for mutation in mutations:
        batches[mutation.topic, pick.randrange(PARTITIONS[mutation.topic])].append(mutation.record)
    for (topic, partition), records in batches.items():
        large = sum(len(record.value or b"") for record in records) > 900_000
        # On weather-raw, the broker converts other batches to gzip, which repairs header names that are not UTF-8.
        compression = GZIP if large or topic == RAW else pick.choice((NONE, GZIP, ZSTD))
        produce(bootstrap, topic, partition, batch(records, compression))


def await_valid_records(settings: Settings, name: str) -> None:
    """Send valid records of a station of this name to each partition of these topics, and await their rows."""
    time = datetime.now(UTC).replace(second=0, microsecond=0)
    stations = {f"{name}-{partition}" for partition in range(PARTITIONS[RAW])}
    for partition, station in enumerate(sorted(stations)):
        observation, window = an_observation(station, time), a_window(time, station)
        produce(settings.bootstrap_servers, RAW, partition, batch([RawRecord(observation.to_json())]))
        produce(settings.bootstrap_servers, FEATURES, partition, batch([RawRecord(window.to_json())]))
        guidance = a_guidance(station, time)
        produce(settings.bootstrap_servers, GUIDANCE, partition, batch([RawRecord(guidance.to_json())]))
    for table in (schema.observations, schema.predictions, schema.features, schema.guidance):
        until(f"rows of {table.name}", lambda table=table: stations <= stored_stations(settings, table))


def stored_stations(settings: Settings, table: Table) -> set[str]:
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            return set(connection.execute(select(table.c.station_id)).scalars())
    finally:
        engine.dispose()


def copies_of_records(settings: Settings, mutations: list[Mutation]) -> list[ConsumerRecord]:
    """The records of `weather-rejected` that are not mutations themselves."""
    own = {mutation.record.key for mutation in mutations if mutation.topic == REJECTED}
    reader = RecordReader(settings)
    try:
        reader.assign(reader.partitions_of(REJECTED))
        return [record for record in reader.read_to_end(lambda: None) if record.key not in own]
    finally:
        reader.close()


def model_states(loop: InferenceLoop) -> dict[str, str]:
    models: Any = loop.health()["models"]
    return {name: model["state"] for name, model in models.items()}


def assert_no_endpoint_fails(settings: Settings) -> None:
    stations = stored_stations(settings, schema.predictions) | stored_stations(settings, schema.observations)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        paths = {path for station in sorted(stations) for path in get_paths(client.app, station)}
        failed = [path for path in sorted(paths) if client.get(path).status_code == 500]
    assert failed == []


def test_mutated_records_stop_nothing(
    fresh_broker: TestBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "REPORT_SECONDS", float("inf"))  # the counts are never reset
    settings = make_settings(tmp_path / "state", kafka_port=fresh_broker.settings.kafka_port)
    migrate(settings.store_url)
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    mutator, pick = Mutator(SEED, datetime.now(UTC)), random.Random(SEED)
    mutations: list[Mutation] = []
    with serving(settings) as (loop, _), storing(settings, folder) as sink:
        states = model_states(loop)
        while len(mutations) < COUNT:
            mutations += (new := [mutator.mutation() for _ in range(BATCH * len(PARTITIONS))])
            publish(settings.bootstrap_servers, new, pick)
        # Twice, because hours are read at each batch, up to the end at that time.
        for name in ("valid", "valid-later"):
            await_valid_records(settings, name)
        until("all features", lambda: loop.statistics.lag == 0)
        assert model_states(loop) == states

        sent = Counter(mutation.topic for mutation in mutations)
        undecodable = Counter(mutation.topic for mutation in mutations if mutation.undecodable)
        valid = Counter({topic: 2 * PARTITIONS[topic] for topic in (RAW, FEATURES, GUIDANCE)})
        assert loop.statistics.records == sent[FEATURES] + valid[FEATURES] - undecodable[FEATURES]
        expected = sum(sent[topic] + valid[topic] for topic in SINK_TOPICS) + loop.statistics.predictions
        until("the sink", lambda: sum(sink.counts.values()) == expected)
        assert sink.reader.undecodable == sum(undecodable[topic] for topic in SINK_TOPICS)
        until("the copies of the sink", lambda: not sink._rejected)
        copies = copies_of_records(settings, mutations)
        by_topic = Counter(dict(copy.headers)["topic"].decode() for copy in copies)
        skipped = sum(by_topic[topic] + undecodable[topic] for topic in (FEATURES, HOURS))
        until("the counts of inference", lambda: loop.statistics.rejected == skipped)
        keys = Counter(copy.key for copy in copies)
        assert set(keys.values()) == {1}, "no record is copied twice"
        must_be_copied = {
            mutation.record.key
            for mutation in mutations
            if mutation.invalid and not mutation.undecodable and mutation.topic not in (RAW, REJECTED)
        }
        assert must_be_copied
        assert [m for m in mutations if m.record.key in must_be_copied - keys.keys()] == []
        assert len(keys) < sum(sent[topic] for topic in (FEATURES, HOURS, PREDICTIONS, SHADOW, GUIDANCE)), (
            "some are valid"
        )

        assert_no_endpoint_fails(settings)
        replay_rejected(settings, Selection(), datetime.now(UTC), False, lambda _: None)
        await_valid_records(settings, "valid-after-replay")
        assert loop.statistics.phase == "serving"
    print(
        f"{len(mutations)} mutations, seed {SEED}: {dict(sent)}, undecodable {dict(undecodable)}, "
        f"copied {dict(by_topic)}, sink {dict(sink.counts)}, inference rejected {loop.statistics.rejected}"
    )
