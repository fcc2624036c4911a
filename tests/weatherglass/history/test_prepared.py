from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.prepared_history import START, table, write_history
from tests.synthetic_history import stations
from weatherglass.files import DamagedFileError
from weatherglass.history.prepared import (
    MANIFEST,
    OBSERVATIONS,
    REMEDY,
    STATIONS,
    grid_from_table,
    history_stations,
    read_complete_manifest,
    read_history,
    read_manifest,
    read_stations,
    station_lookup,
)
from weatherglass.settings import Settings


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


FILES = (MANIFEST, STATIONS, f"{OBSERVATIONS}/year=2014/part.parquet", f"{OBSERVATIONS}/year=2015/part.parquet")


def test_a_complete_history_is_read(tmp_path: Path) -> None:
    manifest = write_history(tmp_path)
    assert read_complete_manifest(tmp_path) == read_manifest(tmp_path) == manifest
    assert read_stations(tmp_path) == stations(2)
    assert np.isfinite(read_history(tmp_path).values).all()
    assert read_complete_manifest(tmp_path / "other") is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_file_is_named_with_the_remedy(tmp_path: Path, name: str, share: float) -> None:
    write_history(tmp_path)
    file = tmp_path / name
    os.truncate(file, int(file.stat().st_size * share))
    for read in (read_complete_manifest, read_history):
        with pytest.raises(DamagedFileError) as error:
            read(tmp_path)
        assert (error.value.file, error.value.remedy) == (file, REMEDY)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_missing_file_makes_a_history_incomplete(tmp_path: Path, name: str) -> None:
    write_history(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DamagedFileError) as error:
        read_complete_manifest(tmp_path)
    assert (tmp_path / name).is_relative_to(error.value.file)
    assert error.value.remedy == REMEDY


@pytest.mark.parametrize("content", ["[]", "{}", '[{"station_id": "s0"}]', "null", "3"])
def test_stations_of_another_form_are_damaged_and_only_those_of_the_table_are_known(
    settings: Settings, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.history_dir.mkdir(parents=True)
    write_history(settings.history_dir)
    assert station_lookup(settings)("s1") == stations(2)[1]
    file = settings.history_dir / STATIONS
    file.write_text(content)
    with pytest.raises(DamagedFileError) as error:
        read_stations(settings.history_dir)
    assert error.value.file == file
    assert history_stations(settings.history_dir) == {}
    assert str(file) in caplog.text


@pytest.mark.parametrize(
    "change", [{"rows": "x"}, {"first_hour": "x"}, {"fingerprint": ""}, {"source": None}, {"a": 1}]
)
def test_a_manifest_of_another_form_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    manifest = write_history(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({**asdict(manifest), **change}))
    with pytest.raises(DamagedFileError):
        read_manifest(tmp_path)


def test_an_error_of_the_system_is_not_damage(tmp_path: Path) -> None:
    write_history(tmp_path)
    file = tmp_path / FILES[2]
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(OSError) as error:  # noqa: PT011  (its code is checked below)
        read_complete_manifest(tmp_path)
    assert error.value.errno == errno.ELOOP
