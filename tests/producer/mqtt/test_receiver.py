"""The job against a real MQTT broker: what reaches Kafka, what is acknowledged, and interruptions."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from producer.own_stations import OwnStationPublisher
from producer.publish import PublishError
from tests.mosquitto import Mosquitto
from tests.producer.mqtt.running_job import MAPPINGS, NOW, RunningJob, arrived, message, minutes_ago
from tests.producer.topic_reader import TopicReader
from tests.waiting import until
from weatherglass.record_headers import Origin, origin
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings
from weatherglass.topics import MAX_REJECTED_KEY_BYTES, MAX_REJECTED_VALUE_BYTES

pytestmark = pytest.mark.integration


def test_a_message_is_on_the_topic_as_mapped(mosquitto: Mosquitto, job: RunningJob, reader: TopicReader) -> None:
    with job.running():
        mosquitto.publish("garden/weather", message(2, temp=59, hum=80))
        content = {"station_id": "roof", "timestamp": iso(NOW - timedelta(minutes=1)), "pressure": 1002.5}
        mosquitto.publish("records/from/roof", json.dumps(content), qos=2)
        mosquitto.publish("garden/weather", message(0, temp=32), qos=0)
        observations = arrived(reader, 3)
    assert observations == [
        Observation(station_id="garden", timestamp=NOW - timedelta(minutes=2), temperature=15.0, humidity=80.0),
        Observation(station_id="roof", timestamp=NOW - timedelta(minutes=1), pressure=1002.5),
        Observation(station_id="garden", timestamp=NOW, temperature=0.0),
    ]
    assert {(record.key, origin(record.headers)) for record in reader.records()} == {
        (b"garden", Origin.OWN),
        (b"roof", Origin.OWN),
    }


def test_messages_sent_while_the_job_does_not_run_are_received(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader
) -> None:
    with job.running():
        mosquitto.publish("garden/weather", message(5))
        arrived(reader, 1)
    for minutes in (4, 3):
        mosquitto.publish("garden/weather", message(minutes))
    with job.running():
        assert minutes_ago(arrived(reader, 3)) == [5, 4, 3]


KILLED_BEFORE_ACK = """
import os, runpy, signal
from paho.mqtt.client import Client
Client.ack = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
runpy.run_module("producer.mqtt", run_name="__main__")
"""


def test_a_message_is_sent_again_if_the_job_is_killed_after_publishing_and_before_the_acknowledgement(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with job.running():
        pass  # the session exists
    mosquitto.publish("garden/weather", message(2))
    for name in ("state_dir", "kafka_bootstrap", "mqtt_url"):
        monkeypatch.setenv(f"WEATHERGLASS_{name.upper()}", str(getattr(job.settings, name)))
    job.folder.stop.unlink()
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_ACK, str(job.folder.path)], check=False)
    assert killed.returncode == -9
    assert minutes_ago(arrived(reader, 1)) == [2]
    with job.running():
        first, second = arrived(reader, 2)
    assert first == second
    with job.running():  # acknowledged: it is not sent a third time
        mosquitto.publish("garden/weather", message(1))
        assert minutes_ago(arrived(reader, 3)) == [2, 2, 1]


class FailingPublisher(OwnStationPublisher):
    """Kafka does not acknowledge anything until `works` is set."""

    def __init__(self, bootstrap_servers: str):
        super().__init__(bootstrap_servers)
        self.works, self.failed = threading.Event(), threading.Event()

    def publish(self, observations: Sequence[Observation], now: datetime) -> None:
        if not self.works.is_set():
            self.failed.set()
            raise PublishError("no broker")
        super().publish(observations, now)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_message_is_kept_until_kafka_has_acknowledged_it(
    mosquitto: Mosquitto, settings: Settings, reader: TopicReader, stopped: bool
) -> None:
    """By the job, or, if that is stopped meanwhile, by the MQTT broker."""
    publisher = FailingPublisher(settings)
    job = RunningJob(settings, publisher)
    with job.running():
        mosquitto.publish("garden/weather", message(2))
        until("a failure", publisher.failed.is_set)
        if not stopped:
            publisher.works.set()
            arrived(reader, 1)
    if stopped:
        assert reader.count() == 0
        publisher.works.set()
        with job.running():
            arrived(reader, 1)
    assert minutes_ago(reader.observations()) == [2]
    publisher.close()


def test_a_job_that_waits_for_kafka_ends_on_request_and_the_message_is_received_later(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader
) -> None:
    """As during an outage of Kafka, when the producer waits until its own limit."""
    release, waiting = threading.Event(), threading.Event()

    class Waiting(OwnStationPublisher):
        def publish(self, observations: Sequence[Observation], now: datetime) -> None:
            waiting.set()
            release.wait()

    blocked = RunningJob(job.settings, Waiting(job.settings))
    with blocked.running():
        mosquitto.publish("garden/weather", message(2))
        until("the attempt to publish", waiting.is_set)
    release.set()  # only after the end of the job
    with job.running():
        assert minutes_ago(arrived(reader, 1)) == [2]


def test_bad_messages_are_kept_with_the_reason_and_acknowledged_and_the_good_ones_are_published(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader, rejected: TopicReader
) -> None:
    unknown = json.dumps({"station_id": "unknown", "timestamp": iso(NOW), "temperature": 15})
    bad = [
        ("garden/weather", b"", "empty"),
        ("garden/weather", b"\xff", "not_utf8"),
        ("garden/weather", b"{", "malformed_json"),
        ("garden/weather", b"15", "wrong_type"),
        ("garden/weather", message(2, temp=590).encode(), "out_of_range"),
        ("garden/weather", message(-24 * 60).encode(), "future"),
        ("garden/weather", b'{"temp": 59}', "missing_time"),
        ("garden/weather", message(2, battery=3).encode(), "no_value"),
        ("records/a", unknown.encode(), "unknown_station"),
        (
            "records/a",
            b'{"station_id": "jfk", "timestamp": "%s", "temperature": 1}' % iso(NOW).encode(),
            "polled_station",
        ),
    ]
    with job.running():
        for topic, payload, _ in bad:
            mosquitto.publish(topic, payload)
        mosquitto.publish("garden/weather", message(1))
        assert minutes_ago(arrived(reader, 1)) == [1]
    copies = rejected.records()
    headers = [{name: value.decode() for name, value in copy.headers} for copy in copies]
    found = [(h["mqtt_topic"], copy.value, h["reason"]) for h, copy in zip(headers, copies, strict=True)]
    assert found == bad
    assert {h["topic"] for h in headers} == {"mqtt"}
    assert job.rejected() == {reason: 1 for _, _, reason in bad}
    with job.running():  # they are not sent again
        mosquitto.publish("garden/weather", message(0))
        arrived(reader, 2)
    assert rejected.count() == len(bad)


def test_a_bad_message_with_a_long_topic_is_kept_and_does_not_affect_the_others(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader, rejected: TopicReader
) -> None:
    topic = f"records/{'x' * 60_000}"
    with job.running():
        mosquitto.publish(topic, b"{" * 1_100_000)
        mosquitto.publish("garden/weather", message(1))
        assert minutes_ago(arrived(reader, 1)) == [1]
    (copy,) = rejected.records()
    assert len(copy.value) == MAX_REJECTED_VALUE_BYTES
    assert dict(copy.headers)["mqtt_topic"] == topic.encode()[:MAX_REJECTED_KEY_BYTES]


def test_retained_messages_count_once_and_only_with_their_own_time(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader, rejected: TopicReader
) -> None:
    mosquitto.publish("garden/weather", message(30), retain=True)
    mosquitto.publish("roof/weather", '{"temp": 15}', retain=True)
    for minutes in (2, 1):
        with job.running():
            mosquitto.publish("garden/weather", message(minutes))
            arrived(reader, 4 - minutes)
    assert minutes_ago(arrived(reader, 3)) == [30, 2, 1]
    assert [dict(copy.headers)["reason"] for copy in rejected.records()] == [b"missing_time"]


def test_a_message_without_a_time_gets_that_of_its_arrival_and_never_waits(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader
) -> None:
    with job.running():
        pass
    mosquitto.publish("roof/weather", '{"temp": 10}')  # no client receives it
    with job.running():
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        mosquitto.publish("roof/weather", '{"temp": 15}')
        (observation,) = arrived(reader, 1)
    assert before <= observation.timestamp <= datetime.now(UTC)
    assert observation.temperature == 15


def test_a_changed_mapping_file_takes_effect_without_a_restart(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader
) -> None:
    with job.running():
        job.settings.mappings.write_text("[mqtt.garden]\nstation = 7\n")
        until("the error", lambda: any("mqtt.garden.topic" in line["message"] for line in job.progress()))
        assert job.connections()[-1] == "not_configured"
        job.settings.mappings.write_text(MAPPINGS.replace("garden/weather", "new/weather"), encoding="utf-8")
        until("the new subscription", lambda: job.connections().count("connected") == 2)
        mosquitto.publish("garden/weather", message(2))
        mosquitto.publish("new/weather", message(1))
        assert minutes_ago(arrived(reader, 1)) == [1]
    assert job.rejected() == {}  # otherwise the message on the old topic would be there
