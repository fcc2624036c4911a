from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from tests.synthetic_history import stations
from weatherglass.history.prepared import grid_from_table

START = datetime(2014, 3, 1, tzinfo=UTC)


def table(hours: int) -> pd.DataFrame:
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


def test_a_grid_holds_the_rows_of_its_stations_with_wind_components() -> None:
    rows = table(3)
    rows.loc[1, "station_id"] = "unknown"
    rows.loc[2, ["wind_speed", "wind_direction"]] = 4.0, 90.0
    grid = grid_from_table(rows, stations(2))
    assert grid.start == np.datetime64("2014-03-01T00", "h")
    assert grid.values.shape == (2, 3, 6)
    assert np.isnan(grid.values[1]).all()
    assert np.isnan(grid.values[0, 1]).all()
    expected = rows.loc[0, ["temperature", "humidity", "pressure"]].to_numpy(float)
    np.testing.assert_allclose(grid.values[0, 0, :3], expected, rtol=1e-6)
    np.testing.assert_allclose(grid.values[0, 2, 3:], [-4.0, 0.0, 4.0], atol=1e-6)


def test_only_the_hours_of_excluded_periods_are_missing() -> None:
    grid = grid_from_table(table(30), stations(1), [(START + timedelta(hours=4), START + timedelta(hours=9))])
    missing = np.isnan(grid.values[0]).all(axis=1)
    assert np.flatnonzero(missing).tolist() == [4, 5, 6, 7, 8, 9]
    assert np.isfinite(grid.values[0, ~missing]).all()
