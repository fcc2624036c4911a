"""The copy of a skipped record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from weatherglass.consumer.rejected_copy import rejected_copy
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.topics import MAX_REJECTED_KEY_BYTES, MAX_REJECTED_VALUE_BYTES


def copy_of(key: bytes | None, value: bytes | None) -> tuple[bytes | None, bytes | None, dict[str, bytes]]:
    record: Any = SimpleNamespace(topic="weather-hours", partition=0, offset=7, key=key, value=value, headers=[])
    copy = rejected_copy(record, RejectionReason.FUTURE)
    return copy.key, copy.value, dict(copy.headers)


@pytest.mark.parametrize(
    ("key", "value"), [(None, b""), (b"", None), (b"", b""), (b"k", b"v"), (b"\xff", b"\x00" * 1_000_000)]
)
def test_a_record_is_copied_unchanged_with_its_origin(key: bytes | None, value: bytes | None) -> None:
    origin = {"reason": b"future", "topic": b"weather-hours", "partition": b"0", "offset": b"7"}
    assert copy_of(key, value) == (key, value, origin)


def test_a_long_key_and_a_long_value_are_truncated_and_their_sizes_kept() -> None:
    key, value, headers = copy_of(b"k" * 3_000_000, b"v" * 4_000_000)
    assert key == b"k" * MAX_REJECTED_KEY_BYTES
    assert value == b"v" * MAX_REJECTED_VALUE_BYTES
    assert (headers["truncated"], headers["truncated_key"]) == (b"4000000", b"3000000")
    assert len(key) + len(value) + 1_000 < 1_048_576


@pytest.mark.parametrize("extra", [0, 1])
def test_only_what_is_longer_than_the_limit_is_truncated(extra: int) -> None:
    key, value, headers = copy_of(b"k" * (MAX_REJECTED_KEY_BYTES + extra), b"v" * (MAX_REJECTED_VALUE_BYTES + extra))
    assert key is not None
    assert value is not None
    assert (len(key), len(value)) == (MAX_REJECTED_KEY_BYTES, MAX_REJECTED_VALUE_BYTES)
    assert ({"truncated", "truncated_key"} <= headers.keys()) == bool(extra)
    assert ("truncated" in headers) == ("truncated_key" in headers)


def test_a_record_without_key_and_value_has_an_empty_value() -> None:
    assert copy_of(None, None)[:2] == (None, b"")
