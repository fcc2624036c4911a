"""The window function on a stream with several batches, late rows and revisions, compared with SQL over the rows."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.checkpoint_migration import CheckpointMigration
from spark_jobs.query_progress import batch_metrics
from spark_jobs.stream_records import state_retention, stream_records
from tests.oracle import VARIABLES, Features, differences, expected_features, time_of
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, RAW

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
WATERMARK, WINDOW, MINUTE = timedelta(minutes=10), timedelta(minutes=5), timedelta(minutes=1)
BATCHES = 4
SCHEMA = (
    "key binary, value binary, partition int, offset bigint, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>"
)

# Each station has an observation at b * 7 minutes in batch b, but some clocks are fast or slow, and it may miss one.
# The others are older: most by little, some by exactly the limits of lateness, plus or minus a millisecond, and some by
# much.
behind = st.one_of(
    st.integers(0, 240_000),
    st.sampled_from([600_000, 540_000, 1_020_000, 960_000, 1_320_000]).flatmap(
        lambda ms: st.sampled_from([-1, 0, 1]).map(lambda near: ms + near)
    ),
    st.integers(0, 2_400_000),
)
value = st.one_of(st.none(), st.integers(0, 400).map(lambda n: n / 10))
row = st.fixed_dictionaries({"batch": st.integers(0, BATCHES - 1), "behind": behind, **dict.fromkeys(VARIABLES, value)})
station = st.fixed_dictionaries(
    {
        "clock": st.sampled_from([0, 0, 0, -40, -11, 5, 240]).map(lambda minutes: minutes * MINUTE),
        "misses": st.sampled_from([None, *range(BATCHES)]),
        "rows": st.lists(row, min_size=1, max_size=15),
    }
)
stations = st.lists(station, min_size=15, max_size=30)


def observations_of(drawn: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each batch; every third row is sent again in the next batch, changed or unchanged."""
    batches: list[list[dict[str, Any]]] = [[] for _ in range(BATCHES)]
    for number, of_station in enumerate(drawn):
        name, start = f"station-{number}", START + of_station["clock"]
        for b in range(BATCHES):
            if b != of_station["misses"]:
                batches[b].append(_reading(name, start + 7 * b * MINUTE))
        for i, drawn_row in enumerate(of_station["rows"]):
            b = drawn_row["batch"]
            time = start + 7 * b * MINUTE - timedelta(milliseconds=drawn_row["behind"])
            first = _row(name, time, drawn_row)
            batches[b].append(first)
            if i % 3 == 0:
                revised = {**first, "temperature": 11.0} if i % 2 else first
                batches[min(b + 1, BATCHES - 1)].append(revised)
    offset = 0
    for b, rows in enumerate(batches):
        for i, observation in enumerate(rows):
            rows[i] = {**observation, "offset": offset, "arrived": START + timedelta(days=1, seconds=b)}
            offset += 1
    return batches


def _row(station: str, time: datetime, values: dict[str, Any]) -> dict[str, Any]:
    return {"station_id": station, "timestamp": time, **{v: values[v] for v in VARIABLES}}


def expected(batches: list[list[dict[str, Any]]]) -> tuple[Features, set[int]]:
    """The last state of every window while it was open for its station, and the offsets of late observations."""
    features: Features = {}
    newest: dict[str, datetime] = {}
    late: set[int] = set()
    for number, rows in enumerate(batches):
        closed = {name: time - WATERMARK for name, time in newest.items()}
        so_far = [row for batch in batches[: number + 1] for row in batch]
        features |= {
            (name, end): window
            for (name, end), window in expected_features(so_far).items()
            if name not in closed or end > closed[name]
        }
        for row in rows:
            name, time = row["station_id"], row["timestamp"]
            if name in closed and time.replace(second=0, microsecond=0) + WINDOW <= closed[name]:
                late.add(row["offset"])
            newest[name] = max(time, newest.get(name, time))
    return features, late


