"""Guidance in service: a registry, a store and the predictor, and the faults of guidance."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from sqlalchemy import text

from ray_jobs.inference import inference_loop
from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.hour_buffer import HourBuffer
from ray_jobs.inference.inference_loop import InferenceLoop
from ray_jobs.inference.model_manager import FAILURES, ModelManager
from ray_jobs.inference.predictor import PredictionResult, Predictor
from ray_jobs.training.guidance import fit_on
from tests.conftest import make_settings
from tests.ray_jobs.fake_broker import FakeBroker, FakeConsumer, FakeProducer
from tests.ray_jobs.small_models import register_champion, without_trees
from tests.ray_jobs.windows import leading
from tests.synthetic_history import history
from tests.weatherglass.guidance.records import HOUR, a_run, runs_of, time_of
from weatherglass.consumer import record_reader
from weatherglass.guidance.combination import CombinedForecast, GuidanceCombination
from weatherglass.guidance.known_runs import MAX_AGE_HOURS, KnownRuns
from weatherglass.guidance_record import Guidance
from weatherglass.records import VARIABLES, Hour, Prediction
from weatherglass.registry.registry import GUIDANCE, Registry
from weatherglass.settings import Settings
from weatherglass.stations import bundled_stations
from weatherglass.store import guidance
from weatherglass.topics import FEATURES, HOURS, PREDICTIONS, REJECTED, SHADOW

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)
GRID = history(count=3, days=40, seed=21)
BASE = 24 * 36 + 4
"""Column of the base hour; the newest run was received three hours before it."""
NOW = time_of(GRID, BASE) + timedelta(minutes=5)


@cache
def combination() -> GuidanceCombination:
    grid = GRID.part(0, 24 * 30)
    return fit_on(without_trees(), grid, KnownRuns().with_records(runs_of(grid, range(3)), 0), False).model


def register(settings: Settings, model: GuidanceCombination, folder: Path) -> str:
    model.save(folder)
    registry = Registry(settings)
    version = registry.register(GUIDANCE, folder, {}, {}, {})
    registry.promote(GUIDANCE, version, "the test", "test", {})
    return version


def store_runs(settings: Settings, runs: Iterable[Guidance], stored_at: datetime | None = None) -> None:
    with Registry(settings).store().begin() as connection:
        for run in runs:
            guidance.save(connection, [run], stored_at or datetime.now(tz=run.run.tzinfo))


@cache
def usual_runs() -> tuple[Guidance, ...]:
    return tuple(runs_of(GRID, range(3), range(BASE - 150, BASE)))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with a forecaster and a model of guidance in service."""
    folder = tmp_path_factory.mktemp("template")
    settings = make_settings(folder / "state")
    register_champion(settings, without_trees(), folder / "forecaster")
    register(settings, combination(), folder / "guidance")
    return settings.state_dir


@pytest.fixture
def served(template: Path, tmp_path: Path) -> Settings:
    """A copy of the state, because creating a registry takes seconds."""
    return make_settings(Path(shutil.copytree(template, tmp_path / "state")))


def predictions(manager: ModelManager, base: int = BASE) -> dict[str, Prediction]:
    """Predictions from the observations up to a base hour, by station."""
    return {name: result.prediction for name, result in predicted(manager, base).items()}


def predicted(manager: ModelManager, base: int = BASE) -> dict[str, PredictionResult]:
    station_of = {station.station_id: station for station in GRID.stations}
    hours = HourBuffer(station_of.__getitem__)
    for station, values in zip(GRID.stations, GRID.values, strict=True):
        for column in range(base - 125, base + 1):
            names = ("temperature", "humidity", "pressure", "wind_u", "wind_v", "wind_speed")
            fields = dict(zip(names, values[column].tolist(), strict=True))
            hours.put_computed(Hour(station_id=station.station_id, hour=time_of(GRID, column), count=1, **fields))
    windows = [leading(station, time_of(GRID, base) + timedelta(minutes=5)) for station in station_of]
    results = Predictor(hours, manager).predict(windows, manager.current)
    return {result.prediction.station_id: result for result in results}


