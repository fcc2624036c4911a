"""The features job and the sink accept the same messages and read the same values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.parsing import MAX_HEADER_BYTES, header_text, parse
from tests.station_ids import ACCEPTED, ONE_CHARACTER, REFUSED
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.qc.observation_checks import check_timestamp
from weatherglass.records import Observation
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 5, 13, 0, tzinfo=UTC)
MESSAGES = "value binary, key binary, topic string, partition int, offset bigint, timestamp timestamp, " + (
    "headers array<struct<key: string, value: binary>>"
)
TIMES = [
    "2026-01-05T12:15:00Z",
    "2026-01-05 12:15:00Z",
    "2026-01-05T12:15:00.5Z",
    "2026-01-05T12:15:00.123456789Z",
    "2026-01-05T12:15:00.1234567891Z",
    "2026-01-05T12:15:00.999999Z",
    "2026-01-05T12:15:00.Z",
    "2026-01-05T12:15:00,5Z",
    "2026-01-05T12:15:00+00:00",
    "2026-01-05T12:15:00-00:00",
    "2026-01-05T13:45:00+01:30",
    "2026-01-06T06:14:00+17:59",
    "2026-01-06T06:15:00+18:00",
    "2026-01-06T11:15:00+23:00",
    "2026-01-05T12:15:00+00:60",
    "2026-01-05T12:15:00+0000",
    "2026-01-05T12:15:00+00",
    "2026-01-05T12:15:00\u221200:00",
    "2026-01-05T12:15:00 Z",
    "2026-01-05T12:15:00UTC",
    "2026-01-05T12:15:00",
    "2026-01-05T12:15Z",
    "2026-01-05T12Z",
    "2026-01-05",
    "2026-01-05T12:15:60Z",
    "2026-01-05T24:00:00Z",
    "2026-02-30T12:15:00Z",
    "2026-1-5T12:15:00Z",
    "20260105T121500Z",
    "2026-W02-1T12:15:00Z",
    "2026-01-05t12:15:00Z",
    "2026-01-05_12:15:00Z",
    "2026-01-05T12:15:00z",
    " 2026-01-05T12:15:00Z",
    "2026-01-05T12:15:00Z\\n",
    "2026-01-05T12:15:0\u0660Z",
    "1767614100",
    "1767614100.0",
    "",
    "now",
    "9999-12-31T23:59:59-01:00",
    "0001-01-01T00:00:00+01:00",
    "0000-01-01T00:00:00Z",
]
UNUSUAL = [
    '{"station_id":"a","timestamp":"2026-01-05T12:15:00Z"}',
    ' {"station_id" : "a" , "timestamp" : "2026-01-05T12:15:00Z" } \r\n\t',
    '{"station_id":"a","station_id":"a","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"a","st\\u0061tion_id":"b","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"a","timestamp":"2026-01-05T12:15:00Z","timestamp":"2026-01-05T12:15:00Z"}',
    "\ufeff" + '{"station_id":"a","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":null,"timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"a","timestamp":null}',
    '{"station_id":"a","timestamp":1767614100}',
    '{"station_id":"a","timestamp":1767614100.5}',
    '{"station_id":"a","timestamp":["2026-01-05T12:15:00Z"]}',
    '{"station_id":"\\ud83d\\ude00","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"\\ud83d","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"\\ude00\\ud83d","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"a\\u0000","timestamp":"2026-01-05T12:15:00Z"}',
    '{"station_id":"%s","timestamp":"2026-01-05T12:15:00Z"}' % ("\\ud83d\\ude00" * 100),
    '{"station_id":"%s","timestamp":"2026-01-05T12:15:00Z"}' % ("a" * 101),
    '{"station_id":"","timestamp":"2026-01-05T12:15:00Z"}',
    '[{"station_id":"a","timestamp":"2026-01-05T12:15:00Z"}]',
    '{"station_id":"a","timestamp":"2026-01-05T12:15:00Z"},',
    '{"station_id":"a","timestamp":"2026-01-05T12:15:00Z",}',
    "{'station_id':'a','timestamp':'2026-01-05T12:15:00Z'}",
    '{"station_id":"a","timestamp":"2026-01-05T12:15:00Z"} /* */',
    '{"station_id":"a\tb","timestamp":"2026-01-05T12:15:00Z"}',
    "{}",
    '"text"',
    "null",
    "0",
    "",
    " ",
]
UNKNOWN = [
    "NaN",
    "[-Infinity]",
    '{"a":1,"a":2}',
    '[{"a":1},{"a":2}]',
    '{"a":{"a":1}}',
    '"\\ud800"',
    '{"\\udc00":1}',
    '"\\\\ud800"',
    '"\\ud83d\\ude00"',
    "1e999",
    "01",
    "1.",
    "+1",
    "TRUE",
    '"' + "x" * 100_000 + '"',
    '{"' + "x" * 100_000 + '":1}',
    *('{"' + "x" * length + '":1}' for length in (999, 1000, 1001)),
    *('{"' + "é" * length + '":1}' for length in (499, 500, 501)),
    '{"' + "\\u00e9" * 500 + '":1}',
    '{"' + "\\u00e9" * 501 + '":1}',
    "[" * 190 + "]" * 190,
    "[" * 300 + "]" * 300,
    "1" * 4300,
    "1" * 4301,
    "-1." + "1" * 4299,
    "1." + "1" * 4300,
    "1" * 4299 + "e1",
    "1" * 4300 + "e1",
]
NUMBERS = [
    "3",
    "-0",
    "3.25",
    "1e2",
    "1e999",
    "-1e999",
    "1" + "0" * 400,
    "NaN",
    '"3"',
    "true",
    "null",
    "[3]",
    "{}",
    "3e",
]


def corpus() -> Iterator[bytes]:
    """Messages with one unusual feature each."""
    yield from (f'{{"station_id":"a","timestamp":"{text}"}}'.encode() for text in TIMES)
    yield from (text.encode() for text in UNUSUAL)
    fields = [(name, value) for value in UNKNOWN for name in ("unknown", "wind_gust", "temperature_resolution")]
    fields += [(name, value) for value in NUMBERS for name in ("temperature", "wind_direction")]
    yield from (f'{UNUSUAL[0][:-1]},"{name}":{value}}}'.encode() for name, value in fields)
    valid = UNUSUAL[0]
    yield from (valid.encode(name) for name in ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"))
    yield from (
        valid.encode().replace(b'"a"', text) for text in (b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\x00"')
    )
    yield valid.encode().replace(b'"a"', b'"a","u":"\xff"')


def test_job_and_sink_accept_the_same_messages_and_values(spark: SparkSession, settings: Settings) -> None:
    messages = list(corpus())
    parsed_by_job = _parsed_by_job(spark, settings, messages)
    parsed_by_sink = [_parsed_by_sink(message, settings) for message in messages]
    assert [m[:120] for m, job, sink in zip(messages, parsed_by_job, parsed_by_sink, strict=True) if job != sink] == []
    accepted = sum(observation is not None for observation in parsed_by_sink)
    assert 20 < accepted < len(messages) - 60, "the corpus has valid and invalid messages"


def test_job_and_sink_accept_the_same_station_ids(spark: SparkSession, settings: Settings) -> None:
    station_ids = [*ACCEPTED, *REFUSED, *ONE_CHARACTER]
    messages = [json.dumps({"station_id": text, "timestamp": "2026-01-05T12:15:00Z"}).encode() for text in station_ids]
    parsed = parse(_dataframe(spark, messages), settings, NOW)
    reasons = {row.offset: row.reason for row in parsed.select("offset", "reason").collect()}
    by_sink = [_parsed_by_sink(message, settings) for message in messages]
    assert [text for n, text in enumerate(station_ids) if (reasons[n] is None) != (by_sink[n] is not None)] == []
    assert set(reasons.values()) == {None, "bad_station"}
    assert [reasons[n] for n in range(len(ACCEPTED) + len(REFUSED))] == (
        [None] * len(ACCEPTED) + ["bad_station"] * len(REFUSED)
    )


def _parsed_by_sink(message: bytes, settings: Settings) -> Observation | None:
    """The observation as the sink parses it; None if it rejects the message."""
    try:
        read = Observation.from_json(message)
    except ValidationError:
        return None
    if check_timestamp(read.timestamp, NOW, settings):
        return None
    return read.model_copy(update={"wind_gust": None, "temperature_resolution": None})  # the job does not read them


def _dataframe(spark: SparkSession, messages: list[bytes]) -> DataFrame:
    """The messages as Spark's Kafka source returns them; the offset is the position in the list."""
    rows = [(bytearray(message), None, "weather-raw", 0, n, NOW, []) for n, message in enumerate(messages)]
    return spark.createDataFrame(rows, MESSAGES)


