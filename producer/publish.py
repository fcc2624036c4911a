"""Publishing observations to `weather-raw`, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby

from kafka import KafkaProducer
from kafka.errors import KafkaError

from weatherglass.records import Observation, Origin, headers
from weatherglass.topics import RAW

ACKNOWLEDGEMENT_SECONDS = 30.0
"""Longest wait for the broker; the poll after this one tries again."""


class PublishError(Exception):
    """The broker did not take the observations."""


@contextmanager
def open_producer(bootstrap_servers: str) -> Iterator[KafkaProducer]:
    """An idempotent producer that waits for all replicas.

    Raises:
        PublishError: the broker cannot be reached.
    """
    milliseconds = int(ACKNOWLEDGEMENT_SECONDS * 1000)
    try:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id="weatherglass-producer",
            acks="all",
            enable_idempotence=True,
            # A step is sent as a whole and then waited for; a short linger lets its records share a request.
            linger_ms=5,
            max_block_ms=milliseconds,
            delivery_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds // 2,
            bootstrap_timeout_ms=milliseconds // 2,
        )
    except KafkaError as error:
        raise PublishError(f"no Kafka broker answers at {bootstrap_servers}: {error}") from error
    try:
        yield producer
    finally:
        producer.close(timeout=5)


def publish(
    producer: KafkaProducer, observations: Iterable[Observation], origin: Origin, now: datetime
) -> Iterator[list[Observation]]:
    """Publish observations step by step of their time; yields each step after the broker has acknowledged all of it.

    No observation of a later time is sent before: the stream's watermark follows the newest time it has seen, and
    would drop what comes ten minutes behind it, on whichever partition. Advance the iterator to go on.

    Raises:
        PublishError: the broker did not acknowledge a step; nothing later was sent.
    """
    ordered = sorted(observations, key=lambda observation: (observation.timestamp, observation.station_id))
    for time, group in groupby(ordered, key=lambda observation: observation.timestamp):
        step = list(group)
        try:
            sent = [
                producer.send(
                    RAW,
                    key=observation.station_id.encode(),
                    value=observation.to_json(),
                    headers=headers(observation, origin, now),
                )
                for observation in step
            ]
            for future in sent:
                future.get(timeout=ACKNOWLEDGEMENT_SECONDS)
        except KafkaError as error:
            raise PublishError(
                f"{RAW} did not take the observations of {time:%Y-%m-%d %H:%M} UTC: {error!r}"
            ) from error
        yield step
