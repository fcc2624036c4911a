"""Rejected messages back to `weather-raw`: those that were asked for, as they came, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from kafka import KafkaProducer

from producer.replay_rejected import ReplayError, Selection, reasons_of, replay_rejected
from tests.conftest import TestBroker
from tests.producer.topic_reader import TopicReader
from weatherglass.topics import RAW, REJECTED

NOW = datetime.now(UTC)


def reject(servers: str, *messages: tuple[bytes | None, str, int, list[tuple[str, bytes]]]) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    for value, reason, offset, more in messages:
        origin = {"reason": reason, "topic": RAW, "partition": "2", "offset": str(offset)}
        headers = [(name, text.encode()) for name, text in origin.items()]
        producer.send(REJECTED, key=b"paris", value=value, headers=[*headers, *more]).get(30)
    producer.close()


@pytest.mark.integration
def test_what_was_asked_for_goes_back_as_it_came_and_once(fresh_broker: TestBroker) -> None:
    servers = fresh_broker.bootstrap_servers
    again = [("replayed", b"2026-01-05T12:00:00Z")]
    reject(
        servers,
        (b"\xff\x00", "not_utf8", 1, []),
        (b"{}", "future", 2, []),
        (b"{}", "future", 2, []),  # a repeated batch
        (None, "empty", 3, []),
        (b"{1}", "future", 4, again),
    )
    raw, said = TopicReader(servers), list[str]()
    dry = replay_rejected(servers, Selection(), NOW, True, said.append)
    assert (dry, raw.count()) == ({"not_utf8": 1, "future": 1, "empty": 1}, 0)
    assert any("1 rejected as future would be sent" in line for line in said)

    assert replay_rejected(servers, Selection(until=NOW - timedelta(days=1)), NOW, False, said.append) == {}
    assert replay_rejected(servers, Selection(reasons_of(["not_utf8", "empty"])), NOW, False, said.append).total() == 2
    records = raw.records()
    assert [(record.key, record.value) for record in records] == [(b"paris", b"\xff\x00"), (b"paris", None)]
    assert dict(records[0].headers)["origin"] == f"{RAW}:2:1".encode()
    assert "replayed" in dict(records[0].headers)


def test_an_unknown_reason_is_named_with_those_there_are() -> None:
    with pytest.raises(ReplayError, match=r"no reason tomorrow; there are .*future"):
        reasons_of(["future", "tomorrow"])