def _parsed_by_job(spark: SparkSession, settings: Settings, messages: list[bytes]) -> list[Observation | None]:
    valid = parse(_dataframe(spark, messages), settings, NOW).where("reason is null")
    parsed: list[Observation | None] = [None] * len(messages)
    for row in valid.select("offset", "station_id", F.unix_micros("timestamp").alias("time"), *RANGE_LIMITS).collect():
        fields = row.asDict()
        del fields["offset"]
        time = datetime.fromtimestamp(0, UTC) + fields.pop("time") * datetime.resolution
        parsed[row.offset] = Observation.model_construct(timestamp=time, **fields)
    return parsed


@pytest.mark.parametrize("mode", ["CODEGEN_ONLY", "NO_CODEGEN"])
def test_the_first_header_of_a_name_counts_if_it_is_short_utf8(spark: SparkSession, mode: str) -> None:
    longest, too_long = "é" * (MAX_HEADER_BYTES // 2), "é" * (MAX_HEADER_BYTES // 2) + "x"
    cases: list[tuple[list[tuple[str, bytes | None]] | None, str | None]] = [
        (None, None),
        ([], None),
        ([("sources", b"a"), ("Source", b"b"), ("", b"c")], None),
        ([("other", b"a"), ("source", b"b")], "b"),
        ([("source", b"a"), ("source", b"b")], "a"),
        ([("source", None), ("source", b"b")], None),
        ([("source", b"\xff"), ("source", b"b")], None),
        ([("source", b"\xed\xa0\x80")], None),
        ([("source", "\ufffd".encode())], "\ufffd"),
        ([("source", b"")], ""),
        ([("source", longest.encode())], longest),
        ([("source", too_long.encode())], None),
    ]
    rows = [
        (n, None if headers is None else [(key, None if value is None else bytearray(value)) for key, value in headers])
        for n, (headers, _) in enumerate(cases)
    ]
    spark.conf.set("spark.sql.codegen.factoryMode", mode)
    spark.conf.set("spark.sql.codegen.wholeStage", str(mode != "NO_CODEGEN").lower())
    try:
        messages = spark.createDataFrame(rows, "n int, headers array<struct<key: string, value: binary>>")
        texts = {row.n: row.text for row in messages.select("n", header_text("source").alias("text")).collect()}
    finally:
        spark.conf.unset("spark.sql.codegen.factoryMode")
        spark.conf.unset("spark.sql.codegen.wholeStage")
    assert [texts[n] for n in range(len(cases))] == [text for _, text in cases]
