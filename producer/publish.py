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
from weatherglass.kafka_connection import client_options
from weatherglass.net import RECONNECT_MS
from weatherglass.record_headers import Origin, headers
from weatherglass.records import Observation
from weatherglass.settings import Settings

ACKNOWLEDGEMENT_TIMEOUT_SECONDS = 30.0
"""Longest wait for the broker; the next poll tries again."""
MARGIN_SECONDS = 5.0
"""A record that is not delivered in time is reported by then. Without a report it would be pending, and the producer,
which waits for it, could not be closed."""


class PublishError(Exception):
    """The broker did not acknowledge all records."""


@contextmanager
def open_producer(settings: Settings) -> Iterator[KafkaProducer]:
    """An idempotent producer that waits for the acknowledgement of all replicas.

    Raises:
        PublishError: the broker cannot be reached.
    """
    milliseconds = int(ACKNOWLEDGEMENT_TIMEOUT_SECONDS * 1000)
    try:
        producer = KafkaProducer(
            **client_options(settings),
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
        raise PublishError(f"Kafka broker at {settings.bootstrap_servers} is not available: {error}") from error
    try:
        yield producer
    finally:
        with suppress(KafkaError):  # what is still pending has been reported as not acknowledged
            producer.close(timeout=MARGIN_SECONDS)


def publish(
    producer: KafkaProducer,
    topic: str,
    observations: Iterable[Observation],
    origins: Mapping[str, Origin],
    now: datetime,
) -> Iterator[list[Observation]]:
    """Publish observations in steps of equal time; yields each step after the broker has acknowledged all of it.

    Args:
        topic: `Topics.raw` of the installation.
        origins: station id -> the value of the header `source`.

    Later observations are sent only after that: if a step is sent again after an error, its station must not have sent
    newer ones meanwhile, because these close the windows of the step. Advance the iterator to continue.

    Raises:
        PublishError: the broker did not acknowledge a step; no later step was sent.
    """
    ordered = sorted(observations, key=lambda observation: (observation.timestamp, observation.station_id))
    for _, group in groupby(ordered, key=lambda observation: observation.timestamp):
        step = list(group)
        publish_batch(producer, topic, step, origins, now)
        yield step


def publish_batch(
    producer: KafkaProducer,
    topic: str,
    observations: Sequence[Observation],
    origins: Mapping[str, Origin],
    now: datetime,
) -> None:
    """Publish observations in their order, and wait until the broker has acknowledged all of them.

    Args:
        topic: `Topics.raw` of the installation.
        origins: station id -> source of its observations.

    Raises:
        PublishError: the broker did not acknowledge them all.
    """
    sent: list[Any] = []
    try:
        for observation in observations:
            written = headers(observation, origins[observation.station_id], now)
            key = observation.station_id.encode()
            sent.append(producer.send(topic, key=key, value=observation.to_json(), headers=written))
        for future in sent:
            future.get(timeout=ACKNOWLEDGEMENT_TIMEOUT_SECONDS + MARGIN_SECONDS)
    except KafkaError as error:
        what = f"Observations of {observations[0].timestamp:%Y-%m-%d %H:%M} UTC"
        raise PublishError(f"{what} were not acknowledged on {topic}: {error!r}") from error


def publish_guidance(
    producer: KafkaProducer, topic: str, runs: Sequence[Guidance], now: datetime
) -> Iterator[Guidance]:
    """Publish runs of guidance; yields each one after the broker has acknowledged it.

    Args:
        topic: `Topics.guidance` of the installation.

    Raises:
        PublishError: the broker did not acknowledge them all; those that it did were yielded before.
    """
    sent: list[tuple[Guidance, Any]] = []
    errors: list[KafkaError] = []
    try:
        for run in runs:
            written = headers(run, Origin.SIMULATED if run.simulated else Origin.OPEN_METEO, now)
            key = run.station_id.encode()
            sent.append((run, producer.send(topic, key=key, value=run.to_json(), headers=written)))
    except KafkaError as error:
        errors.append(error)
    for run, future in sent:
        try:
            future.get(timeout=ACKNOWLEDGEMENT_TIMEOUT_SECONDS + MARGIN_SECONDS)
        except KafkaError as error:
            errors.append(error)
        else:
            yield run
    if errors:
        raise PublishError(f"Not all {len(runs)} runs were acknowledged on {topic}: {errors[0]!r}") from errors[0]
