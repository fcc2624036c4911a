"""The copy of a skipped record on `weather-rejected`."""

from __future__ import annotations

from typing import NamedTuple

from kafka.consumer.fetcher import ConsumerRecord

from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.record_headers import Headers
from weatherglass.topics import (
    MAX_REJECTED_KEY_BYTES,
    MAX_REJECTED_VALUE_BYTES,
    TRUNCATED_HEADER,
    TRUNCATED_KEY_HEADER,
)


class RejectedCopy(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers


def rejected_copy(record: ConsumerRecord, reason: RejectionReason) -> RejectedCopy:
    """The copy of a record: key and value unchanged, or the beginning of one that the broker would refuse.

    The headers give the reason, the origin, and the original size in bytes of what was truncated. The features job
    writes the same copies with Spark (`spark_jobs.parsing.rejected`).
    """
    headers = {
        "reason": reason.value,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
    if record.value is not None and len(record.value) > MAX_REJECTED_VALUE_BYTES:
        headers[TRUNCATED_HEADER] = len(record.value)
    if record.key is not None and len(record.key) > MAX_REJECTED_KEY_BYTES:
        headers[TRUNCATED_KEY_HEADER] = len(record.key)
    value = value_to_send(record)
    return RejectedCopy(
        record.key and record.key[:MAX_REJECTED_KEY_BYTES],
        value and value[:MAX_REJECTED_VALUE_BYTES],
        [(name, str(text).encode()) for name, text in headers.items()],
    )


def value_to_send(record: ConsumerRecord) -> bytes | None:
    """The value of a record; empty if it has neither key nor value, which kafka-python's producer refuses."""
    value: bytes | None = record.value
    return b"" if record.key is None and value is None else value
