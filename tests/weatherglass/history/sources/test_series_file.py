from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from weatherglass.history.sources import SourceError
from weatherglass.history.sources.series_file import read_series


def test_values_are_converted_from_the_units_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "timestamp,Temperature (°F),humidity (%),wind_speed (km/h),battery\n"
        "1700000000,50,40,36,12\n1700000600,68,,18,12\nyesterday,1,1,1,1\n"
    )
    series = read_series(path)
    assert series.times[1] - series.times[0] == np.timedelta64(timedelta(minutes=10))
    np.testing.assert_allclose(series.values, [[10, 40, np.nan, 10], [20, np.nan, np.nan, 5]])
    assert (series.rows_without_time, series.unused_columns) == (1, ("battery",))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("when,temperature\n1,2\n", "when"),
        ("time,x\n2020-01-01,2\n", "temperature"),
        ("time,temperature (furlongs)\n2020-01-01,2\n", "furlongs"),
        ("time,temperature,station_id\n2020-01-01,2,a\n2020-01-01,2,b\n", "2"),
    ],
)
def test_an_unusable_file_is_an_error_that_names_the_problem(tmp_path: Path, content: str, name: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(content)
    with pytest.raises(SourceError, match=name):
        read_series(path)
