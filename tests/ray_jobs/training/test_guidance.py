"""Training of the combination with guidance, from a real store and registry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete

from ray_jobs.training import guidance as training
from ray_jobs.training import model_card
from ray_jobs.training.context import model_folders
from tests.ray_jobs.small_models import without_trees
from tests.synthetic_history import history
from tests.weatherglass.guidance.records import runs_of, time_of
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance_record import Guidance
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import write_stations
from weatherglass.meteorology import wind_direction
from weatherglass.record_headers import Origin
from weatherglass.records import Observation, iso
from weatherglass.registry.registry import FORECASTER, GUIDANCE, Registry
from weatherglass.settings import Settings
from weatherglass.store import guidance, observations, quarantine, schema

pytestmark = pytest.mark.integration

GRID = history(count=3, days=30, seed=21)
NOW = time_of(GRID, GRID.values.shape[1] - 2)


def observations_of(grid: HourGrid) -> list[Observation]:
    return [
        Observation(
            station_id=station.station_id,
            timestamp=time_of(grid, column),
            temperature=float(values[0]),
            humidity=float(values[1]),
            pressure=float(values[2]),
            wind_speed=float(values[5]),
            wind_direction=float(wind_direction(values[3], values[4])),
        )
        for station, of_station in zip(grid.stations, grid.values, strict=True)
        for column, values in enumerate(of_station)
    ]


def stored(settings: Settings, runs: Sequence[Guidance], trained_until: int = 0, source: Origin | None = None) -> None:
    """A forecaster that was trained up to four days before a column, observations, and runs stored when received."""
    registry, folder = Registry(settings), settings.state_dir / "forecaster"
    without_trees().save(folder)
    registry.register(
        FORECASTER, folder, {}, {}, {"data_last_hour": iso(time_of(GRID, trained_until) - timedelta(days=4))}
    )
    settings.history_dir.mkdir(parents=True)
    write_stations(settings.history_dir, GRID.stations)
    with registry.store().begin() as connection:
        observations.save(connection, observations_of(GRID), NOW, source)
        for run in runs:
            guidance.save(connection, [run], run.fetched_at)


def a_task(settings: Settings, folder: Path) -> Any:
    manifest = SimpleNamespace(source="test", rows=1, stations=3, first_hour="", last_hour="", fingerprint="")
    plan = SimpleNamespace(
        started_at=NOW,
        manifest=manifest,
        new_data="",
        kept=None,
        size="first",
        seed=1,
        code="0",
        requested_by="a test",
        last_start=None,
    )
    return SimpleNamespace(settings=settings, folder=SimpleNamespace(path=folder), plan=plan, threads=1)


def test_a_model_is_trained_from_what_is_stored(settings: Settings, tmp_path: Path) -> None:
    stored(settings, runs_of(GRID, range(3), simulated=True))
    task = a_task(settings, tmp_path / "training")
    result, _ = training.train(task)
    assert result.fitted is not None
    folder = model_folders(task.folder)[GUIDANCE]
    loaded = GuidanceCombination.load(folder)
    np.testing.assert_array_equal(loaded.coefficients, result.fitted.model.coefficients)
    assert loaded.simulated is True
    assert (loaded.coefficients != 0).any()
    metrics = result.fitted.metrics()
    assert metrics["mae_served.temperature"] < min(
        metrics["mae_guidance.temperature"], metrics["mae_station.temperature"]
    )
    assert (folder / model_card.FILE).read_text()


def test_real_and_simulated_guidance_are_not_mixed(settings: Settings, tmp_path: Path) -> None:
    """The newest run decides which kind is trained on; here there are too few of it."""
    runs = [
        run.model_copy(update={"simulated": run.fetched_at < NOW - timedelta(days=2)})
        for run in runs_of(GRID, range(3))
    ]
    stored(settings, runs)
    result, _ = training.train(a_task(settings, tmp_path / "training"))
    assert result.fitted is None


def test_without_a_forecaster_or_with_too_little_guidance_nothing_is_trained_or_written(
    settings: Settings, tmp_path: Path
) -> None:
    task = a_task(settings, tmp_path / "training")
    last_days = runs_of(GRID, range(3), range(24 * 20, 24 * 30))
    only_by_model = runs_of(GRID, range(3), observed_only_by_model=True)
    for runs in ([], only_by_model, last_days, runs_of(GRID, range(3))):
        with Registry(settings).store().begin() as connection:
            for run in runs:
                guidance.save(connection, [run], run.fetched_at)
        assert training.train(task)[0].fitted is None  # there is no forecaster
    with Registry(settings).store().begin() as connection:
        connection.execute(delete(schema.guidance))
    stored(settings, last_days, trained_until=0)
    assert training.train(task)[0].fitted is None
    assert not model_folders(task.folder)[GUIDANCE].exists()


def test_hours_that_the_forecaster_was_trained_on_are_not_used(settings: Settings, tmp_path: Path) -> None:
    stored(settings, runs_of(GRID, range(3)), trained_until=24 * 22)
    result, _ = training.train(a_task(settings, tmp_path / "training"))
    assert result.fitted is None


def test_the_damaged_guidance_of_a_station_is_left_out_and_the_others_are_used(
    settings: Settings, tmp_path: Path
) -> None:
    def in_fahrenheit(values: np.ndarray) -> np.ndarray:
        return values * np.array([1.8, 1, 1, 1]) + np.array([32, 0, 0, 0])

    stored(settings, [*runs_of(GRID, [0, 1]), *runs_of(GRID, [2], change=in_fahrenheit)])
    result, _ = training.train(a_task(settings, tmp_path / "training"))
    assert result.fitted is not None
    metrics = result.fitted.metrics()
    assert metrics["mae_served.temperature"] < metrics["mae_station.temperature"]


def test_observations_that_are_output_of_weather_models_are_not_truth(settings: Settings, tmp_path: Path) -> None:
    """The stations have an airport, and their readings come from Open-Meteo while it is silent."""
    stored(settings, runs_of(GRID, range(3)), source=Origin.OPEN_METEO)
    task = a_task(settings, tmp_path / "training")
    assert training.train(task)[0].fitted is None
    with Registry(settings).store().begin() as connection:
        observations.save(connection, observations_of(GRID), NOW, Origin.METAR)
    assert training.train(task)[0].fitted is not None


@pytest.mark.parametrize("fault", ["fit", "save"])
def test_a_failure_affects_only_the_model_of_guidance(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("injected")

    stored(settings, runs_of(GRID, range(3)))
    task = a_task(settings, tmp_path / "training")
    with monkeypatch.context() as patch:
        if fault == "fit":
            patch.setattr(training, "fit_on", fail)
        else:
            patch.setattr(training.artifact, "add_text", fail)
        result, lines = training.train(task)
    assert result.fitted is None
    assert "ZeroDivisionError" in result.reason
    assert result.reason in lines
    assert not model_folders(task.folder)[GUIDANCE].exists()


def test_a_run_from_the_future_is_not_used(settings: Settings, tmp_path: Path) -> None:
    (run,) = runs_of(GRID, [0], [601])
    future = run.model_copy(update={"run": run.run.replace(year=9999), "fetched_at": run.run.replace(year=9999)})
    stored(settings, runs_of(GRID, range(3)))
    with Registry(settings).store().begin() as connection:
        guidance.save(connection, [future], NOW)
    assert training.train(a_task(settings, tmp_path / "training"))[0].fitted is not None


def test_the_forecaster_was_fitted_on_no_hour_with_guidance_and_is_not_in_quarantine(
    settings: Settings, tmp_path: Path
) -> None:
    """A refit keeps old trees, but its climatology and its intervals are fitted on new hours."""
    registry, known_from = Registry(settings), GRID.hours[100]
    without_trees().save(tmp_path / "model")

    def registered(column: int, **tags: str) -> str:
        hour = {"data_last_hour": iso(time_of(GRID, column))}
        return registry.register(FORECASTER, tmp_path / "model", {}, {}, hour | tags)

    def chosen() -> np.datetime64:
        return training._forecaster(settings, registry, known_from)[1]

    registered(20)
    newer = registered(50)
    registered(300, trees_last_hour=iso(time_of(GRID, 40)))
    registered(500)
    assert chosen() == GRID.hours[50]
    with registry.store().begin() as connection:
        quarantine.add(connection, quarantine.QuarantinedVersion(FORECASTER, newer, NOW, "test", "test"))
    assert chosen() == GRID.hours[20]
