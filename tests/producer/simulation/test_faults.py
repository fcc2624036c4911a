"""Injected faults: exactly the labelled values are wrong, in about the requested share."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from producer.simulation.faults import KINDS, MAX_SHARE, SimulatedFaults
from producer.simulation.weather import HOUR, SimulatedWeather
from weatherglass.records import VARIABLES
from weatherglass.simulated_stations import simulated_stations

COUNT = 40
WEATHER = SimulatedWeather(simulated_stations(COUNT, 5), 5)
FIRST = datetime(2026, 1, 3, tzinfo=UTC).timestamp()
TIMES = FIRST + 900 * np.arange(4 * 24 * 21)


@pytest.fixture(scope="module")
def changed() -> np.ndarray:
    """(stations, times, 4): whether a value is not the true one."""
    faults = SimulatedFaults(WEATHER, MAX_SHARE, 5)
    rows = (np.full(len(TIMES), station) for station in range(COUNT))
    pairs = [(WEATHER.values(row, TIMES), faults.disturbed(row, TIMES)) for row in rows]
    return np.array([~np.isclose(true, wrong, rtol=0, atol=1e-9)[:, : len(VARIABLES)] for true, wrong in pairs])


def test_only_labelled_values_are_wrong(changed: np.ndarray) -> None:
    labelled = np.zeros_like(changed)
    for station, label in SimulatedFaults(WEATHER, MAX_SHARE, 5).labels(COUNT, TIMES[0], TIMES[-1]):
        inside = (label.start.timestamp() <= TIMES) & (label.end.timestamp() >= TIMES)
        for name in label.variables:
            labelled[station, inside, VARIABLES.index(name)] = True
    assert not (changed & ~labelled).any()
    assert changed.sum() / labelled.sum() > 0.9


def test_the_share_of_wrong_values_is_as_requested(changed: np.ndarray) -> None:
    assert changed.mean() == pytest.approx(MAX_SHARE, rel=0.35)


def test_every_kind_occurs_and_durations_are_those_of_the_kind() -> None:
    labels = [label for _, label in SimulatedFaults(WEATHER, MAX_SHARE, 5).labels(COUNT, FIRST, FIRST + 90 * 24 * HOUR)]
    assert {label.kind for label in labels} == {kind.value for kind in KINDS}


def test_without_faults_the_values_are_the_true_ones() -> None:
    none = SimulatedFaults(WEATHER, 0.0, 5)
    station = np.arange(len(TIMES)) % COUNT
    np.testing.assert_array_equal(none.disturbed(station, TIMES), WEATHER.values(station, TIMES))
    assert none.labels(COUNT, TIMES[0], TIMES[-1]) == []


def test_labels_reveal_nothing_about_the_future() -> None:
    faults = SimulatedFaults(WEATHER, MAX_SHARE, 5)
    whole = faults.labels(COUNT, FIRST, FIRST + 30 * 24 * HOUR)
    now = whole[0][1].start.timestamp() + 1
    for _, label in faults.labels(COUNT, FIRST, now):
        assert label.start.timestamp() <= now
        assert label.end.timestamp() <= now
    assert whole[0][1].start in {label.start for _, label in faults.labels(COUNT, FIRST, now)}
