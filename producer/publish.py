"""Publishes observations to `weather-raw`, in order of time, and runs of guidance to `weather-guidance`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from weatherglass.guidance_record import Guidance
from weatherglass.net import RECONNECT_MS
from weatherglass.record_headers import Origin, headers
from weatherglass.records import Observation
from weatherglass.topics import GUIDANCE, RAW

ACKNOWLEDGEMENT_TIMEOUT_SECONDS = 30.0
"""Longest wait for the broker; the next poll tries again."""
MARGIN_SECONDS = 5.0
"""A record that is not delivered in time is reported by then. Without a report it would be pending, and the producer,
which waits for it, could not be closed."""


class PublishError(Exception):
    """The broker did not acknowledge the observations."""


@contextmanager
def open_producer(bootstrap_servers: str) -> Iterator[KafkaProducer]:
    """An idempotent producer that waits for the acknowledgement of all replicas.

    Raises:
        PublishError: the broker cannot be reached.
    """
    milliseconds = int(ACKNOWLEDGEMENT_TIMEOUT_SECONDS * 1000)
    try:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id="weatherglass-producer",
            acks="all",
            enable_idempotence=True,
            # All records of a step are sent before waiting; a short linger puts them into one request.
            linger_ms=5,
            max_block_ms=milliseconds,
            delivery_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds // 2,
            bootstrap_timeout_ms=milliseconds // 2,
            reconnect_backoff_max_ms=RECONNECT_MS,
        )
    except KafkaError as error:
        raise PublishError(f"Kafka broker at {bootstrap_servers} is not available: {error}") from error
    try:
        yield producer
    finally:
        with suppress(KafkaError):  # what is still pending has been reported as not acknowledged
            producer.close(timeout=MARGIN_SECONDS)


def publish(
    producer: KafkaProducer, observations: Iterable[Observation], origins: Mapping[str, Origin], now: datetime
) -> Iterator[list[Observation]]:
    """Publish observations in steps of equal time; yields each step after the broker has acknowledged all of it.

    Args:
        origins: station id -> the value of the header `source`.

    Later observations are sent only after that: if a step is sent again after an error, its station must not have sent
    newer ones meanwhile, because these close the windows of the step. Advance the iterator to continue.

    Raises:
        PublishError: the broker did not acknowledge a step; no later step was sent.
    """
    ordered = sorted(observations, key=lambda observation: (observation.timestamp, observation.station_id))
    for _, group in groupby(ordered, key=lambda observation: observation.timestamp):
        step = list(group)
        publish_batch(producer, step, origins, now)
        yield step


def publish_batch(
    producer: KafkaProducer, observations: Sequence[Observation], origins: Mapping[str, Origin], now: datetime
) -> None:
    """Publish observations in their order, and wait until the broker has acknowledged all of them.

    Args:
        origins: station id -> source of its observations.

    Raises:
        PublishError: the broker did not acknowledge them all.
    """
    what = f"Observations of {observations[0].timestamp:%Y-%m-%d %H:%M} UTC"
    with _acknowledged(what, RAW) as sent:
        for observation in observations:
            written = headers(observation, origins[observation.station_id], now)
            key = observation.station_id.encode()
            sent.append(producer.send(RAW, key=key, value=observation.to_json(), headers=written))


def publish_guidance(producer: KafkaProducer, runs: Sequence[Guidance], now: datetime) -> None:
    """Publish runs of guidance, and wait until the broker has acknowledged all of them.

    Raises:
        PublishError: the broker did not acknowledge them all.
    """
    with _acknowledged(f"{len(runs)} runs of guidance", GUIDANCE) as sent:
        for run in runs:
            written = headers(run, Origin.SIMULATED if run.simulated else Origin.OPEN_METEO, now)
            sent.append(producer.send(GUIDANCE, key=run.station_id.encode(), value=run.to_json(), headers=written))


@contextmanager
def _acknowledged(what: str, topic: str) -> Iterator[list[Any]]:
    """Wait for the acknowledgement of what is sent inside, the futures in the list.

    Raises:
        PublishError: there is none.
    """
    sent: list[Any] = []
    try:
        yield sent
        for future in sent:
            future.get(timeout=ACKNOWLEDGEMENT_TIMEOUT_SECONDS + MARGIN_SECONDS)
    except KafkaError as error:
        raise PublishError(f"{what} were not acknowledged on {topic}: {error!r}") from error
