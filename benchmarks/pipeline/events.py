"""When each observation was produced and when its prediction was readable, from the records on the topics."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from datetime import datetime

from kafka.consumer.fetcher import ConsumerRecord

from weatherglass.consumer.record_reader import POLL_MS, RecordReader
from weatherglass.settings import Settings

Key = tuple[str, datetime]
"""Station and time of an observation."""


class EventRecorder:
    """Follows observations and predictions in a thread, as any consumer of the predictions does.

    Attributes:
        produced: when an observation was produced, by the header `produced_at`; Unix seconds.
        readable: when its prediction was read, after the end of its transaction; Unix seconds.
        failure: why it reads no longer; None while it does.
    """

    def __init__(self, settings: Settings):
        self.produced: dict[Key, float] = {}
        self.readable: dict[Key, float] = {}
        self.failure: Exception | None = None
        self._topics = settings.topics
        self._reader = RecordReader(settings)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._reader.assign(
            partition
            for topic in (self._topics.raw, self._topics.predictions)
            for partition in self._reader.partitions_of(topic)
        )
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self._reader.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                polled = self._reader.poll(POLL_MS)
                now = time.time()
                self.add((record for records in polled.values() for record in records), now)
        except Exception as error:  # of a thread: the measurement asks for it
            self.failure = error

    def add(self, records: Iterable[ConsumerRecord], now: float) -> None:
        """Add records that were read at a time, in Unix seconds."""
        for record in records:
            content = json.loads(record.value)
            key = content["station_id"], datetime.fromisoformat(content["timestamp"])
            if record.topic == self._topics.raw:
                text = dict(record.headers)["produced_at"].decode()
                self.produced.setdefault(key, datetime.fromisoformat(text).timestamp())
            else:
                self.readable.setdefault(key, now)