def _reading(station: str, time: datetime) -> dict[str, Any]:
    return _row(station, time, dict.fromkeys(VARIABLES, 10.0))


def messages(batches: list[list[dict[str, Any]]], arrived: list[datetime]) -> list[list[tuple[Any, ...]]]:
    """Observations as messages with consecutive offsets, and with the arrival time of their batch."""
    offset = itertools.count()
    return [
        [message(one | {"offset": next(offset), "arrived": time}) for one in batch]
        for batch, time in zip(batches, arrived, strict=True)
    ]


def message(observation: dict[str, Any]) -> tuple[Any, ...]:
    """An observation as a row of Spark's Kafka source."""
    content = {"station_id": observation["station_id"], "timestamp": iso(observation["timestamp"])}
    value = json.dumps(content | {name: observation[name] for name in VARIABLES}).encode()
    return observation["station_id"].encode(), value, 0, observation["offset"], observation["arrived"], None


class Streamed(NamedTuple):
    """The last record of every window, key, value and headers of rejected messages by offset, and the batch metrics."""

    features: Features
    rejected: dict[int, tuple[bytes | None, bytes | None, dict[str, bytes]]]
    metrics: list[dict[str, Any]]

    def counted(self, name: str) -> Counter[str]:
        """The sum of a metric over all batches, by kind if it has kinds."""
        total: Counter[str] = Counter()
        for batch in self.metrics:
            total.update(batch[name] if isinstance(batch[name], dict) else {"": batch[name]})
        return +total


def streamed(
    spark: SparkSession,
    settings: Settings,
    batches: list[list[tuple[Any, ...]]],
    folder: Path,
    migration: CheckpointMigration | None = None,
) -> Streamed:
    """The output of a stream with these batches of messages."""
    source = folder / "source"
    for number, rows in enumerate(batches):
        spark.createDataFrame(rows, SCHEMA).coalesce(1).write.parquet(str(folder / str(number)))
        (file,) = (folder / str(number)).glob("*.parquet")
        source.mkdir(exist_ok=True)
        file.rename(source / f"{number}.parquet")
        os.utime(source / f"{number}.parquet", (number, number))
    features: Features = {}
    rejected: dict[int, tuple[bytes | None, bytes | None, dict[str, bytes]]] = {}

    def collect(records: DataFrame, _: int) -> None:
        for record in records.collect():
            if record["topic"] == FEATURES:
                content = json.loads(record["value"])
                features[content["station_id"], time_of(content["window_end"])] = content["aggregated_features"]
            else:
                headers = {header["key"]: bytes(header["value"]) for header in record["headers"]}
                assert int(headers["offset"]) not in rejected, "published once"
                key, value = (content and bytes(content) for content in (record["key"], record["value"]))
                rejected[int(headers["offset"])] = (key, value, headers)

    stream = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).parquet(str(source))
    query = (
        stream_records(stream, settings, QcParameters(), migration)
        .writeStream.outputMode("update")
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .foreachBatch(collect)
        .start()
    )
    query.awaitTermination()
    progresses = [batch_metrics(json.loads(progress.json), RAW) for progress in query.recentProgress]
    return Streamed(features, rejected, progresses)


