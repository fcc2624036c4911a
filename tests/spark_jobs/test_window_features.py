"""The window features against SQL over the raw rows, for data that Hypothesis invents."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.feature_records import feature_records
from spark_jobs.window_features import window_features
from tests.oracle import VARIABLES, differences, expected_features, time_of
from weatherglass.qc.observation_checks import Rules
from weatherglass.records import WindowFeatures

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SCHEMA = "station_id string, timestamp timestamp, arrived timestamp, offset bigint, " + ", ".join(
    f"{v} double" for v in VARIABLES
)

ELEVATIONS = {"here": 12.0, "hill": 640.0, "mountain": 1609.0}
USUAL = {"temperature": (-5.0, 25.0), "pressure": (930.0, 1040.0), "wind_speed": (0.0, 30.0)}
RULES = Rules({"here": [[USUAL.get(v) for v in VARIABLES] for _ in range(12)]}, ELEVATIONS)
CLIMATE = [("here", month, name, *limits) for month in range(1, 13) for name, limits in USUAL.items()]

around_an_edge = st.integers(-3, 12).flatmap(
    lambda minute: st.sampled_from([-1, 0, 1, 500, 30_000]).map(lambda ms: minute * 60_000 + ms)
)
after_a_gap = st.integers(3_000_000, 3_060_000)
times = st.one_of(around_an_edge, st.integers(-200_000, 900_000), after_a_gap).map(
    lambda ms: START + timedelta(milliseconds=ms)
)


def reading(low: int, high: int) -> st.SearchStrategy[float | None]:
    """Tenths between the limits, few and many different ones, now and then missing or impossible."""
    usual = st.one_of(st.sampled_from([low, low + 1, (low + high) // 2]), st.integers(low, high)).map(lambda n: n / 10)
    return st.one_of(usual, usual, usual, st.none(), st.sampled_from([-999.0, 9999.0, 1100.1, 360.0, 0.0]))


observation = st.fixed_dictionaries(
    {
        "timestamp": times,
        "temperature": reading(-400, 450),
        "humidity": reading(0, 1000),
        "pressure": reading(8000, 10500),
        "wind_speed": reading(0, 400),
        "wind_direction": reading(0, 3600),
    }
)
single = st.lists(observation, min_size=1, max_size=1)
many = st.lists(observation, min_size=2, max_size=40)


@st.composite
def alike(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows that differ in one way only: the time, or what they tell of the same time (ties and revisions)."""
    first = draw(observation)
    field = draw(st.sampled_from(["timestamp", "temperature", "wind_speed", "wind_direction"]))
    return [first, *({**row, **{k: first[k] for k in row if k != field}} for row in draw(many))]


