"""Station data for quality control, with damaged files of the history and a damaged cache."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.qc_parameters import CACHE, QcParameterWatch, load_qc_parameters
from tests.prepared_history import write_history
from tests.waiting import until
from weatherglass.history import climate_limits
from weatherglass.history.prepared import MANIFEST, OBSERVATIONS, STATIONS
from weatherglass.settings import Settings
from weatherglass.stations import STATIONS_CSV, bundled_stations

CLIMATE = {"s0": {"temperature": [1.0, 2.0]}}


@pytest.fixture
def computed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The climates that were computed from the history of `settings`."""
    made: list[Any] = []
    monkeypatch.setattr(climate_limits, "climate_limits", lambda grid: made.append(grid) or CLIMATE)
    write_history(settings.history_dir)
    return made


def load(settings: Settings, folder: Path) -> Any:
    parameters = load_qc_parameters(settings, folder)
    assert set(parameters.elevations) <= set(bundled_stations())
    return parameters.climate


def test_the_climate_of_a_history_is_computed_once(settings: Settings, tmp_path: Path, computed: list[Any]) -> None:
    assert load(settings, tmp_path) == load(settings, tmp_path) == CLIMATE
    assert len(computed) == 1


@pytest.mark.parametrize("content", ["", '{"hist', "[]", "{}", '{"history": 1}'])
def test_a_damaged_cache_is_computed_again(
    settings: Settings, tmp_path: Path, computed: list[Any], content: str
) -> None:
    load(settings, tmp_path)
    (tmp_path / CACHE).write_text(content)
    assert load(settings, tmp_path) == CLIMATE
    assert len(computed) == 2
    assert json.loads((tmp_path / CACHE).read_text())["climate"] == CLIMATE


@pytest.mark.parametrize("name", [MANIFEST, STATIONS, f"{OBSERVATIONS}/year=2014/part.parquet"])
@pytest.mark.usefixtures("computed")
def test_a_damaged_history_does_not_stop_the_job(
    settings: Settings, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.history_dir / name).write_bytes(b"")
    assert load(settings, tmp_path) == {}
    assert str(settings.history_dir) in caplog.text
    assert not (tmp_path / CACHE).exists()


def until_changed(watch: QcParameterWatch) -> None:
    until("changed parameters", watch.changed)


def test_a_changed_table_and_a_new_history_are_noticed(
    settings: Settings, tmp_path: Path, computed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(settings.history_dir, tmp_path / "history")
    watch = QcParameterWatch(settings, tmp_path)
    assert watch.parameters.climate == {}
    assert not watch.changed()
    assert not watch.is_loading

    shutil.move(tmp_path / "history", settings.history_dir)
    until_changed(watch)
    assert watch.parameters.climate == CLIMATE
    assert not watch.changed()
    assert not watch.is_loading

    table = STATIONS_CSV.read_text(encoding="utf-8")
    settings.station_table.write_text(table + "summit,Summit,,50.2,8.4,878,Europe/Berlin,,,\n", encoding="utf-8")
    until_changed(watch)
    assert watch.parameters.elevations["summit"] == 878
    assert watch.parameters.latitudes["summit"] == 50.2
    assert watch.parameters.climate == CLIMATE
    assert len(computed) == 1


@pytest.mark.usefixtures("computed")
def test_damaged_files_change_no_parameters(settings: Settings, tmp_path: Path) -> None:
    watch = QcParameterWatch(settings, tmp_path)
    before = watch.parameters
    settings.station_table.write_text("station_id", encoding="utf-8")
    (settings.history_dir / MANIFEST).write_bytes(b"")
    assert not watch.changed()
    assert not watch.is_loading
    assert watch.parameters == before


def test_a_damaged_manifest_does_not_keep_stations_from_changing(
    settings: Settings, tmp_path: Path, computed: list[Any]
) -> None:
    watch = QcParameterWatch(settings, tmp_path)
    (settings.history_dir / MANIFEST).write_bytes(b"")
    table = STATIONS_CSV.read_text(encoding="utf-8")
    settings.station_table.write_text(table + "summit,Summit,,50.2,8.4,878,Europe/Berlin,,,\n", encoding="utf-8")
    until_changed(watch)
    assert watch.parameters.elevations["summit"] == 878
    assert watch.parameters.climate == CLIMATE
    assert len(computed) == 1


def test_a_damaged_history_is_read_again_when_it_was_prepared_again(
    settings: Settings, tmp_path: Path, computed: list[Any]
) -> None:
    part = settings.history_dir / f"{OBSERVATIONS}/year=2014/part.parquet"
    content = part.read_bytes()
    part.write_bytes(b"")
    watch = QcParameterWatch(settings, tmp_path)
    assert watch.parameters.climate == {}
    part.write_bytes(content)
    os.utime(settings.history_dir / MANIFEST, (2e9, 2e9))
    until_changed(watch)
    assert watch.parameters.climate == CLIMATE
    assert len(computed) == 1


def test_a_load_that_fails_changes_nothing_and_is_repeated(
    settings: Settings, tmp_path: Path, computed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = QcParameterWatch(settings, tmp_path)
    (tmp_path / CACHE).unlink()
    attempts: list[Any] = []

    def fail_once(grid: Any) -> Any:
        attempts.append(grid)
        if len(attempts) == 1:
            raise MemoryError
        return CLIMATE | {"s1": {}}

    monkeypatch.setattr(climate_limits, "climate_limits", fail_once)
    os.utime(settings.history_dir / MANIFEST, (2e9, 2e9))
    until_changed(watch)
    assert watch.parameters.climate == CLIMATE | {"s1": {}}
    assert len(attempts) == 2