def manager_of(settings: Settings) -> ModelManager:
    manager = ModelManager(Registry(settings))
    manager.refresh(CanaryBatch.of_grid(GRID.part(0, 200)))
    return manager


def error(prediction: Prediction, row: int) -> float:
    truth = GRID.values[row, BASE + 1 : BASE + 25, 0]
    return float(np.abs(np.array(prediction.predictions.temperature) - truth).mean())


def without_guidance(manager: ModelManager, base: int = BASE) -> dict[str, Prediction]:
    manager.current = replace(manager.current, guidance=None)
    return predictions(manager, base)


def test_forecasts_use_the_stored_runs_and_say_which(served: Settings) -> None:
    manager = manager_of(served)
    assert manager.statuses()["guidance"].state == "ok"
    before = predictions(manager)
    assert {one.predictions.guidance for one in before.values()} == {None}
    store_runs(served, usual_runs())
    manager.refresh(None)
    after = predictions(manager)
    assert manager.current.guidance is not None
    version = manager.current.guidance.version
    assert InferenceLoop(served, 0, manager, bundled_stations().__getitem__).health()["guidance"] == version
    own = without_guidance(manager)
    assert before == own
    newest = max(run.run for run in usual_runs())
    for row, station in enumerate(after):
        used = after[station].predictions.guidance
        assert used is not None
        assert [(run.model, run.run) for run in used.runs] == [("best_match", newest)]
        assert "temperature" in used.variables
        assert used.simulated is False
        assert used.model_version == version
        assert after[station].anomaly == own[station].anomaly
        assert error(after[station], row) < error(own[station], row)
    assert {one.predictions.model_version for one in after.values()} == {manager.current.forecaster_version}


def in_fahrenheit(values: np.ndarray) -> np.ndarray:
    return values * np.array([1.8, 1, 1, 1]) + np.array([32, 0, 0, 0])


def in_kelvin(values: np.ndarray) -> np.ndarray:
    return values + np.array([273.15, 0, 0, 0])


def in_pascal(values: np.ndarray) -> np.ndarray:
    return values * np.array([1, 1, 100, 1])


def half(values: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(values))[:, None] < 15, values, np.nan)


def jump(values: np.ndarray) -> np.ndarray:
    return values + np.array([9.0, 45, 9, 8])