@st.composite
def silent(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One variable is always missing."""
    variable = draw(st.sampled_from(VARIABLES))
    return [{**row, variable: None} for row in draw(many)]


one_station = st.one_of(single, many, alike(), silent()).flatmap(
    lambda rows: st.permutations(rows + rows[: len(rows) // 3]).map(list)
)
station_ids = ["here", "hill", "mountain", *(f"elsewhere-{n}" for n in range(30))]
all_stations = st.lists(one_station, min_size=20, max_size=len(station_ids)).map(
    lambda drawn: [{"station_id": name, **row} for name, rows in zip(station_ids, drawn, strict=False) for row in rows]
)


def computed(spark: SparkSession, observations: list[dict[str, Any]]) -> dict[tuple[str, datetime], dict[str, Any]]:
    """The features as they would lie on the topic, parsed; each record is checked against the contract."""
    rows = [
        (o["station_id"], o["timestamp"], START + timedelta(days=1), o.get("offset", i), *(o[v] for v in VARIABLES))
        for i, o in enumerate(observations)
    ]
    frame = spark.createDataFrame(rows, SCHEMA).withColumn("source", F.lit("replay"))
    found = {}
    for row in feature_records(window_features(frame, RULES)).collect():
        record = WindowFeatures.from_json(bytes(row.value))
        assert row.key.decode() == record.station_id
        assert json.loads(row.value) == json.loads(record.to_json()), "the record as the contract would write it"
        assert record.window_end - record.window_start == timedelta(minutes=5)
        key = (record.station_id, time_of(record.window_end))
        assert key not in found, "a window computed twice"
        found[key] = json.loads(row.value)["aggregated_features"]
    return found


@settings(
    max_examples=6,  # of twenty stations and more each, since each is a Spark job
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
)
@given(rows=all_stations)
def test_equal_to_sql_over_the_raw_rows(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    assert differences(computed(spark, rows), expected_features(rows, ELEVATIONS, CLIMATE)) == []


def at(seconds: float, **values: float | None) -> dict[str, Any]:
    return {"station_id": "here", "timestamp": START + timedelta(seconds=seconds), **dict.fromkeys(VARIABLES), **values}


def test_a_row_belongs_to_the_windows_that_hold_its_instant(spark: SparkSession) -> None:
    """Half-open: the end of a window is outside it, its start inside, to the millisecond."""
    found = computed(spark, [at(-0.001, temperature=1.0), at(0, temperature=2.0)])
    counts = {end: window["count"] for (_, end), window in found.items()}
    minute = timedelta(minutes=1)
    assert counts == {
        START: 1,
        **{START + n * minute: 2 for n in range(1, 5)},
        START + 5 * minute: 1,
    }
    assert found["here", START]["temperature"]["last"] == 1.0
    assert found["here", START + 5 * minute]["temperature"]["last"] == 2.0


def test_a_repeat_counts_once_and_a_revision_replaces(spark: SparkSession) -> None:
    repeat, revised = at(10, temperature=5.0), at(10, temperature=7.0)
    found = computed(spark, [repeat, repeat, revised, at(20, temperature=9.0)])
    window = found["here", START + timedelta(minutes=1)]
    assert (window["count"], window["temperature"]["mean"]) == (2, 8.0)


def test_what_a_single_value_cannot_tell_is_null(spark: SparkSession) -> None:
    window = computed(spark, [at(10, temperature=5.0)])["here", START + timedelta(minutes=1)]
    assert window["temperature"] == {
        "mean": 5.0, "std": None, "min": 5.0, "max": 5.0, "last": 5.0, "rate_per_hour": None, "trend": None,
        "count": 1,
    }  # fmt: skip
    assert window["humidity"]["mean"] is None
    assert window["dew_point"] is None
    assert window["wind"] == {"u": None, "v": None, "direction": None, "steadiness": None, "count": 0}
    assert window["quality"]["temperature"] == "ok"
    assert window["quality"]["humidity"] == "not_checked"


def test_constant_values_have_no_spread_and_no_trend(spark: SparkSession) -> None:
    found = computed(spark, [at(second, temperature=0.1, pressure=1013.7) for second in range(0, 60, 7)])
    window = found["here", START + timedelta(minutes=1)]
    for variable in ("temperature", "pressure"):
        assert window[variable]["std"] == 0
        assert window[variable]["rate_per_hour"] == 0
        assert window[variable]["trend"] == "steady"


@pytest.mark.parametrize(
    ("temperatures", "trend"),
    [
        ([3.0, 3.1], "steady"),  # one step of the instrument
        ([3.0, 3.2], "rising"),
        ([3.2, 3.0], "falling"),
        ([3.0, 3.5, 2.9, 3.6, 3.0, 3.4], "steady"),  # all noise
        ([3.0, 3.2, 3.3, 3.5, 3.6, 3.8], "rising"),
    ],
)
def test_a_trend_exceeds_resolution_and_noise(spark: SparkSession, temperatures: list[float], trend: str) -> None:
    found = computed(spark, [at(10 * i, temperature=value) for i, value in enumerate(temperatures)])
    assert found["here", START + timedelta(minutes=1)]["temperature"]["trend"] == trend


def test_winds_that_cancel_have_no_direction(spark: SparkSession) -> None:
    rows = [at(10, wind_speed=3.0, wind_direction=30.0), at(20, wind_speed=3.0, wind_direction=210.0)]
    wind = computed(spark, rows)["here", START + timedelta(minutes=1)]["wind"]
    assert wind["direction"] is None
    assert wind["steadiness"] == pytest.approx(0, abs=1e-9)


def test_an_impossible_value_stays_out_and_is_said(spark: SparkSession) -> None:
    window = computed(spark, [at(10, temperature=5.0), at(20, temperature=99.0)])["here", START + timedelta(minutes=1)]
    assert window["count"] == 2
    assert window["temperature"]["max"] == 5.0
    assert window["quality"]["temperature"] == "failed"
