"""Tables of stations for the evaluation: the same checks as for the station table."""

from __future__ import annotations

from pathlib import Path

import pytest

from weatherglass.evaluation.datasets import read_station_table
from weatherglass.history.sources import SourceError
from weatherglass.stations import Station

HEADER = "city,latitude,longitude,elevation"


def test_optional_columns_and_cells_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"{HEADER},name\nNew York,40.7143,-74.006,10,\n71063,0.00001,1e-7,,North\n", encoding="utf-8")
    assert read_station_table(file) == (
        Station("new-york", "New York", "", 40.7143, -74.006, 10.0, "UTC", frozenset()),
        Station("71063", "North", "", 0.00001, 1e-7, None, "UTC", frozenset()),
    )


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("Oslo,151.2,10.75,5", ["row 2", "latitude", "151.2", "-90 to 90"]),
        ("Oslo,59.9,280,5", ["row 2", "longitude", "280", "-180 to 180"]),
        ("Oslo,,10.75,5", ["row 2", "latitude"]),
        ('Oslo,"59,9",10.75,5', ["row 2", "latitude", "59,9"]),
        ("Oslo,59.9,10.75,-999", ["row 2", "elevation", "-999", "-450 to 9000"]),
        ("Oslo,59.9,inf,5", ["row 2", "longitude", "inf"]),
        ("東京,35.7,139.7,40", ["row 2", "station_id"]),
        ("Kiel,54.3,10.1,5", ["row 2", "kiel"]),
    ],
)
def test_an_invalid_row_is_named_with_value_and_allowed_range(tmp_path: Path, line: str, texts: list[str]) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"{HEADER}\nKiel,54.3,10.1,5\n{line}\n", encoding="utf-8")
    with pytest.raises(SourceError) as error:
        read_station_table(file)
    for text in [str(file), *texts]:
        assert text in str(error.value)