@hypothesis.settings(
    max_examples=2,  # each with fifteen or more stations
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(drawn=stations)
def test_streamed_windows_equal_those_of_sql_after_each_batch(
    streaming: SparkSession, settings: Settings, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    batches = observations_of(drawn)
    sent = [[message(one) for one in rows] for rows in batches]
    result = streamed(streaming, settings, sent, tmp_path / uuid4().hex)
    windows, late = expected(batches)
    assert differences(result.features, windows)[:20] == []
    assert result.counted("late")[""] == len(late)
    late_messages = {row[3]: row[:2] for rows in sent for row in rows if row[3] in late}
    assert {offset: row[:2] for offset, row in result.rejected.items()} == late_messages
    assert all(headers["reason"] == b"late" for _, _, headers in result.rejected.values())


def test_a_fast_station_and_a_slow_gateway_make_no_reading_late(
    streaming: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    """Every minute, stations send with a delay of 5 to 13 minutes, and one whose clock is nine minutes fast. Then a
    gateway uploads its readings of half an hour, ten in each batch."""
    minutes = 30
    rows: list[list[dict[str, Any]]] = []
    for minute in range(minutes):
        now = START + minute * MINUTE
        delayed = [_reading(f"delayed-{delay}", now - delay * MINUTE) for delay in (5, 7, 9, 11, 13)]
        rows.append([*delayed, _reading("fast", now + 9 * MINUTE)])
        if minute >= minutes - 3:
            first = 10 * (minute - minutes + 3)
            rows[-1] += [_reading("gateway", START + m * MINUTE) for m in range(first, first + 10)]
    tolerant = settings.model_copy(update={"future_tolerance_minutes": 9.5})
    result = streamed(streaming, tolerant, messages(rows, [START + m * MINUTE for m in range(minutes)]), tmp_path)
    assert (result.rejected, result.counted("late")[""]) == ({}, 0)
    assert differences(result.features, expected_features([one for batch in rows for one in batch]))[:20] == []


def test_a_late_reading_after_the_clock_was_set_back_has_no_value(
    streaming: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    """It cannot be late by the time of its arrival, so its value was not kept for that; its position is known."""
    times = [START, START - 20 * MINUTE]
    batches = messages([[_reading("paris", time)] for time in times], arrived=times)
    result = streamed(streaming, settings, batches, tmp_path)
    value = batches[1][0][1]
    assert result.counted("late")[""] == 1
    assert result.rejected == {
        1: (
            b"paris",
            None,
            {
                "reason": b"late",
                "topic": RAW.encode(),
                "partition": b"0",
                "offset": b"1",
                "truncated": str(len(value)).encode(),
            },
        )
    }


def test_after_a_migration_messages_are_rejected_and_counted_once(
    streaming: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    """Offsets below 2 are on `weather-rejected`; offsets below 4 were read; windows up to START are closed."""
    closed = _reading("paris", START - 5 * MINUTE) | {"temperature": 99.0}
    rows: list[tuple[Any, ...]] = []
    for offset in range(0, 6, 2):
        rows.append(message(closed | {"offset": offset, "arrived": START}))
        rows.append((b"key", b"invalid", 0, offset + 1, START, None))
    migration = CheckpointMigration(round(START.timestamp() * 1000), {"0": 0}, {"0": 4}, {"0": 2})
    result = streamed(streaming, settings, [rows], tmp_path, migration)
    assert result.features == {}
    assert {offset: headers["reason"] for offset, (_, _, headers) in result.rejected.items()} == {
        2: b"late", 3: b"malformed_json", 4: b"late", 5: b"malformed_json"
    }  # fmt: skip
    assert result.counted("late")[""] == 2
    assert result.counted("rejected") == {"malformed_json": 2}
    assert result.counted("failed_values") == {"range": 1}
    assert result.counted("windows_sent")[""] == 0


def test_the_state_of_a_station_is_removed_only_if_no_reading_of_its_windows_can_follow(
    streaming: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    """After the retention, one station is silent and one has reported again, so that its late reading is detected."""
    later = START + state_retention(settings)
    rows = [
        [_reading("silent", START), _reading("alive", START)],
        [_reading("alive", later + 30 * MINUTE)],
        [_reading("alive", later + 31 * MINUTE)],
        [_reading("alive", later)],
        [_reading("silent", START - 20 * MINUTE)],
    ]
    arrived = [START, *([later + 31 * MINUTE] * 3), START + 24 * 60 * MINUTE]
    result = streamed(streaming, settings, messages(rows, arrived), tmp_path)
    assert [key for key, _, _ in result.rejected.values()] == [b"alive"]
    assert {name for name, end in result.features if end < START} == {"silent"}
