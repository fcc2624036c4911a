"""The window function on a stream with several batches, late rows and revisions, compared with SQL over the rows."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.feature_records import feature_records
from spark_jobs.window_features import LATE_METRIC, window_features
from tests.oracle import VARIABLES, Features, differences, expected_features, time_of
from weatherglass.qc.observation_checks import QcParameters

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
WATERMARK, WINDOW, MINUTE = timedelta(minutes=10), timedelta(minutes=5), timedelta(minutes=1)
BATCHES = 4
SCHEMA = "station_id string, timestamp timestamp, arrived timestamp, offset bigint, source string, " + ", ".join(
    f"{v} double" for v in VARIABLES
)

# The newest observation of batch b is at b * 7 minutes. The others are older: most by little, some by exactly the
# limits of the watermark, plus or minus a millisecond, and some by much.
behind = st.one_of(
    st.integers(0, 240_000),
    st.sampled_from([600_000, 540_000, 1_020_000, 960_000, 1_320_000]).flatmap(
        lambda ms: st.sampled_from([-1, 0, 1]).map(lambda near: ms + near)
    ),
    st.integers(0, 2_400_000),
)
value = st.one_of(st.none(), st.integers(0, 400).map(lambda n: n / 10))
row = st.fixed_dictionaries({"batch": st.integers(0, BATCHES - 1), "behind": behind, **dict.fromkeys(VARIABLES, value)})
stations = st.lists(st.lists(row, min_size=1, max_size=15), min_size=15, max_size=30)


def observations_of(drawn: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """The rows of each batch; every third row is sent again in the next batch, changed or unchanged."""
    batches: list[list[dict[str, Any]]] = [[] for _ in range(BATCHES)]
    for b in range(BATCHES):
        batches[b].append(_row("clock", START + 7 * b * MINUTE, dict.fromkeys(VARIABLES, 10.0)))
    for number, rows in enumerate(drawn):
        for i, drawn_row in enumerate(rows):
            b = drawn_row["batch"]
            time = START + 7 * b * MINUTE - timedelta(milliseconds=drawn_row["behind"])
            first = _row(f"station-{number}", time, drawn_row)
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
    return {"station_id": station, "timestamp": time, "source": "replay", **{v: values[v] for v in VARIABLES}}


def expected(batches: list[list[dict[str, Any]]]) -> tuple[Features, int]:
    """The last state of every window while it was open, and the number of observations that were too late."""
    features: Features = {}
    watermark, late = datetime.min.replace(tzinfo=UTC), 0
    for number, rows in enumerate(batches):
        so_far = [row for batch in batches[: number + 1] for row in batch]
        features |= {key: window for key, window in expected_features(so_far).items() if key[1] > watermark}
        ends = [row["timestamp"].replace(second=0, microsecond=0) + WINDOW for row in rows]
        late += sum(end <= watermark for end in ends)
        watermark = max(watermark, max(row["timestamp"] for row in rows) - WATERMARK)
    return features, late


def streamed(spark: SparkSession, batches: list[list[dict[str, Any]]], folder: Path) -> tuple[Features, int]:
    """The last record of every window that the stream publishes, and the number of observations counted as late."""
    source = folder / "source"
    for number, rows in enumerate(batches):
        ordered = [tuple(row[field.split()[0]] for field in SCHEMA.split(", ")) for row in rows]
        spark.createDataFrame(ordered, SCHEMA).coalesce(1).write.parquet(str(folder / str(number)))
        (file,) = (folder / str(number)).glob("*.parquet")
        source.mkdir(exist_ok=True)
        file.rename(source / f"{number}.parquet")
        os.utime(source / f"{number}.parquet", (number, number))
    features: Features = {}

    def collect(records: DataFrame, _: int) -> None:
        for record in records.collect():
            content = json.loads(record["value"])
            features[content["station_id"], time_of(content["window_end"])] = content["aggregated_features"]

    stream = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).parquet(str(source))
    query = (
        feature_records(window_features(stream, QcParameters()))
        .writeStream.outputMode("update")
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .foreachBatch(collect)
        .start()
    )
    query.awaitTermination()
    late = [(progress.observedMetrics[LATE_METRIC][LATE_METRIC] or 0) for progress in query.recentProgress]
    return features, sum(late)


@settings(
    max_examples=2,  # each with fifteen or more stations
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(drawn=stations)
def test_streamed_windows_equal_those_of_sql_after_each_batch(
    streaming: SparkSession, tmp_path: Path, drawn: list[list[dict[str, Any]]]
) -> None:
    batches = observations_of(drawn)
    features, late = streamed(streaming, batches, tmp_path / uuid4().hex)
    windows, too_late = expected(batches)
    assert differences(features, windows)[:20] == []
    assert late == too_late
