"""Headers as written and as read by others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.weatherglass.store.samples import NOON, a_guidance, a_prediction, a_window, an_observation
from weatherglass.record_headers import INPUTS_HEADER, Origin, headers, inputs_hash, origin, origin_of
from weatherglass.records import Hour, Record
from weatherglass.settings import Source

PRODUCED = datetime(2026, 1, 5, 12, 15, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("record", "schema"),
    [
        (an_observation("a", NOON), b"observation/1"),
        (a_window(NOON), b"window-features/1"),
        (a_prediction("a", NOON), b"prediction/1"),
        (Hour, b"hour/1"),
        (a_guidance(), b"guidance/1"),
    ],
)
def test_headers_name_the_schema_and_the_time_of_production(record: type[Record] | Record, schema: bytes) -> None:
    assert headers(record, None, PRODUCED) == [("schema", schema), ("produced_at", b"2026-01-05T12:15:00.250Z")]


@pytest.mark.parametrize("source", Origin)
def test_the_source_is_read_as_written(source: Origin) -> None:
    written = headers(Hour, source, PRODUCED)
    assert dict(written)["source"] == source.encode()
    assert origin(written) is source


@pytest.mark.parametrize("value", [b"", b"METAR", b"metar ", b"\xff"])
def test_an_unknown_source_is_none(value: bytes) -> None:
    assert origin([("source", value)]) is None
    assert origin([("sources", b"metar")]) is None


def test_the_hash_of_the_inputs_is_bounded_ascii() -> None:
    assert inputs_hash([("schema", b"prediction/1")]) is None
    assert inputs_hash([(INPUTS_HEADER, b"")]) is None
    assert inputs_hash([(INPUTS_HEADER, b"0f" * 32)]) == "0f" * 32
    assert inputs_hash([(INPUTS_HEADER, b"\xff" + b"a" * 80)]) == "\ufffd" + "a" * 63


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source.METAR, Origin.METAR),
        (Source.OPEN_METEO, Origin.OPEN_METEO),
        (Source.REPLAY, Origin.REPLAY),
        (Source.SIMULATE, Origin.SIMULATED),
    ],
)
def test_each_configured_source_gives_one_origin(source: Source, expected: Origin) -> None:
    assert origin_of(source) is expected


def test_auto_gives_several_origins() -> None:
    with pytest.raises(ValueError, match="auto"):
        origin_of(Source.AUTO)
