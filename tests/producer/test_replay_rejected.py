"""Rejected messages back to `weather-raw`: those that were asked for, as they came, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from producer import publish
from producer.replay_rejected import SENT_FILE, ReplayError, Selection, reasons_of, replay_rejected
from tests.conftest import TestBroker
from tests.producer.topic_reader import TopicReader
from weatherglass.topics import FEATURES, RAW, REJECTED

NOW = datetime.now(UTC)


Message = tuple[bytes | None, str, int, list[tuple[str, bytes]]]


def reject(servers: str, *messages: Message, topic: str = RAW, transaction: str | None = None) -> None:
    """Lay messages into `weather-rejected`; with `transaction` in one of that name, which is aborted."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", transactional_id=transaction)
    if transaction:
        producer.init_transactions()
        producer.begin_transaction()
    for value, reason, offset, more in messages:
        origin = {"reason": reason, "topic": topic, "partition": "2", "offset": str(offset)}
        headers = [(name, text.encode()) for name, text in origin.items()]
        producer.send(REJECTED, key=b"paris", value=value, headers=[*headers, *more]).get(120)
    if transaction:
        producer.abort_transaction()
    producer.close()


class Scene:
    """Replays from a broker, and what they said."""

    def __init__(self, broker: TestBroker):
        self.settings = broker.settings
        self.raw = TopicReader(broker.bootstrap_servers)
        self.said: list[str] = []

    def replay(self, selection: Selection | None = None, dry: bool = False, again: bool = False) -> dict[str, int]:
        self.said.clear()
        return dict(replay_rejected(self.settings, selection or Selection(), NOW, dry, self.said.append, again))

    def origins(self) -> list[str]:
        """Where those that lie on `weather-raw` now came from."""
        return [dict(record.headers)["origin"].decode() for record in self.raw.records()]


@pytest.mark.integration
def test_what_was_asked_for_goes_back_as_it_came_and_once(fresh_broker: TestBroker) -> None:
    scene = Scene(fresh_broker)
    again = [("replayed", b"2026-01-05T12:00:00Z")]
    reject(
        fresh_broker.bootstrap_servers,
        (b"\xff\x00", "not_utf8", 1, []),
        (b"{}", "future", 2, []),
        (b"{}", "future", 2, []),  # a repeated batch
        (None, "empty", 3, []),
        (b"{1}", "future", 4, again),
    )
    assert (scene.replay(dry=True), scene.raw.count()) == ({"not_utf8": 1, "future": 1, "empty": 1}, 0)
    assert f"to be sent to {RAW} again, rejected as future: 1" in scene.said

    assert scene.replay(Selection(until=NOW - timedelta(days=1))) == {}
    assert "nothing" in scene.said[-1]
    assert scene.replay(Selection(reasons_of(["not_utf8", "empty"]))) == {"not_utf8": 1, "empty": 1}
    records = scene.raw.records()
    assert [(record.key, record.value) for record in records] == [(b"paris", b"\xff\x00"), (b"paris", None)]
    assert dict(records[0].headers)["origin"] == f"{RAW}:2:1".encode()
    assert "replayed" in dict(records[0].headers)


@pytest.mark.integration
def test_only_what_lay_on_weather_raw_and_was_committed_goes_back(fresh_broker: TestBroker) -> None:
    scene, servers = Scene(fresh_broker), fresh_broker.bootstrap_servers
    reject(servers, (b"{}", "malformed_json", 1, []))
    reject(servers, (b"{}", "malformed_json", 1, []), (b"{}", "future", 2, []), topic=FEATURES)
    reject(servers, (b"{}", "future", 3, []), transaction="aborted")
    assert scene.replay() == {"malformed_json": 1}
    assert scene.origins() == [f"{RAW}:2:1"]
    assert f"not sent, from {FEATURES} and not from {RAW}: 2" in scene.said


@pytest.mark.integration
def test_what_was_cut_stays(fresh_broker: TestBroker) -> None:
    scene = Scene(fresh_broker)
    cut = (b"{", "malformed_json", 1, [("truncated", b"2000000")]), (b"{}", "future", 2, [("truncated_key", b"20000")])
    reject(fresh_broker.bootstrap_servers, *cut, (b"{}", "future", 3, []))
    assert scene.replay() == {"future": 1}
    assert any("only the beginning is kept" in line and line.endswith(": 2") for line in scene.said)
    assert scene.origins() == [f"{RAW}:2:3"]


@pytest.mark.integration
def test_what_one_run_has_sent_the_next_does_not_send_unless_asked_to(fresh_broker: TestBroker) -> None:
    scene, servers = Scene(fresh_broker), fresh_broker.bootstrap_servers
    reject(servers, (b"1", "future", 1, []), (b"2", "past", 2, []))
    file = scene.settings.state_dir / SENT_FILE
    file.write_text(f"{RAW}:0:1 2026-01-05T12:00:00Z\n")  # it lies in weather-rejected no more
    assert scene.replay(dry=True) == {"future": 1, "past": 1}
    assert scene.replay(Selection(reasons_of(["future"]))) == {"future": 1}
    reject(servers, (b"3", "future", 3, []))
    assert scene.replay() == {"future": 1, "past": 1}
    assert any("an earlier run has done so" in line and line.endswith(": 1") for line in scene.said)
    assert sorted(scene.origins()) == [f"{RAW}:2:1", f"{RAW}:2:2", f"{RAW}:2:3"]
    assert scene.replay() == {}
    assert scene.replay(again=True) == {"future": 2, "past": 1}
    assert scene.raw.count() == 6
    assert file.read_text().split()[::2] == [f"{RAW}:2:1", f"{RAW}:2:2", f"{RAW}:2:3"]
    file.write_text(f"{RAW}:2:2 2026-01-05T12:00:00Z\n")  # another message, of topics that were made anew since
    assert scene.replay(Selection(reasons_of(["past"]))) == {"past": 1}


class Refusing(KafkaProducer):
    """A producer whose broker refuses the message `no`."""

    def send(self, topic: str, value: bytes | None = None, **more: Any) -> Any:
        if value == b"no":
            raise KafkaTimeoutError
        return super().send(topic, value=value, **more)


@pytest.mark.integration
def test_what_was_taken_before_a_failure_is_not_sent_again(
    fresh_broker: TestBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(fresh_broker)
    reject(fresh_broker.bootstrap_servers, (b"yes", "future", 1, []), (b"no", "future", 2, []))
    with monkeypatch.context() as patched:
        patched.setattr(publish, "KafkaProducer", Refusing)
        with pytest.raises(KafkaTimeoutError):
            scene.replay()
    assert scene.replay() == {"future": 1}
    assert sorted(scene.origins()) == [f"{RAW}:2:1", f"{RAW}:2:2"]


def test_an_unknown_reason_is_named_with_those_there_are() -> None:
    with pytest.raises(ReplayError, match=r"no reason tomorrow; there are .*future"):
        reasons_of(["future", "tomorrow"])
