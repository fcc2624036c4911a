"""A small prepared history on disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from tests.synthetic_history import stations
from weatherglass.history.prepared import OBSERVATIONS, Manifest, write_manifest, write_stations

START = datetime(2014, 3, 1, tzinfo=UTC)


def table(hours: int) -> pd.DataFrame:
    """Random observations of station s0 from `START`."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "station_id": "s0",
            "hour": [START + timedelta(hours=hour) for hour in range(hours)],
            "temperature": rng.normal(10, 5, hours),
            "humidity": rng.uniform(20, 100, hours),
            "pressure": rng.normal(1005, 8, hours),
            "wind_speed": rng.uniform(0.1, 12, hours),
            "wind_direction": rng.uniform(0, 360, hours),
        }
    )


def write_history(folder: Path, source: str = "kaggle") -> Manifest:
    """Write a complete prepared history: 48 hours of stations s0 and s1 in two files."""
    rows = pd.concat([table(48).assign(station_id=name, source=source) for name in ("s0", "s1")])
    for year, part in ((2014, rows[:48]), (2015, rows[48:])):
        file = folder / OBSERVATIONS / f"year={year}" / "part.parquet"
        file.parent.mkdir(parents=True)
        part.to_parquet(file, index=False)
    manifest = Manifest(source, "f" * 64, "2014-03-01T00:00:00Z", "2014-03-02T23:00:00Z", len(rows), 2)
    write_stations(folder, stations(2))
    write_manifest(folder, manifest)
    return manifest
