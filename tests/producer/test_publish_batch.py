"""What the producer guarantees, and what its error says, without a broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from producer import publish as publishing
from producer.publish import PublishError, open_producer, publish_batch
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import Settings

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
BATCH = [Observation(station_id="roof", timestamp=NOW + timedelta(hours=hour), temperature=hour) for hour in range(3)]


def test_a_record_is_neither_repeated_nor_reordered_and_is_reported_before_the_caller_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Repeated requests keep the order only with idempotence; a request must fail early enough to be repeated."""
    given: list[dict[str, Any]] = []
    closed: list[float] = []
    fake = SimpleNamespace(close=lambda timeout: closed.append(timeout))
    monkeypatch.setattr(publishing, "KafkaProducer", lambda **options: given.append(options) or fake)
    with open_producer(Settings(kafka_bootstrap="broker:9092")) as producer:
        assert producer is fake
        assert closed == []
    (options,) = given
    assert (options["bootstrap_servers"], options["acks"], options["enable_idempotence"]) == (
        "broker:9092",
        "all",
        True,
    )
    limit = publishing.ACKNOWLEDGEMENT_TIMEOUT_SECONDS * 1000
    assert options["max_block_ms"] == options["delivery_timeout_ms"] == limit
    assert options["request_timeout_ms"] + options["linger_ms"] < limit
    assert 2 * options["bootstrap_timeout_ms"] <= limit
    assert len(closed) == 1


def test_a_producer_that_cannot_be_closed_hides_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(timeout: float) -> None:
        raise KafkaTimeoutError

    monkeypatch.setattr(publishing, "KafkaProducer", lambda **options: SimpleNamespace(close=close))
    with pytest.raises(ZeroDivisionError), open_producer(Settings(kafka_bootstrap="broker:9092")):
        raise ZeroDivisionError
    with open_producer(Settings(kafka_bootstrap="broker:9092")):
        pass


@pytest.mark.parametrize("failing", range(3))
def test_the_error_has_the_time_of_the_first_observation_whichever_is_not_acknowledged(failing: int) -> None:
    waits: list[float] = []

    def acknowledgement(number: int) -> Any:
        def get(timeout: float) -> None:
            waits.append(timeout)
            if number == failing:
                raise KafkaConnectionError("lost")

        return SimpleNamespace(get=get)

    sent: list[str] = []

    def send(topic: str, key: bytes, value: bytes, headers: object) -> Any:
        sent.append(topic)
        return acknowledgement(len(sent) - 1)

    with pytest.raises(PublishError, match=r"2026-07-14 12:00.*lost"):
        publish_batch(SimpleNamespace(send=send), "a-topic", BATCH, {"roof": Origin.OWN}, NOW)  # type: ignore[arg-type]
    assert sent == ["a-topic"] * len(BATCH)  # all are sent before the first wait
    assert len(waits) == failing + 1
    assert min(waits) > publishing.ACKNOWLEDGEMENT_TIMEOUT_SECONDS  # the producer reports an error by then
