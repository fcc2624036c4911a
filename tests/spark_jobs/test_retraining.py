"""Kaggle's history, which ends in 2017, and four weeks of live hours in 2026: the retraining uses the new hours."""

from __future__ import annotations

import itertools
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from ray_jobs import train
from ray_jobs.training import steps
from ray_jobs.training.folder import TrainingFolder
from ray_jobs.training.plan import EarlierTrainings, TrainingPlan, read_earlier_trainings
from spark_jobs.prepare_history import prepare
from tests.conftest import make_settings
from tests.ray_jobs.tiny_training import TINY
from tests.synthetic_history import history
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.splits import base_hours, split
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import Manifest, read_history
from weatherglass.history.sources.kaggle import FILES
from weatherglass.meteorology import wind_direction
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.settings import Settings, Source
from weatherglass.store import observations
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

LIVE = datetime(2026, 10, 5, tzinfo=UTC)
WEEKS = timedelta(weeks=4)
CITIES = {"New York": (40.71, -74.01), "Boston": (42.36, -71.06), "Toronto": (43.70, -79.42)}
KAGGLE_IDS = ("new-york", "boston", "toronto")
NEW_ID = "phoenix"
WARMER = 9.0
"""Every live temperature is higher than that of the history by this, °C."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


def write_kaggle_zip(path: Path, grid: HourGrid) -> Path:
    """A grid of three stations as a zip in Kaggle's layout."""
    t, h, p, u, v, speed = np.moveaxis(grid.values.astype(float), -1, 0)
    columns = {
        "temperature": t + 273.15,
        "humidity": h,
        "pressure": p,
        "wind_speed": speed,
        "wind_direction": wind_direction(u, v),
    }
    times = [str(hour).replace("T", " ") + ":00:00" for hour in grid.hours.astype("datetime64[h]")]
    with zipfile.ZipFile(path, "w") as archive:
        places = [f"{city},Somewhere,{latitude},{longitude}" for city, (latitude, longitude) in CITIES.items()]
        archive.writestr("city_attributes.csv", "\n".join(["City,Country,Latitude,Longitude", *places, ""]))
        for name, values in columns.items():
            rows = [",".join([time, *(f"{x:.2f}" for x in row)]) for time, row in zip(times, values.T, strict=True)]
            archive.writestr(FILES[name], "\n".join([",".join(["datetime", *CITIES]), *rows, ""]))
    return path


