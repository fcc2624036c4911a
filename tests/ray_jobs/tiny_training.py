"""A size and a prepared history with which a training takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from weatherglass.forecast.presets import ModelSize
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import Manifest, write_manifest, write_stations
from weatherglass.meteorology import wind_direction

TINY = ModelSize(cases=1500, trees=15, leaves=15, learning_rate=0.2, spread_trees=3, calibration_cases=1000)


def prepare(grid: HourGrid, folder: Path) -> Manifest:
    """Write a grid as prepared history."""
    count, hours, _ = grid.values.shape
    t, h, p, u, v, speed = grid.values.reshape(-1, 6).T.astype(float)
    table = pd.DataFrame(
        {
            "station_id": np.repeat([station.station_id for station in grid.stations], hours),
            "hour": pd.to_datetime(np.tile(grid.hours, count)).tz_localize("UTC"),
            "temperature": t,
            "humidity": h,
            "pressure": p,
            "wind_speed": np.where(np.isnan(speed), np.hypot(u, v), speed),
            "wind_direction": wind_direction(u, v),
            "source": "made-up",
        }
    )
    (folder / "observations" / "year=2014").mkdir(parents=True)
    table.to_parquet(folder / "observations" / "year=2014" / "part.parquet")
    write_stations(folder, grid.stations)
    first, last = str(grid.hours[0]), str(grid.hours[-1])
    manifest = Manifest("made-up", "fingerprint", first, last, len(table), count)
    write_manifest(folder, manifest)
    return manifest
