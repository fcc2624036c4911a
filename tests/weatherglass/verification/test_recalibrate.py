"""Recalibration with a real registry, store and model, as the DAG and the inference actors use it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.model_manager import ModelManager
from tests.ray_jobs.small_models import GRID, register_champion, without_trees
from tests.weatherglass.verification.conftest import HOUR, MONDAY, observed
from weatherglass.forecast.error_window import MIN_DAYS, WINDOW_DAYS
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.interval_factors import normalized_errors
from weatherglass.forecast.recalibration import RecalibratedForecaster
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES, iso
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store import observations, recalibrations
from weatherglass.store.migrate import migrate
from weatherglass.verification import observed_hours
from weatherglass.verification.hindcast import forecasts
from weatherglass.verification.recalibrate import first_hour
from weatherglass.verification.score_rows import errors
from weatherglass.verification.verification_run import VerificationRun

pytestmark = pytest.mark.integration

STATIONS = ("s0", "s1")
PAST_DAYS, FUTURE_DAYS = 60, 60
"""Days with observations before and after the recalibration."""


def coverage(model: object, grid: HourGrid) -> np.ndarray:
    """(variables, levels) share of observations inside the intervals over the later days."""
    issued = forecasts(model, "", grid)  # type: ignore[arg-type]
    normalized = normalized_errors(issued.values, issued.lower, issued.upper, issued.values - errors(issued, grid))
    late = issued.base >= np.datetime64(MONDAY.replace(tzinfo=None), "h") + 24 * PAST_DAYS
    return np.asarray(
        [[np.nanmean(normalized[late, :, v, k] <= 1) for k in range(len(LEVELS))] for v in range(len(VARIABLES))]
    )


def bias(model: object, grid: HourGrid) -> np.ndarray:
    """(stations of the grid, variables) median error over the later days."""
    issued = forecasts(model, "", grid)  # type: ignore[arg-type]
    late = issued.base >= np.datetime64(MONDAY.replace(tzinfo=None), "h") + 24 * PAST_DAYS
    of_station = [late & (np.array(issued.station_ids) == station.station_id) for station in grid.stations]
    wrong = errors(issued, grid)
    return np.asarray([np.nanmedian(wrong[cases], axis=(0, 1)) for cases in of_station])


def test_recalibrated_intervals_have_their_nominal_coverage(settings: Settings, tmp_path: Path) -> None:
    model = without_trees()
    version = register_champion(settings, model, tmp_path / "first")
    store, end = Registry(settings).store(), MONDAY + timedelta(days=PAST_DAYS)
    readings = [o for name in STATIONS for o in observed((PAST_DAYS + FUTURE_DAYS) * 24, name, random_walk=False)]
    with store.begin() as connection:
        observations.save(connection, [o for o in readings if o.timestamp < end], end)

    today = [end.date()]
    manager = ModelManager(Registry(settings), today=lambda: today[0])
    manager.refresh(CanaryBatch.of_grid(GRID))
    lines: list[str] = []
    VerificationRun(settings, lines.append).recalibrate(end)
    assert len([line for line in lines if f"version {version}" in line]) == 1
    with store.connect() as connection:
        assert recalibrations.load(connection, version).keys() == set(STATIONS)
    manager.refresh(CanaryBatch.of_grid(GRID))

    with store.begin() as connection:
        observations.save(connection, readings, end)
        hours = np.datetime64(MONDAY.replace(tzinfo=None), "h") + np.array([0, 24 * (PAST_DAYS + FUTURE_DAYS) - 1])
        grid = observed_hours.load_hours(connection, *hours, [s for s in GRID.stations if s.station_id in STATIONS])
    before, after = (coverage(one, grid) for one in (model, manager.current.forecaster))
    assert np.abs(before - LEVELS).max() > 0.08, "otherwise the test shows nothing"
    # The factors allow for a bias from half of the errors; here the bias is most of the error, so that this shows.
    assert np.abs(after - LEVELS).max() < 0.07

    trained, served = (bias(one, grid) for one in (model, manager.current.forecaster))
    # Half of the bias is removed, but the trained climatology goes on to another season than that of the recalibration.
    largest = np.abs(trained) > 0.5 * np.abs(trained).max(axis=0)
    assert (np.abs(served) / np.abs(trained))[largest].mean() < 0.8
    other = ModelManager(Registry(settings), today=lambda: today[0])  # an actor that starts later
    other.refresh(CanaryBatch.of_grid(GRID))
    first, second = (one.current.forecaster.forecast(grid, [0, 1], [300, 400]) for one in (manager, other))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.upper[0.9], second.upper[0.9])

    for days, is_applied in ((3, True), (4, False)):
        today[0] = end.date() + timedelta(days=days)
        late = ModelManager(Registry(settings), today=lambda: today[0])  # an actor that starts on that day
        for one in (manager, late):
            one.refresh(CanaryBatch.of_grid(GRID))
            assert isinstance(one.current.forecaster, RecalibratedForecaster) == is_applied

    reported = len(lines)
    VerificationRun(settings, lines.append).recalibrate(end + 2 * HOUR)
    assert len(lines) == reported, "once a day"
    VerificationRun(settings, lines.append).recalibrate(end + timedelta(days=1))
    with store.connect() as connection:
        assert recalibrations.last_updated(connection, version) == (end + timedelta(days=1)).date()


def test_a_version_trained_on_all_observations_keeps_its_intervals(settings: Settings, tmp_path: Path) -> None:
    migrate(settings.store_url)
    without_trees().save(tmp_path / "model")
    end = MONDAY + timedelta(days=10)
    registry = Registry(settings)
    version = registry.register(FORECASTER, tmp_path / "model", {}, {}, {"data_last_hour": iso(end - HOUR)})
    registry.promote(FORECASTER, version, "the test", "first version", {})
    with registry.store().begin() as connection:
        observations.save(connection, observed(10 * 24, "s0", random_walk=False), end)
    VerificationRun(settings, print).recalibrate(end)
    with registry.store().connect() as connection:
        assert recalibrations.load(connection, version) == {}

    # A refit has the newest hours as well, but its trees are older.
    tags = {"data_last_hour": iso(end - HOUR), "trees_last_hour": iso(MONDAY)}
    refit = registry.register(FORECASTER, tmp_path / "model", {}, {}, tags)
    registry.promote(FORECASTER, refit, "the test", "refit", {})
    VerificationRun(settings, print).recalibrate(end)
    with registry.store().connect() as connection:
        assert set(recalibrations.load(connection, refit)) == {"s0"}


def test_without_a_temperature_there_is_no_recalibration(settings: Settings, tmp_path: Path) -> None:
    migrate(settings.store_url)
    without_trees().save(tmp_path / "model")
    registry = Registry(settings)
    version = registry.register(FORECASTER, tmp_path / "model", {}, {}, {"data_last_hour": iso(MONDAY)})
    registry.promote(FORECASTER, version, "the test", "first version", {})
    end = MONDAY + timedelta(days=10)
    rows = [row.model_copy(update={"temperature": None}) for row in observed(10 * 24, "s0", random_walk=False)]
    with registry.store().begin() as connection:
        observations.save(connection, rows, end)
    VerificationRun(settings, print).recalibrate(end)
    with registry.store().connect() as connection:
        assert recalibrations.load(connection, version) == {}


def test_the_first_hour_follows_the_training_data_and_precedes_the_window() -> None:
    """72 h of past before the first base hour; the window is 60 days and the longest lead."""
    last = np.datetime64("2026-03-01T12", "h")
    assert first_hour(last, None) == last - (24 * WINDOW_DAYS + 24) - 72
    assert first_hour(last, last - 24 * 100) == first_hour(last, None)
    assert first_hour(last, last - 240) == last - 239 - 72
    assert first_hour(last, last - 24 * MIN_DAYS - 1) == last - 24 * MIN_DAYS - 72
    assert first_hour(last, last - 24 * MIN_DAYS) is None
