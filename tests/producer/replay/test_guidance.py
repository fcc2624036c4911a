"""Simulated guidance: what it promises about availability, errors and their structure."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from producer.replay import guidance
from producer.replay.data import VARIABLES, ReplayData
from producer.replay.guidance import DELAY, LATE_DELAY, RUN_INTERVAL, SimulatedGuidance, floor_run
from weatherglass.history.sources.nycflights13 import stations

START = datetime(2013, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEMPERATURE, HUMIDITY, WIND = (VARIABLES.index(name) for name in ("temperature", "humidity", "wind_speed"))
LEADS = np.array([0, 3, 6, 24, 27, 48])


@cache
def simulated() -> SimulatedGuidance:
    """Guidance for a year of constant weather, so that the values are the errors."""
    weather = np.array([10.0, 50.0, 1000.0, 30.0, 180.0], np.float32)
    return SimulatedGuidance(ReplayData("constant", stations(), START, np.broadcast_to(weather, (3, 365 * 24, 5))))


@cache
def errors(station: int = 0, model: str = "best_match", first_day: int = 65) -> npt.NDArray[np.float64]:
    """Temperature errors (runs, leads) of 160 days from 6 March on, in which the model does not change."""
    runs = [START + timedelta(days=first_day) + number * RUN_INTERVAL for number in range(4 * 160)]
    pairs = [(run, run + int(lead) * HOUR) for run in runs for lead in LEADS]
    values = simulated().values(station, model, [run for run, _ in pairs], [time for _, time in pairs])
    return np.asarray(values[:, TEMPERATURE].reshape(len(runs), len(LEADS)) - 10.0)


def correlation(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_it_imports_neither_the_forecaster_nor_the_correction_of_guidance() -> None:
    tree = ast.parse(Path(guidance.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    allowed = {"producer.replay.data", "producer.simulation.hashed", "weatherglass.stations"}
    assert {name for name in imported if name.split(".")[0] in ("weatherglass", "producer", "ray_jobs")} <= allowed


def test_the_spread_grows_with_the_lead() -> None:
    spread = errors().std(axis=0)
    assert np.all(np.diff(spread[[0, 2, 3, 5]]) > 0)
    assert 1.0 < np.mean([np.abs(errors(station)[:, 3]).mean() for station in range(3)]) < 2.1


def test_errors_are_correlated_in_time_and_longer_at_longer_leads() -> None:
    noise = errors() - errors().mean(axis=0)
    short, long = correlation(noise[:, 0], noise[:, 1]), correlation(noise[:, 3], noise[:, 4])
    assert 0.4 < short < long < 0.99


def test_errors_of_near_stations_and_of_models_are_correlated_and_not_equal() -> None:
    at_24 = errors()[:, 3] - errors()[:, 3].mean()
    for other in (errors(station=2)[:, 3], errors(model="gfs_seamless")[:, 3]):
        assert 0.15 < correlation(at_24, other - other.mean()) < 0.9


def test_each_station_has_a_bias_with_a_daily_cycle_that_changes_with_the_model() -> None:
    runs = [START + timedelta(days=day) for day in range(20, 340)]
    times = [run + hour * HOUR for run in runs for hour in range(24)]
    values = simulated().values(0, "best_match", np.repeat(np.array(runs, object), 24).tolist(), times)
    by_hour = values[:, TEMPERATURE].reshape(-1, 24) - 10.0
    before, middle, after = by_hour[:35], by_hour[45:220], by_hour[230:]
    biases = [period.mean(axis=0) for period in (before, middle, after)]
    assert all(np.ptp(bias) > 0.3 for bias in biases)
    assert np.abs(biases[1] - biases[0]).max() > 0.5
    assert np.abs(biases[2] - biases[1]).max() > 0.5


def test_some_runs_are_missing_and_some_are_late() -> None:
    runs = [START + number * RUN_INTERVAL for number in range(2_000)]
    missing = [simulated().is_missing("best_match", run) for run in runs]
    late = [simulated().delay("best_match", run) == LATE_DELAY for run in runs]
    assert 0.03 < np.mean(missing) < 0.07
    assert 0.07 < np.mean(late) < 0.13


def test_no_run_is_used_before_it_is_available() -> None:
    for number in range(1_000):
        present = START + timedelta(days=3, minutes=97 * number)
        run = simulated().newest_run("best_match", present)
        assert run is not None
        assert run == floor_run(run)
        assert run + simulated().delay("best_match", run) <= present
        assert not simulated().is_missing("best_match", run)
        newer = run + RUN_INTERVAL
        while newer + DELAY <= present:
            late = newer + simulated().delay("best_match", newer) > present
            assert late or simulated().is_missing("best_match", newer)
            newer += RUN_INTERVAL


def test_values_are_possible_and_the_same_in_every_request() -> None:
    run = START + timedelta(days=100)
    times = [run + number * HOUR for number in range(48)]
    values = simulated().values(1, "best_match", [run] * 48, times)
    alone = SimulatedGuidance(simulated()._data).values(1, "best_match", [run], times[20:21])
    assert np.array_equal(values[20], alone[0])
    assert np.all((values[:, HUMIDITY] >= 0) & (values[:, HUMIDITY] <= 100))
    assert np.all(values[:, WIND] >= 0)
    assert np.all((values[:, 4] >= 0) & (values[:, 4] <= 360))


@pytest.mark.parametrize("run", [None, START])
def test_there_are_no_values_without_a_run_and_beyond_its_horizon(run: datetime | None) -> None:
    times = [START + timedelta(days=8, hours=1)]
    assert np.isnan(simulated().values(0, "best_match", [run], times)).all()
