from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from tests.log_records import product_records
from weatherglass.record_headers import Origin
from weatherglass.store.readable import read_row, read_rows, stored_origin


@pytest.mark.parametrize(
    "build",
    [
        lambda _: {}["missing"],
        lambda _: int("text"),
        lambda _: None + 1,  # type: ignore[operator]
        lambda row: row.missing,
        lambda _: 1 / 0,
    ],
)
def test_a_row_with_unexpected_values_is_missing(build: Any) -> None:
    assert read_row(SimpleNamespace(), build) is None


def test_other_errors_are_raised() -> None:
    def fail(_: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        read_row(SimpleNamespace(), fail)


def test_rows_that_cannot_be_read_are_left_out_and_a_zero_is_not() -> None:
    assert read_rows(["1", "x", "0"], int) == [1, 0]


def test_a_row_is_logged_once_with_the_first_500_characters_of_the_error(caplog: pytest.LogCaptureFixture) -> None:
    def build(row: SimpleNamespace) -> None:
        raise ValueError(row.text)

    row = SimpleNamespace(station_id="jfk", timestamp="2026-01-05T12:15:00Z", text="x" * 1000)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert read_row(row, build) is None
    (logged,) = product_records(caplog)
    assert isinstance(logged.args, tuple)
    reader, names, error = logged.args
    assert str(reader).endswith("build")
    assert names == "['jfk', '2026-01-05T12:15:00Z']"
    assert error == "ValueError('" + "x" * 488


def test_the_source_of_a_row_can_be_unknown() -> None:
    assert [stored_origin(text) for text in (Origin.REPLAY.value, "other", None)] == [Origin.REPLAY, None, None]
