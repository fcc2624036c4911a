"""The inference loop on a broker that fails at any step of a transaction: each input has its effect exactly once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kafka import TopicPartition

from ray_jobs.inference import inference_loop
from ray_jobs.inference.inference_loop import InferenceLoop, LostTransaction
from ray_jobs.inference.model_manager import ModelManager
from tests.ray_jobs.fake_broker import Crash, FakeBroker, FakeConsumer, FakeProducer, Fault
from tests.ray_jobs.windows import START, leading
from weatherglass.consumer import record_reader
from weatherglass.records import Prediction
from weatherglass.registry.registry import Registry
from weatherglass.settings import Settings
from weatherglass.stations import bundled_stations
from weatherglass.topics import FEATURES, HOURS, PREDICTIONS, REJECTED, SHADOW

PARTITIONS = {FEATURES: 2, HOURS: 1, PREDICTIONS: 2, SHADOW: 1, REJECTED: 1}
STATIONS = ("boston", "denver", "miami")
STEPS = ("begin_transaction", "send", "send_offsets_to_transaction", "commit_transaction", "abort_transaction")


class Transactions(RuleBasedStateMachine):
    """`sent` are the valid windows and `invalid` the invalid records, by the log and offset at which they are."""

    models: ModelManager
    product_settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.broker = FakeBroker(PARTITIONS)
        self.sent: dict[tuple[TopicPartition, int], tuple[str, Any]] = {}
        self.invalid: set[tuple[str, int, int]] = set()
        self.minutes = 0
        self.patches = [
            patch.object(record_reader, "KafkaConsumer", lambda **options: FakeConsumer(self.broker, **options)),
            patch.object(record_reader, "tolerate_undecodable", lambda *_: None),
            patch.object(inference_loop, "KafkaProducer", lambda **options: FakeProducer(self.broker, **options)),
            patch.object(inference_loop.time, "sleep", lambda _: None),
        ]
        for one in self.patches:
            one.start()
        self.loop: InferenceLoop | None = None

    def teardown(self) -> None:
        for one in self.patches:
            one.stop()

    def run(self, loop: InferenceLoop, step: str) -> bool:
        """Run a step; False if the process ended."""
        try:
            getattr(loop, step)()
        except (Crash, LostTransaction):
            return False
        return True

    @rule(stations=st.lists(st.sampled_from(STATIONS), min_size=1, max_size=4), gap=st.integers(1, 40))
    def send_windows(self, stations: list[str], gap: int) -> None:
        for station in stations:
            self.send_window(station, gap)

    def send_window(self, station: str, gap: int) -> None:
        self.minutes += gap
        window = leading(station, START + timedelta(minutes=self.minutes))
        tp = TopicPartition(FEATURES, STATIONS.index(station) % PARTITIONS[FEATURES])
        offset = self.broker.produce(*tp, station.encode(), window.to_json())
        self.sent[tp, offset] = station, window.aggregated_features.last_observation

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 5))
    def repeat_window(self, number: int) -> None:
        """The features job repeats records after a crash."""
        (tp, offset), window = list(self.sent.items())[-1 - number % len(self.sent)]
        record, _ = self.broker.logs[tp][offset]
        self.sent[tp, self.broker.produce(*tp, record.key, record.value)] = window

    @rule(topic=st.sampled_from((FEATURES, HOURS)), partition=st.integers(0, 1), value=st.sampled_from((b"{", b"[]")))
    def send_invalid(self, topic: str, partition: int, value: bytes) -> None:
        tp = TopicPartition(topic, partition % PARTITIONS[topic])
        self.invalid.add((*tp, self.broker.produce(*tp, b"key", value)))

    def start(self) -> None:
        loop = InferenceLoop(self.product_settings, 0, self.models, bundled_stations().__getitem__)
        loop._connect()
        self.loop = loop if self.run(loop, "_recover") else None

    @rule(faults=st.dictionaries(st.sampled_from(STEPS), st.sampled_from(Fault), max_size=2), batches=st.integers(1, 3))
    def work(self, faults: dict[str, Fault], batches: int) -> None:
        """Start a process if none runs, and process batches."""
        self.broker.faults = faults
        for _ in range(batches):
            if self.loop is None:
                self.start()
            if self.loop and not self.run(self.loop, "_process_batch"):
                self.loop = None
        self.broker.faults = {}

    @precondition(lambda self: self.loop is not None)
    @rule()
    def crash(self) -> None:
        self.loop = None

    @precondition(lambda self: self.loop is not None)
    @rule()
    def wake_as_a_zombie(self) -> None:
        """A process continues after its successor has started: the broker fences its producer."""
        zombie, self.loop = self.loop, None
        assert zombie
        self.start()
        before = len(self.broker.visible(PREDICTIONS)), dict(self.broker.committed)
        if self.loop:
            self.send_window("boston", 1)
            self.run(zombie, "_process_batch")
            assert (len(self.broker.visible(PREDICTIONS)), self.broker.committed) == before

    @invariant()
    def every_effect_is_visible_exactly_once(self) -> None:
        committed = {tp: offset.offset for tp, offset in self.broker.committed.items()}
        consumed = [key for (tp, offset), key in self.sent.items() if offset < committed.get(tp, 0)]
        predictions = [Prediction.from_json(record.value) for record in self.broker.visible(PREDICTIONS)]
        predicted = Counter((prediction.station_id, prediction.timestamp) for prediction in predictions)
        assert set(predicted.values()) <= {1}
        assert set(predicted) <= set(consumed)
        newest = {station: max(time for name, time in consumed if name == station) for station, _ in consumed}
        assert set(newest.items()) <= set(predicted)
        copies = [{name: text.decode() for name, text in r.headers} for r in self.broker.visible(REJECTED)]
        copied = Counter((copy["topic"], int(copy["partition"]), int(copy["offset"])) for copy in copies)
        expected = {(t, p, o) for t, p, o in self.invalid if o < committed.get(TopicPartition(t, p), 0)}
        assert copied == Counter(expected)


def test_transactions(tmp_path_factory: pytest.TempPathFactory) -> None:
    Transactions.product_settings = Settings(state_dir=tmp_path_factory.mktemp("state"))
    Transactions.models = ModelManager(Registry(Transactions.product_settings))
    case = Transactions.TestCase
    case.settings = settings(
        max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
