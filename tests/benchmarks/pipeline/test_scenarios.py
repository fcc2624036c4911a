"""Each scenario varies one number of a load."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmarks.pipeline.scenarios import MAX_WORKERS, RATES, STATIONS, WORKERS, InvalidLoadError, Load, Scenario, loads
from weatherglass.topics import TOPICS

BASE = Load(stations=7, rate=3.0, workers=2)


@pytest.mark.parametrize(
    ("scenario", "name", "values"),
    [
        (Scenario.STATIONS, "stations", STATIONS),
        (Scenario.RATES, "rate", RATES),
        (Scenario.WORKERS, "workers", WORKERS),
    ],
)
def test_a_scenario_varies_one_number(scenario: Scenario, name: str, values: tuple[float, ...]) -> None:
    found = [asdict(load) for load in loads(scenario, BASE)]
    assert [load.pop(name) for load in found] == list(values)
    others = {key: value for key, value in asdict(BASE).items() if key != name}
    assert found == [others] * len(values)


def test_the_baseline_is_one_load() -> None:
    assert loads(Scenario.BASELINE, BASE) == [BASE]


@pytest.mark.parametrize("values", [(0, 1.0, 1), (1, 0.0, 1), (1, 1.0, 0), (1, 1.0, MAX_WORKERS + 1)])
def test_impossible_loads_are_refused(values: tuple[int, float, int]) -> None:
    with pytest.raises(InvalidLoadError):
        Load(*values)


def test_every_worker_has_a_partition() -> None:
    partitions = {topic.name: topic.partitions for topic in TOPICS}
    assert min(partitions["weather-raw"], partitions["weather-features"]) >= MAX_WORKERS
