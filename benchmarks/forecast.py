"""How long one process needs for the forecasts of 100 stations: 24 leads, 4 variables, intervals, features included.

    python -m benchmarks.forecast --model FOLDER [--stations 100] [--rounds 20]

FOLDER is a forecaster's folder in the registry or an unpacked export. A model of fewer stations serves as one of 100 by
having its stations, with their places, several times; their readings are made up around what is usual there.
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
    trees = tuple(replace(one, station_spread=one.station_spread[from_row]) for one in model.tree_models)
    usual = Climatology(ids, model.climatology.coefficients[from_row])
    return replace(
        model,
        stations=stations,
        climatology=usual,
        damping=DampedAnomaly(model.damping.rho[from_row]),
        regression=regression,
        tree_models=trees,
    )


def readings(model: BoostedForecaster, seed: int = 1) -> HourGrid:
    """The last hours of every station, as an inference actor holds them."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2017-01-10T00", "h")
    hours = start + np.arange(PAST_HOURS + 1)
    usual = clip_to_limits(model.climatology.at(np.arange(len(model.stations)), hours)[..., :4])
    weather = rng.normal(size=(len(model.stations), 1, 4)) * np.array([5.0, 15.0, 8.0, 1.0])
    values = clip_to_limits(usual + weather + rng.normal(size=usual.shape) * np.array([0.5, 2.0, 0.3, 0.5]))
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
        f"longest {1000 * max(wall):.0f} ms, CPU {1000 * np.median(cpu):.0f} ms"
    )


if __name__ == "__main__":
    main()
