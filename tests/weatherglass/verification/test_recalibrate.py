"""Intervals in service follow what came true: real registry, store and model, as the DAG and the actors use them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.model_manager import ModelManager
from tests.ray_jobs.small_models import GRID, crown, without_trees
from tests.weatherglass.verification.conftest import HOUR, MONDAY, observed
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.recalibration import WINDOW_DAYS, normalized_errors
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES, iso
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store import interval_scaling, observations
from weatherglass.store.migrate import migrate
from weatherglass.verification import observed_hours
from weatherglass.verification.hindcast import forecasts
from weatherglass.verification.hourly_run import HourlyVerification
from weatherglass.verification.recalibrate import first_hour
from weatherglass.verification.scores import errors

pytestmark = pytest.mark.integration

STATIONS = ("s0", "s1")
TOLD, LATER = 60, 60
"""Days that have come true, and those that come."""


def coverage(model: object, grid: HourGrid) -> np.ndarray:
    """(variables, levels) of forecasts over the later days."""
    made = forecasts(model, "", grid)  # type: ignore[arg-type]
    scored = normalized_errors(made.values, made.lower, made.upper, made.values - errors(made, grid))
    late = made.base >= np.datetime64(MONDAY.replace(tzinfo=None), "h") + 24 * TOLD
    return np.asarray(
        [[np.nanmean(scored[late, :, v, k] <= 1) for k in range(len(LEVELS))] for v in range(len(VARIABLES))]
    )


def test_what_serves_has_intervals_that_hold_what_came_true_lately(settings: Settings, tmp_path: Path) -> None:
    model = without_trees()
    version = crown(settings, model, tmp_path / "first")
    store, end = Registry(settings).store(), MONDAY + timedelta(days=TOLD)
    readings = [o for name in STATIONS for o in observed((TOLD + LATER) * 24, name, wandering=False)]
    with store.begin() as connection:
        observations.save(connection, [o for o in readings if o.timestamp < end], end)

    champions = ModelManager(Registry(settings))
    champions.refresh(CanaryBatch.of_grid(GRID))
    lines: list[str] = []
    HourlyVerification(settings, lines.append).recalibrate(end)
    assert any(f"version {version} held to what came true at 2 stations" in line for line in lines)
    champions.refresh(CanaryBatch.of_grid(GRID))

    with store.begin() as connection:
        observations.save(connection, readings, end)
        hours = np.datetime64(MONDAY.replace(tzinfo=None), "h") + np.array([0, 24 * (TOLD + LATER) - 1])
        grid = observed_hours.hourly(connection, *hours, [s for s in GRID.stations if s.station_id in STATIONS])
    before, after = (coverage(one, grid) for one in (model, champions.current.forecaster))
    assert np.abs(before - LEVELS).max() > 0.08, "else the test would show nothing"
    assert np.abs(after - LEVELS).max() < 0.04

    said = len(lines)
    HourlyVerification(settings, lines.append).recalibrate(end + 2 * HOUR)
    assert len(lines) == said, "once a day"
    HourlyVerification(settings, lines.append).recalibrate(end + timedelta(days=1))
    with store.connect() as connection:
        assert interval_scaling.last_updated(connection, version) == (end + timedelta(days=1)).date()


def test_a_version_that_has_just_learnt_all_of_it_keeps_its_intervals(settings: Settings, tmp_path: Path) -> None:
    migrate(settings.store_url)
    without_trees().save(tmp_path / "model")
    end = MONDAY + timedelta(days=10)
    registry = Registry(settings)
    version = registry.register(FORECASTER, tmp_path / "model", {}, {}, {"data_last_hour": iso(end - HOUR)})
    registry.promote(FORECASTER, version, "the test", "to see it serve", {})
    with registry.store().begin() as connection:
        observations.save(connection, observed(10 * 24, "s0", wandering=False), end)
    HourlyVerification(settings, print).recalibrate(end)
    with registry.store().connect() as connection:
        assert interval_scaling.load(connection, version) == {}


def test_hours_that_were_learnt_from_are_not_asked_for() -> None:
    last = np.datetime64("2026-03-01T12", "h")
    assert first_hour(last, last - 24) is None
    some, all_ = first_hour(last, last - 24 * 10), first_hour(last, None)
    assert some is not None
    assert all_ is not None
    assert all_ < some < last - 24 * 10
    assert all_ < last - 24 * WINDOW_DAYS