def frozen(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, -30.0) * np.array([1, 0, -20, 0])


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], set[str]]] = {
    "fahrenheit": (in_fahrenheit, {"temperature"}),
    "kelvin": (in_kelvin, {"temperature"}),
    "pascal": (in_pascal, {"pressure"}),
    "half a run": (half, set(VARIABLES)),
    "a changed model": (jump, set(VARIABLES)),
    "absurd": (frozen, {"temperature", "humidity", "pressure"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_run_is_not_used_at_its_station_and_changes_no_other_station(served: Settings, fault: str) -> None:
    """The fault begins with a run received seven hours before the base hour: its errors of six hours are known."""
    change, variables = FAULTS[fault]
    received = BASE - 7
    runs = [run for run in usual_runs() if run.fetched_at < time_of(GRID, received - 1)]
    store_runs(served, runs)
    good = [a_run(GRID, row, received) for row in (0, 2)]
    store_runs(served, [*good, a_run(GRID, 1, received, change=change)])
    manager = manager_of(served)
    after = predictions(manager)
    own = without_guidance(manager)
    assert after["s0"].predictions.guidance
    assert after["s2"].predictions.guidance
    used = after["s1"].predictions.guidance
    assert variables.isdisjoint(used.variables if used else ())
    for name in variables:
        assert getattr(after["s1"].predictions, name) == getattr(own["s1"].predictions, name)
        assert getattr(after["s1"].confidence.lower, name) == getattr(own["s1"].confidence.lower, name)

    store_runs(served, [a_run(GRID, 1, received)])  # the same run, corrected
    manager.refresh(None)
    whole = predictions(manager)
    for station in ("s0", "s2"):
        assert whole[station] == after[station]
    assert whole["s1"].predictions.guidance


@pytest.mark.parametrize(("age", "is_used"), [(6, True), (MAX_AGE_HOURS - 1, True), (MAX_AGE_HOURS + 2, False)])
def test_a_late_run_is_used_until_it_is_too_old(served: Settings, age: int, is_used: bool) -> None:
    store_runs(served, [run for run in usual_runs() if run.fetched_at < time_of(GRID, BASE - age)])
    store_runs(served, [a_run(GRID, row, BASE - age) for row in range(3)])
    manager = manager_of(served)
    after = predictions(manager)
    assert {bool(one.predictions.guidance) for one in after.values()} == {is_used}
    if not is_used:
        assert after == without_guidance(manager)


def test_a_station_without_guidance_has_the_forecast_of_the_station_alone(served: Settings) -> None:
    store_runs(served, [run for run in usual_runs() if run.station_id != "s1"])
    manager = manager_of(served)
    after = predictions(manager)
    assert [bool(after[name].predictions.guidance) for name in ("s0", "s1", "s2")] == [True, False, True]
    assert after["s1"] == without_guidance(manager)["s1"]


def test_a_run_that_is_stored_late_is_used_from_then_on(served: Settings) -> None:
    """The sink is behind: what it has stored is used."""
    newest = max(run.run for run in usual_runs())
    store_runs(served, [run for run in usual_runs() if run.run < newest])
    manager = manager_of(served)
    used = [predictions(manager)["s0"].predictions.guidance]
    store_runs(served, [run for run in usual_runs() if run.run == newest])
    manager.refresh(None)
    used.append(predictions(manager)["s0"].predictions.guidance)
    runs = [one.runs[0].run for one in used if one]
    assert runs == [newest - 6 * HOUR, newest]


def test_a_window_that_is_predicted_again_with_a_newer_run_has_the_same_inputs(served: Settings) -> None:
    """Otherwise it would not be found as a duplicate."""
    manager = manager_of(served)
    before = predicted(manager)
    store_runs(served, usual_runs())
    manager.refresh(None)
    after = predicted(manager)
    assert before["s0"].prediction != after["s0"].prediction
    assert {name: one.inputs for name, one in before.items()} == {name: one.inputs for name, one in after.items()}


def test_a_run_that_is_committed_after_a_later_one_is_used(served: Settings) -> None:
    newest, now = max(run.run for run in usual_runs()), datetime.now(UTC)
    store_runs(served, [run for run in usual_runs() if run.run < newest], now)
    manager = manager_of(served)
    store_runs(served, [run for run in usual_runs() if run.run == newest], now - 30 * SECOND)
    manager.refresh(None)
    used = predictions(manager)["s0"].predictions.guidance
    assert used
    assert used.runs[0].run == newest


def test_a_stored_run_that_cannot_be_read_does_not_affect_the_others(served: Settings) -> None:
    store_runs(served, usual_runs())
    with Registry(served).store().begin() as connection:
        connection.execute(text("UPDATE guidance SET \"values\" = '{' WHERE station_id = 's1'"))
    after = predictions(manager_of(served))
    assert [bool(after[name].predictions.guidance) for name in ("s0", "s1", "s2")] == [True, False, True]


def test_the_runs_are_read_after_the_recovery(served: Settings) -> None:
    """Those of many stations take longer than an actor may be without a heartbeat."""
    store_runs(served, usual_runs())
    broker = FakeBroker({FEATURES: 1, HOURS: 1, PREDICTIONS: 1, SHADOW: 1, REJECTED: 1})
    manager = ModelManager(Registry(served))
    loop = InferenceLoop(served, 0, manager, bundled_stations().__getitem__)
    with (
        patch.object(record_reader, "KafkaConsumer", lambda **options: FakeConsumer(broker, **options)),
        patch.object(record_reader, "tolerate_undecodable", lambda *_: None),
        patch.object(inference_loop, "KafkaProducer", lambda **options: FakeProducer(broker, **options)),
    ):
        loop._connect()
        loop._recover()
    assert manager.current.guidance
    assert not manager.current.guidance.runs.timelines
    manager.refresh(None)
    assert manager.current.guidance.runs.timelines


def test_a_second_model_that_is_wrong_does_not_spoil_the_first(served: Settings) -> None:
    store_runs(served, [*usual_runs(), *runs_of(GRID, [0], range(BASE - 150, BASE), model="wrong", change=in_kelvin)])
    manager = manager_of(served)
    used = predictions(manager)["s0"].predictions.guidance
    assert used
    assert {"temperature"} <= set(used.variables)
    own = without_guidance(manager)
    assert error(predictions(manager_of(served))["s0"], 0) < error(own["s0"], 0)


def test_guidance_that_fails_is_replaced_by_the_forecast_of_the_station_alone(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_runs(served, usual_runs())
    manager = manager_of(served)
    own = without_guidance(manager_of(served))
    monkeypatch.setattr(GuidanceCombination, "combine", lambda *_: 1 / 0)
    for _ in range(FAILURES):
        assert predictions(manager) == own
    assert manager.current.guidance is None
    manager.refresh(None)
    assert len(Registry(served).quarantined(GUIDANCE)) == 1
    assert manager.statuses()["guidance"].state == "failing"
    assert manager.current.forecaster_version != "none"


@pytest.mark.parametrize("failing", [("champion",), ("challenger",), ("champion", "challenger")])
def test_a_batch_with_a_challenger_counts_once_and_fails_if_guidance_fails_for_either(
    served: Settings, monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...]
) -> None:
    manager, used, combine = manager_of(served), [], GuidanceCombination.combine

    def fail_for_some(*arguments: Any) -> CombinedForecast:
        used.append(("champion", "challenger")[len(used) % 2])
        if used[-1] in failing:
            raise ArithmeticError
        return combine(*arguments)

    monkeypatch.setattr(GuidanceCombination, "combine", fail_for_some)
    current = manager.current
    for _ in range(FAILURES):
        assert manager.current.guidance
        manager.current = replace(manager.current, challenger=current.forecaster, challenger_version="9")
        predictions(manager)
    assert manager.current.guidance is None
    assert used == ["champion", "challenger"] * FAILURES


def test_a_model_with_impossible_forecasts_is_rejected_and_the_one_before_serves(
    served: Settings, tmp_path: Path
) -> None:
    manager = manager_of(served)
    good = manager.current.guidance
    assert good is not None
    wrong = replace(combination(), coefficients=combination().coefficients + 300.0)
    bad = register(served, wrong, tmp_path / "wrong")
    manager.refresh(CanaryBatch.of_grid(GRID.part(0, 200)))
    assert manager.current.guidance is not None
    assert manager.current.guidance.version == good.version
    assert set(Registry(served).quarantined(GUIDANCE)) == {bad}


def test_simulated_guidance_is_marked_and_not_used_by_a_model_of_real_guidance(
    served: Settings, tmp_path: Path
) -> None:
    store_runs(served, [run.model_copy(update={"simulated": True}) for run in usual_runs()])
    manager = manager_of(served)
    assert {one.predictions.guidance for one in predictions(manager).values()} == {None}
    register(served, replace(combination(), simulated=True), tmp_path / "simulated")
    manager.refresh(CanaryBatch.of_grid(GRID.part(0, 200)))
    assert all(one.predictions.guidance and one.predictions.guidance.simulated for one in predictions(manager).values())
