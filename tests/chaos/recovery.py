"""How long it takes until predictions flow again, measured from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from tests.chaos.log_reader import StoredRecord
from tests.chaos.parsed import is_foreign, parse
from tests.chaos.topic_reader import PREDICTIONS


class PredictionWatch:
    """Reads `weather-predictions` as a consumer does, and remembers when each prediction became visible.

    Args:
        right: the time at which an observation was made, for the time that it shows: the producer's clock may be wrong.
    """

    def __init__(self, servers: str, right: Callable[[datetime], datetime]):
        self.seen: list[tuple[float, datetime]] = []
        """Unix time at which a prediction was read, and time at which its observation was made."""
        self._servers, self._right = servers, right
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(KafkaError, OSError):
                self._read()

    def _read(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self._servers,
            client_id="chaos-watch",
            isolation_level="read_committed",
            auto_offset_reset="latest",
        )
        try:
            consumer.assign([TopicPartition(PREDICTIONS, n) for n in consumer.partitions_for_topic(PREDICTIONS) or ()])
            while not self._stop.is_set():
                for records in consumer.poll(200).values():
                    times = (_time_of(record.key, record.value) for record in records)
                    self.seen += [(time.time(), self._right(shown)) for shown in times if shown]
        finally:
            consumer.close()


def recovery(seen: list[tuple[float, datetime]], start: float, until: float) -> float | None:
    """Seconds from the start of a fault to the first prediction of an observation that was made after it.

    Args:
        seen: as in `PredictionWatch`.
        start: Unix time at which the fault began.
        until: Unix time of the next fault; a later prediction counts no more. The result is None if there is none.
    """
    times = [read - start for read, at in seen if start < at.timestamp() and read <= until]
    return min(times, default=None)


def _time_of(key: bytes | None, value: bytes | None) -> datetime | None:
    record = StoredRecord(PREDICTIONS, 0, 0, 0, key, value)
    parsed = None if is_foreign(record) else parse(record, "timestamp")
    return parsed.time if parsed else None
