"""Replay of rejected messages to `weather-raw`: the selected ones, unchanged, and only once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from producer import publish
from producer.replay_rejected import (
    REPLAYED_FILE,
    ReplayedMessages,
    ReplayError,
    Selection,
    SkipReason,
    parse_reasons,
    replay_rejected,
)
from tests.conftest import TestBroker
from tests.producer.topic_reader import TopicReader
from tests.raw_batches import GZIP, NotUtf8, RawRecord, batch, produce
from weatherglass.files import DamagedFileError
from weatherglass.topics import FEATURES, RAW, REJECTED

NOW = datetime.now(UTC)


Message = tuple[bytes | None, str, int, list[tuple[str, bytes]]]


def reject(servers: str, *messages: Message, topic: str = RAW, transaction: str | None = None) -> None:
    """Publish messages to `weather-rejected`; with `transaction`, in an aborted transaction with that id."""
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


class Replayer:
    """Replays messages on a broker and reads the result."""

    def __init__(self, broker: TestBroker):
        self.settings = broker.settings
        self.raw = TopicReader(broker.bootstrap_servers)
        self.skipped: dict[SkipReason, int] = {}
        self.lines: list[str] = []

    def replay(self, selection: Selection | None = None, dry_run: bool = False, again: bool = False) -> dict[str, int]:
        """The number of replayed messages by reason; `skipped` and `lines` are those of this run."""
        self.lines.clear()
        selection = selection or Selection()
        report = replay_rejected(self.settings, selection, NOW, dry_run, self.lines.append, again)
        self.skipped = dict(report.skipped)
        return dict(report.replayed)

    def origins(self) -> list[str]:
        """The origins of all replayed messages on `weather-raw`."""
        return [dict(record.headers)["origin"].decode() for record in self.raw.records()]


@pytest.mark.integration
def test_selected_messages_are_replayed_unchanged_and_once(fresh_broker: TestBroker) -> None:
    replayer = Replayer(fresh_broker)
    replayed_before = [("replayed", b"2026-01-05T12:00:00Z")]
    reject(
        fresh_broker.bootstrap_servers,
        (b"\xff\x00", "not_utf8", 1, []),
        (b"{}", "future", 2, []),
        (b"{}", "future", 2, []),  # a repeated batch
        (None, "empty", 3, []),
        (b"{1}", "future", 4, replayed_before),
    )
    assert (replayer.replay(dry_run=True), replayer.raw.count()) == ({"not_utf8": 1, "future": 1, "empty": 1}, 0)
    assert len(replayer.lines) == 3

    assert replayer.replay(Selection(until=NOW - timedelta(days=1))) == {}
    assert len(replayer.lines) == 1
    assert replayer.replay(Selection(parse_reasons(["not_utf8", "empty"]))) == {"not_utf8": 1, "empty": 1}
    records = replayer.raw.records()
    assert [(record.key, record.value) for record in records] == [(b"paris", b"\xff\x00"), (b"paris", None)]
    assert dict(records[0].headers)["origin"] == f"{RAW}:2:1".encode()
    assert "replayed" in dict(records[0].headers)


@pytest.mark.integration
def test_only_committed_messages_from_weather_raw_are_replayed(fresh_broker: TestBroker) -> None:
    replayer, servers = Replayer(fresh_broker), fresh_broker.bootstrap_servers
    reject(servers, (b"{}", "malformed_json", 1, []))
    reject(servers, (b"{}", "malformed_json", 1, []), (b"{}", "future", 2, []), topic=FEATURES)
    reject(servers, (b"{}", "future", 3, []), transaction="aborted")
    assert replayer.replay() == {"malformed_json": 1}
    assert replayer.origins() == [f"{RAW}:2:1"]
    assert replayer.skipped == {SkipReason.OTHER_TOPIC: 2}


@pytest.mark.integration
def test_truncated_messages_are_skipped(fresh_broker: TestBroker) -> None:
    replayer = Replayer(fresh_broker)
    truncated = (
        (b"{", "malformed_json", 1, [("truncated", b"2000000")]),
        (b"{}", "future", 2, [("truncated_key", b"20000")]),
    )
    reject(fresh_broker.bootstrap_servers, *truncated, (b"{}", "future", 3, []))
    assert replayer.replay() == {"future": 1}
    assert replayer.skipped == {SkipReason.TRUNCATED: 2}
    assert replayer.origins() == [f"{RAW}:2:3"]


@pytest.mark.integration
def test_messages_of_earlier_runs_are_replayed_only_with_again(fresh_broker: TestBroker) -> None:
    replayer, servers = Replayer(fresh_broker), fresh_broker.bootstrap_servers
    reject(servers, (b"1", "future", 1, []), (b"2", "past", 2, []))
    file = replayer.settings.state_dir / REPLAYED_FILE
    file.write_text(f"{RAW}:0:1 2026-01-05T12:00:00Z\n")  # weather-rejected no longer contains this message
    assert replayer.replay(dry_run=True) == {"future": 1, "past": 1}
    assert replayer.replay(Selection(parse_reasons(["future"]))) == {"future": 1}
    reject(servers, (b"3", "future", 3, []))
    assert replayer.replay() == {"future": 1, "past": 1}
    assert replayer.skipped == {SkipReason.ALREADY_REPLAYED: 1}
    assert sorted(replayer.origins()) == [f"{RAW}:2:1", f"{RAW}:2:2", f"{RAW}:2:3"]
    assert replayer.replay() == {}
    assert replayer.replay(again=True) == {"future": 2, "past": 1}
    assert replayer.raw.count() == 6
    assert file.read_text().split()[::2] == [f"{RAW}:2:1", f"{RAW}:2:2", f"{RAW}:2:3"]
    file.write_text(f"{RAW}:2:2 2026-01-05T12:00:00Z\n")  # another message with this origin, of a recreated topic
    assert replayer.replay(Selection(parse_reasons(["past"]))) == {"past": 1}


@pytest.mark.parametrize("damage", ["", f"{RAW}:2:1 2026-01-0", f"{RAW}:2:1\n", f"{RAW}:2:1 today\n", "\0\n"])
def test_a_damaged_record_of_earlier_runs_is_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / REPLAYED_FILE
    ReplayedMessages(file).save({f"{RAW}:2:1": NOW})
    assert set(ReplayedMessages(file).times) == {f"{RAW}:2:1"}
    file.write_text(damage)
    with pytest.raises(DamagedFileError) as error:
        ReplayedMessages(file)
    assert error.value.file == file
    ReplayedMessages(tmp_path / "other").save({})
    assert not (tmp_path / "other").exists(), "an empty file is damage"


class RefusingProducer(KafkaProducer):
    """A producer whose broker refuses the message `no`."""

    def send(self, topic: str, value: bytes | None = None, **more: Any) -> Any:
        if value == b"no":
            raise KafkaTimeoutError
        return super().send(topic, value=value, **more)


@pytest.mark.integration
def test_after_a_failure_acknowledged_messages_are_not_replayed_again(
    fresh_broker: TestBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayer = Replayer(fresh_broker)
    reject(fresh_broker.bootstrap_servers, (b"yes", "future", 1, []), (b"no", "future", 2, []))
    with monkeypatch.context() as patched:
        patched.setattr(publish, "KafkaProducer", RefusingProducer)
        with pytest.raises(KafkaTimeoutError):
            replayer.replay()
    assert replayer.replay() == {"future": 1}
    assert sorted(replayer.origins()) == [f"{RAW}:2:1", f"{RAW}:2:2"]


def test_an_unknown_reason_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ReplayError, match=r"tomorrow.*future"):
        parse_reasons(["future", "tomorrow"])


@pytest.mark.integration
def test_no_message_on_the_topic_stops_a_replay(fresh_broker: TestBroker) -> None:
    replayer, servers = Replayer(fresh_broker), fresh_broker.bootstrap_servers
    about: list[tuple[str, bytes | None]] = [("reason", b"future"), ("topic", RAW.encode()), ("partition", b"0")]
    garbage = [
        RawRecord(None),
        RawRecord(b"{}", headers=[("reason", None), ("topic", None), ("", None)]),
        RawRecord(b"{}", headers=[("reason", b"no\nreason"), ("topic", RAW.encode()), ("offset", b"1 2\n3")]),
        RawRecord(b"a" * 3_000_000, headers=[*about, ("offset", b"1")]),
        RawRecord(b"{}", headers=[(NotUtf8("name"), b"")]),
        RawRecord(b"{}", headers=[*about, ("offset", b"2"), ("source", None)], timestamp=-(10**16)),
        RawRecord(None, headers=[*about, ("offset", b"3"), ("source", b"s" * 100_000)]),
    ]
    produce(servers, REJECTED, 0, batch(garbage, GZIP))
    reject(servers, (b"{}", "future", 4, []))
    assert replayer.replay() == {"future": 3}
    assert replayer.skipped == {SkipReason.OTHER_TOPIC: 2, SkipReason.TOO_LONG: 1}, (
        "without origin, one is like another"
    )
    assert sorted(replayer.origins()) == [f"{RAW}:0:2", f"{RAW}:0:3", f"{RAW}:2:4"]
    assert replayer.replay() == {}
    assert replayer.skipped[SkipReason.ALREADY_REPLAYED] == 3
