"""Receives MQTT messages of own stations and publishes them to `weather-raw`.

A message is acknowledged to the MQTT broker after Kafka has acknowledged its observations, or, if it is not used, its
copy on `weather-rejected`. The broker keeps the session of the fixed client id, and with it the messages that are sent
while the job does not run. After an interruption it sends again what was not acknowledged; publishing an observation
again changes nothing (`producer.own_stations`).
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from producer.mappings import MqttMapping
from producer.mqtt.payload import UnusablePayload, decode, to_record
from producer.own_stations import OwnStationPublisher, check_records, shown
from producer.publish import PublishError
from weatherglass.alerts import health
from weatherglass.consumer.rejected_copy import RejectedCopy
from weatherglass.files import DamagedFileError, read_json, write_atomically
from weatherglass.formatting import count_noun
from weatherglass.jobs.job import Job
from weatherglass.records import Observation
from weatherglass.settings import Settings
from weatherglass.topics import MAX_REJECTED_KEY_BYTES, MAX_REJECTED_VALUE_BYTES, TRUNCATED_HEADER

log = logging.getLogger(__name__)

SESSION_SECONDS = 7 * 24 * 3600
"""Time for which the broker keeps the session, and the messages, of a client that is not connected."""
BATCH = 500
"""Messages that are published together, and that the broker may send before the first one is acknowledged."""
QUEUE = 10_000
"""Received messages that wait. More of those that need no acknowledgement are dropped, and counted."""
KEEPALIVE_SECONDS = 30
RECONNECT_SECONDS = (1, 30)
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
STOP_SECONDS = 10.0
"""Time for Kafka to acknowledge a batch after a stop request; the job host kills a job after 25 s."""
REPORT_SECONDS = 10.0
PORTS = {"mqtt": 1883, "mqtts": 8883}
MQTT_TOPIC = "mqtt"
"""The header `topic` of rejected messages; the header `mqtt_topic` has the topic at the MQTT broker."""
NO_MAPPING = "no_mapping"
AT_FIRST_SUBSCRIPTION = 1
"""MQTT 5, 3.8.3.1: retained messages are sent only if the subscription does not exist yet."""


class ConnectionState(StrEnum):
    """The state of the connection to the MQTT broker: the field `connection` of the job's progress.

    The job is degraded in all states but one.
    """

    CONNECTING = "connecting"
    CONNECTED = health.CONNECTED
    REFUSED = "refused"
    """The broker refuses user, password or client id."""
    SUBSCRIPTION_REFUSED = "subscription_refused"
    DISCONNECTED = "disconnected"
    UNREACHABLE = "unreachable"
    NOT_CONFIGURED = "not_configured"
    """The mapping file is invalid, or has no entry for messages."""


@dataclass(frozen=True)
class Received:
    """A message, when it arrived (UTC), and the number of the connection on which it arrived."""

    message: MQTTMessage
    arrived: datetime
    connection: int


@dataclass
class _Batch:
    """What becomes of some messages."""

    observations: list[Observation] = field(default_factory=list)
    rejected: list[RejectedCopy] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


class Receiver:
    """One client of the MQTT broker, with the mappings of one state of the mapping file."""

    def __init__(
        self, settings: Settings, mappings: Mapping[str, MqttMapping], publisher: OwnStationPublisher, job: Job
    ):
        self._settings, self._mappings, self._publisher, self._job = settings, mappings, publisher, job
        self._queue: Queue[Received] = Queue()
        self._connection = 0
        self._topics: dict[str, int] = {}
        for mapping in mappings.values():
            self._topics[mapping.topic] = max(mapping.qos, self._topics.get(mapping.topic, 0))
        self._dropped = 0
        self._state = ConnectionState.CONNECTING
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._subscribed = job.folder.path / "subscriptions.json"
        self.published = 0
        self.rejected: Counter[str] = Counter()
        address = urlsplit(settings.mqtt_url)
        self._host, self._port = str(address.hostname), address.port or PORTS[address.scheme]
        self._client = self._new_client(address.scheme == "mqtts")

    def _new_client(self, encrypted: bool) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.mqtt_client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        client.on_subscribe = self._on_subscribe
        client.suppress_exceptions = True  # an exception would end the client's thread; the logger gets it
        client.enable_logger(log)
        client.reconnect_delay_set(*RECONNECT_SECONDS)
        if encrypted:
            client.tls_set(str(self._settings.mqtt_ca_file) if self._settings.mqtt_ca_file else None)
        if self._settings.mqtt_user:
            client.username_pw_set(self._settings.mqtt_user, password(self._settings))
        return client

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Keep a connection to the broker, in a thread; a lost one is made again."""
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_SECONDS
        properties.ReceiveMaximum = BATCH
        self._client.connect_async(self._host, self._port, KEEPALIVE_SECONDS, clean_start=False, properties=properties)
        self._report(ConnectionState.CONNECTING, f"client {self._settings.mqtt_client_id}")
        self._client.loop_start()
        try:
            yield
        finally:
            self._client.disconnect()
            self._client.loop_stop()
            self._sender.shutdown(wait=False)  # it may wait for Kafka

    def process(self) -> None:
        """Publish the messages that have arrived, and acknowledge them; wait for the first one at most POLL_SECONDS."""
        self._job.heartbeat()
        received = self._take()
        if not received:
            return
        batch = self._read(received)
        if not self._publish(batch):
            return
        for item in received:
            # The broker sends the messages of an earlier connection again, possibly with other numbers.
            if item.message.qos and item.connection == self._connection:
                self._client.ack(item.message.mid, item.message.qos)
        self.published += len(batch.observations)
        self.rejected += batch.reasons

    def report(self) -> None:
        """Report what was published and rejected since the start."""
        self._job.report(self.summary(), connection=self._state, published=self.published, rejected=dict(self.rejected))

    def summary(self) -> str:
        """What was published and rejected since the start."""
        rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(self.rejected.items()))
        dropped = f", {count_noun(self._dropped, 'message')} dropped: too many at once" if self._dropped else ""
        return (
            f"Published {count_noun(self.published, 'observation')}"
            + f"; rejected {rejected}" * bool(rejected)
            + dropped
        )

    def _take(self) -> list[Received]:
        received: list[Received] = []
        try:
            received.append(self._queue.get(timeout=POLL_SECONDS))
            while len(received) < BATCH:
                received.append(self._queue.get_nowait())
        except Empty:
            pass
        return received

    def _read(self, received: Sequence[Received]) -> _Batch:
        batch = _Batch()
        for item in received:
            message, payload = item.message, bytes(item.message.payload)
            matching = [(name, m) for name, m in self._mappings.items() if topic_matches_sub(m.topic, message.topic)]
            if not matching:
                detail = "its mapping was removed before it arrived"
                self._reject(batch, message, "", NO_MAPPING, detail)
                continue
            try:
                content = decode(payload)
            except UnusablePayload as error:
                self._reject(batch, message, matching[0][0], error.reason, error.detail)
                continue
            for name, mapping in matching:
                try:
                    record = to_record(mapping, message.topic, content, message.retain, item.arrived)
                except UnusablePayload as error:
                    self._reject(batch, message, name, error.reason, error.detail)
                    continue
                checked = check_records([record], self._settings, item.arrived)
                batch.observations += checked.accepted
                for problem in checked.problems:
                    self._reject(batch, message, name, problem.code, problem.detail)
        return batch

    def _reject(self, batch: _Batch, message: MQTTMessage, mapping: str, reason: str, detail: str) -> None:
        log.warning("Rejected a message on %s, mapping %s: %s: %s", shown(message.topic), mapping, reason, detail)
        headers = {"reason": str(reason), "topic": MQTT_TOPIC, "mqtt_topic": message.topic, "mapping": mapping}
        payload = bytes(message.payload)
        if len(payload) > MAX_REJECTED_VALUE_BYTES:
            headers[TRUNCATED_HEADER] = str(len(payload))
        encoded = [(name, text.encode()[:MAX_REJECTED_KEY_BYTES]) for name, text in headers.items()]
        batch.rejected.append(RejectedCopy(None, payload[:MAX_REJECTED_VALUE_BYTES], encoded))
        batch.reasons[str(reason)] += 1

    def _publish(self, batch: _Batch) -> bool:
        """Publish a batch, again and again until the broker has acknowledged it; False after a stop request."""
        while not self._job.stop_requested():
            # In a thread: the producer may wait for the broker longer than a job may be without heartbeat. It gives up
            # after its own limits.
            sent = self._sender.submit(self._send, batch)
            stop_at: float | None = None
            while not sent.done():
                wait([sent], timeout=1.0)
                self._job.heartbeat()
                if self._job.stop_requested():
                    stop_at = stop_at or monotonic() + STOP_SECONDS
                    if monotonic() > stop_at:
                        return False
            try:
                sent.result()
            except PublishError as error:
                self._job.report(f"{error}; trying again", connection=self._state)
                self._job.wait(RETRY_SECONDS)
            else:
                return True
        return False

    def _send(self, batch: _Batch) -> None:
        self._publisher.publish(batch.observations, datetime.now(UTC))
        self._publisher.keep_rejected(batch.rejected)

    # --- called by the thread of the MQTT client

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._report(ConnectionState.REFUSED, str(reason))
            return
        self._connection += 1
        if removed := sorted(_read_topics(self._subscribed) - self._topics.keys()):
            client.unsubscribe(removed)
        write_atomically(self._subscribed, json.dumps(sorted(self._topics)))
        client.subscribe(
            [
                (topic, SubscribeOptions(qos, retainHandling=AT_FIRST_SUBSCRIPTION))
                for topic, qos in self._topics.items()
            ]
        )

    def _on_subscribe(self, _c: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        if refused := [str(reason) for reason in reasons if reason.is_failure]:
            self._report(ConnectionState.SUBSCRIPTION_REFUSED, ", ".join(refused))
            return
        self._report(ConnectionState.CONNECTED, f"subscribed to {', '.join(self._topics)}")

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if not self._job.stop_requested():
            self._report(ConnectionState.DISCONNECTED, str(reason))

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._report(ConnectionState.UNREACHABLE, "trying again")

    def _report(self, state: ConnectionState, detail: str) -> None:
        self._state = state
        self._job.report(
            f"MQTT broker {self._settings.mqtt_url}: {state.replace('_', ' ')}: {detail}", connection=state
        )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        # The broker sends at most BATCH of the messages that must be acknowledged, and as many others as there are.
        if message.qos == 0 and self._queue.qsize() >= QUEUE:
            self._dropped += 1
        else:
            self._queue.put_nowait(Received(message, datetime.now(UTC), self._connection))


def _read_topics(file: Path) -> set[str]:
    try:
        topics: set[str] = read_json(file, set, "Topics of removed mappings stay subscribed")
    except (FileNotFoundError, DamagedFileError):
        return set()
    return topics


def password(settings: Settings) -> str | None:
    """The password at the MQTT broker.

    Raises:
        OSError: its file cannot be read.
    """
    if settings.mqtt_password_file:
        return settings.mqtt_password_file.read_text(encoding="utf-8").strip()
    return settings.mqtt_password or None
