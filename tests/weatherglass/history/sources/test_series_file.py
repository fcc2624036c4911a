from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from weatherglass.history.sources import SourceError
from weatherglass.history.sources.series_file import read_series


def test_a_file_is_read_in_its_own_units(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "timestamp,Temperature (°F),humidity (%),wind_speed (km/h),battery\n"
        "1700000000,50,40,36,12\n1700000600,68,,18,12\nyesterday,1,1,1,1\n"
    )
    series = read_series(path)
    assert series.times[1] - series.times[0] == np.timedelta64(timedelta(minutes=10))
    np.testing.assert_allclose(series.values, [[10, 40, np.nan, 10], [20, np.nan, np.nan, 5]])
    assert (series.unread, series.passed_over) == (1, ("battery",))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("when,temperature\n1,2\n", "no column of times"),
        ("time,x\n2020-01-01,2\n", "none of temperature"),
        ("time,temperature (furlongs)\n2020-01-01,2\n", "unknown unit"),
        ("time,temperature,station_id\n2020-01-01,2,a\n2020-01-01,2,b\n", "2 stations"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_reason(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(content)
    with pytest.raises(SourceError, match=complaint):
        read_series(path)
