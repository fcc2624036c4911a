"""Time of one process for the forecasts of 100 stations: 24 leads, 4 variables, intervals, including the features.

    python -m benchmarks.forecast --model FOLDER [--stations 100] [--rounds 20]

FOLDER is the folder of a forecaster in the registry or of an unpacked export. A model of fewer stations is enlarged by
repeating its stations, with their coordinates; the readings are random around the climatology.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.meteorology import wind_components


def enlarged(model: BoostedForecaster, count: int) -> BoostedForecaster:
    """The model with its stations repeated under new names until there are `count`."""
    from_row = np.arange(count) % len(model.stations)
    stations = tuple(replace(model.stations[row], station_id=f"station-{i}") for i, row in enumerate(from_row))
    ids = tuple(station.station_id for station in stations)
    rows = {name: values[from_row] for name, values in model.regression.arrays().items()}
    regression = replace(model.regression, station_ids=ids, **rows)
    tree_models = tuple(replace(trees, station_spread=trees.station_spread[from_row]) for trees in model.tree_models)
    climatology = Climatology(ids, model.climatology.coefficients[from_row])
    return replace(
        model,
        stations=stations,
        climatology=climatology,
        damping=DampedAnomaly(model.damping.rho[from_row]),
        regression=regression,
        tree_models=tree_models,
    )


def readings(model: BoostedForecaster, seed: int = 1) -> HourGrid:
    """Random last hours of every station, in the grid of an inference actor."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2017-01-10T00", "h")
    hours = start + np.arange(PAST_HOURS + 1)
    climatology = clip_to_limits(model.climatology.at(np.arange(len(model.stations)), hours)[..., :4])
    weather = rng.normal(size=(len(model.stations), 1, 4)) * np.array([5.0, 15.0, 8.0, 1.0])
    values = clip_to_limits(climatology + weather + rng.normal(size=climatology.shape) * np.array([0.5, 2.0, 0.3, 0.5]))
    u, v = wind_components(values[..., 3], rng.uniform(0, 360, values.shape[:2]))
    columns = [*values[..., :3].transpose(2, 0, 1), u, v, values[..., 3]]
    assert len(columns) == len(GRID_VARIABLES)
    return HourGrid(model.stations, start, np.stack(columns, axis=-1).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the forecasts of many stations in one process.")
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--stations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    model = enlarged(BoostedForecaster.load(options.model), options.stations)
    grid = readings(model)
    rows, base = list(range(options.stations)), [PAST_HOURS] * options.stations
    model.forecast(grid, rows, base)
    wall, cpu = [], []
    for _ in range(options.rounds):
        began, used = time.perf_counter(), time.process_time()
        model.forecast(grid, rows, base)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    print(
        f"{options.stations} stations x 24 leads x 4 variables: p50 {1000 * np.median(wall):.0f} ms, "
        f"maximum {1000 * max(wall):.0f} ms, CPU {1000 * np.median(cpu):.0f} ms"
    )


if __name__ == "__main__":
    main()