def save_live(settings: Settings, station_ids: tuple[str, ...], days: int = 28) -> None:
    """Hourly observations of so many days, the last one at midnight."""
    grid = history(count=len(station_ids), days=35, seed=3, start=f"{LIVE:%Y-%m-%dT%H}")
    readings = [
        Observation(
            station_id=station_id,
            timestamp=LIVE + timedelta(hours=hour),
            temperature=float(values[0]) + WARMER,
            humidity=float(values[1]),
            pressure=float(values[2]),
            wind_speed=float(values[5]),
            wind_direction=float(wind_direction(values[3], values[4])),
        )
        for station_id, of_station in zip(station_ids, grid.values, strict=True)
        for hour, values in enumerate(of_station[: days * 24 + 1])
    ]
    migrate(settings.store_url)
    with open_store(settings.store_url).begin() as connection:
        observations.save(connection, readings, LIVE, Origin.OPEN_METEO)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training without Ray, which only distributes the steps, and of a tiny size."""

    def run_steps(settings: Settings, folder: TrainingFolder, plan: TrainingPlan, report: train.Report) -> None:
        for step in itertools.chain.from_iterable(plan.stages):
            report(steps.run(settings, folder.path, step, 1))

    def earlier_trainings(settings: Settings, size: str, manifest: Manifest, report: train.Report) -> EarlierTrainings:
        return read_earlier_trainings(settings, size, manifest)

    monkeypatch.setattr(train, "run_steps", run_steps)
    monkeypatch.setattr(train, "_earlier_trainings", earlier_trainings)
    monkeypatch.setitem(train.SIZES, "first", TINY)
    for size in train.TEST_CASES:
        monkeypatch.setitem(train.TEST_CASES, size, 300)


def test_a_retraining_uses_four_weeks_of_live_hours_nine_years_after_the_history(
    spark: SparkSession, in_process: None, settings: Settings, tmp_path: Path
) -> None:
    file = write_kaggle_zip(tmp_path / "kaggle.zip", history(count=3, days=100, start="2017-08-01T00"))
    live = make_settings(settings.state_dir, kaggle_zip=file).model_copy(update={"source": Source.OPEN_METEO})
    prepare(spark, live, "kaggle", print)
    first = train.run(live, "first", "a test", LIVE, print)[FORECASTER]

    save_live(live, (*KAGGLE_IDS, NEW_ID))
    manifest = prepare(spark, live, "kaggle", print)
    hours = WEEKS // timedelta(hours=1)
    lines: list[str] = []
    second = train.run(live, "first", "a test", LIVE + WEEKS, lines.append)[FORECASTER]
    new = f"new since version {first}"
    assert any(new in line and f"{4 * hours:,}" in line and NEW_ID in line for line in lines)
    tags = {model.version: model.tags for model in registered_models(live) if model.kind == FORECASTER}
    assert tags[second]["data_new"].startswith(new)
    assert tags[second]["data_last_hour"] == manifest.last_hour == "2026-11-01T23:00:00Z"
    version = Registry(live).version(FORECASTER, second)
    assert version is not None
    assert new in (version.folder / "card.md").read_text()

    # The new hours take part in the training, the calibration and the test, without the memory of nine years.
    grid = read_history(live.history_dir)
    assert grid.values.shape[1] < 150 * 24
    of_2026 = grid.hours >= np.datetime64("2026-01-01T00", "h")
    assert of_2026.sum() >= hours
    masks = split(grid)
    for mask in (masks.train, masks.calibrate):
        assert of_2026[base_hours(mask)].any()
    assert (masks.test & of_2026).any()

    # The model serves the new station, and knows the new level of the temperature at the known ones.
    models = {name: BoostedForecaster.load(Registry(live).version(FORECASTER, name).folder) for name in (first, second)}  # type: ignore[union-attr]
    november = np.array([np.datetime64("2026-11-02T00", "h")])
    before, after = (model.climatology for model in models.values())
    assert before.rows([NEW_ID])[0] == -1
    assert np.isfinite(after.at(after.rows([NEW_ID]), november)[..., 0]).all()
    change = after.at(after.rows(KAGGLE_IDS), november)[..., 0] - before.at(before.rows(KAGGLE_IDS), november)[..., 0]
    assert (change > WARMER / 4).all()

    # A day later, the daily refit keeps the trees, and everything else knows the day.
    save_live(live, (*KAGGLE_IDS, NEW_ID), days=29)
    daily = prepare(spark, live, "kaggle", print)
    registry = Registry(live)
    registry.withdraw(FORECASTER, "a test", "a test", {})
    registry.promote(FORECASTER, second, "a test", "a test", {})
    detectors = registry.champion(ANOMALY_DETECTOR)
    third = train.run(live, "refit", "a test", LIVE + WEEKS + timedelta(days=1), lines.append)
    champions = [registry.champion(kind) for kind in (FORECASTER, ANOMALY_DETECTOR)]
    assert [champion.version for champion in champions if champion] == [third[FORECASTER], third[ANOMALY_DETECTOR]]
    forecaster, detector = champions
    assert forecaster is not None
    assert detector is not None
    assert detectors is not None
    assert forecaster.tags["trees_last_hour"] == manifest.last_hour
    assert forecaster.tags["data_last_hour"] == daily.last_hour == "2026-11-02T23:00:00Z"
    refitted, full = BoostedForecaster.load(forecaster.folder), models[second]
    for kept, before_refit in zip(refitted.tree_models, full.tree_models, strict=True):
        assert kept.residual.model_to_string() == before_refit.residual.model_to_string()
    assert not np.array_equal(refitted.climatology.coefficients, full.climatology.coefficients)
    assert any(
        not np.array_equal(kept.quantiles, before_refit.quantiles)
        for kept, before_refit in zip(refitted.tree_models, full.tree_models, strict=True)
    )
    limits = [AnomalyDetector.load(folder).limits() for folder in (detectors.folder, detector.folder)]
    assert limits[0] != limits[1]
    # While a challenger is compared with the champion in service, a refit would restart the comparison.
    registry.challenge(FORECASTER, first, "a test", "a test", {})
    save_live(live, (*KAGGLE_IDS, NEW_ID), days=30)
    prepare(spark, live, "kaggle", print)
    fourth = train.run(live, "refit", "a test", LIVE + WEEKS + timedelta(days=2), lines.append)
    assert set(fourth) == {ANOMALY_DETECTOR}
    assert registry.champion(FORECASTER) == forecaster


def test_the_base_models_are_fitted_on_real_history_and_live_hours(
    spark: SparkSession, settings: Settings, test_data: Path
) -> None:
    """Kaggle's real history: the preparation, the axis and the split; a training of it takes too long for a test."""
    file = test_data / "historical-hourly-weather-data.zip"
    live = make_settings(settings.state_dir, kaggle_zip=file)
    before = prepare(spark, live, "kaggle", print)
    alone = read_history(live.history_dir)
    save_live(live, ("new-york", "boston"))
    after = prepare(spark, live, "kaggle", print)
    assert after.rows - before.rows == 2 * (WEEKS // timedelta(hours=1))
    grid = read_history(live.history_dir)
    assert grid.values.shape[1] - alone.values.shape[1] < (WEEKS + timedelta(days=9)) // timedelta(hours=1) + 24
    known = alone.values.shape[1]
    np.testing.assert_array_equal(grid.values[:, :known], alone.values)
    for name, mask in vars(split(alone)).items():
        np.testing.assert_array_equal(vars(split(grid))[name][:known], mask, err_msg=name)
    assert steps.drop_implausible(grid).gaps == grid.gaps
