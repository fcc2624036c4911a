"""`weatherglass evaluate`, from tables on disk to the page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.weatherglass.conftest import Model
from weatherglass.cli.main import main
from weatherglass.evaluation import arma, datasets, local_training
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import SIZES, ModelSize
from weatherglass.history.grid import HourGrid
from weatherglass.history.sources import SourceError
from weatherglass.meteorology import wind_direction
from weatherglass.records import VARIABLES

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def table_of(grid: HourGrid) -> pd.DataFrame:
    """Return a grid as a table with one row for each station and hour."""
    frames = []
    for row, station in enumerate(grid.stations):
        values = grid.values[row].astype(float)
        frames.append(
            pd.DataFrame(
                {
                    "station_id": station.station_id,
                    "time": pd.to_datetime(grid.hours.astype("datetime64[ns]"), utc=True),
                    "temperature (°C)": values[:, 0],
                    "humidity (%)": values[:, 1],
                    "pressure (hPa)": values[:, 2],
                    "wind_speed (m/s)": values[:, 5],
                    "wind_direction": wind_direction(values[:, 3], values[:, 4]),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def files(model: Model, tmp_path: Path) -> SimpleNamespace:
    begin = int(np.flatnonzero(model.split.test)[0])
    table = table_of(model.grid)
    early = table["time"] < pd.Timestamp(model.grid.hours[begin], tz="UTC")
    paths = SimpleNamespace(
        history=tmp_path / "history.csv", test=tmp_path / "test.parquet", stations=tmp_path / "stations.csv"
    )
    table[early].to_csv(paths.history, index=False)
    table[~early].to_parquet(paths.test)
    coordinates = [[s.station_id, s.latitude, s.longitude] for s in model.grid.stations]
    pd.DataFrame(coordinates, columns=["station_id", "latitude", "longitude"]).to_csv(paths.stations, index=False)
    return paths


def test_tables_in_csv_and_parquet_give_the_original_grid(model: Model, files: SimpleNamespace) -> None:
    stations = datasets.read_station_table(files.stations)
    history, known = datasets.read([files.history], NOW, None, stations)
    test, _ = datasets.read([files.test], NOW, None, known)
    grid, begin = datasets.join(history, test, known)
    assert grid.start == model.grid.start
    assert begin == int(np.flatnonzero(model.split.test)[0])
    np.testing.assert_allclose(grid.values, model.grid.values, atol=1e-3)


@pytest.fixture
def saved(model: Model, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model that `--save` kept although the test was too short to be evaluated."""
    trained: list[tuple[HourGrid, ModelSize, int]] = []

    def train(history: HourGrid, size: ModelSize, threads: int, _: object) -> BoostedForecaster:
        trained.append((history, size, threads))
        return model.forecaster

    monkeypatch.setattr(local_training, "train", train)
    begin = model.grid.hours[-1].astype("datetime64[D]")
    options = ["--history", files.history, files.test, "--stations", files.stations, "--test-from", begin]
    options += ["--size", "first", "--threads", "3", "--save", tmp_path / "model", "--docs", tmp_path / "no-docs"]
    assert main(["evaluate", *map(str, options)]) == 1
    assert not (tmp_path / "no-docs").exists()
    ((history, size, threads),) = trained
    assert history.hours[-1] == begin.astype("datetime64[h]") - 1
    assert (size, threads) == (SIZES["first"], 3)
    return tmp_path / "model"


def test_a_saved_model_is_evaluated_and_page_figures_and_plots_are_written(
    model: Model, files: SimpleNamespace, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arma, "STATIONS", 1)
    loaded = BoostedForecaster.load(saved)
    np.testing.assert_array_equal(loaded.climatology.coefficients, model.forecaster.climatology.coefficients)
    docs = tmp_path / "docs"
    options = ["--history", files.history, "--test", files.test, "--stations", files.stations, "--docs", docs]
    options += ["--model", saved, "--cases", "600", "--name", "synthetic"]
    assert main(["evaluate", *map(str, options)]) == 0
    figures = json.loads((docs / "evaluation" / "synthetic.json").read_text())
    assert set(figures["by_station"]) == {"s0", "s1", "s2"}
    # The past of the first base hour is inside the test.
    assert np.datetime64(figures["first"]) >= model.grid.hours[np.flatnonzero(model.split.test)[0] + 72]
    for variable in VARIABLES:
        value, low, high = figures["skill"]["persistence"][variable]
        assert low < value < high
    assert figures["skill"]["harmonic_arma"]["temperature"][0] is not None
    assert set(figures["short_past"]) == {"1", "6", "24", "72"}
    page = (docs / "evaluation.md").read_text()
    assert "## synthetic" in page
    for plot in ("errors", "reliability", "stations"):
        assert (docs / "evaluation" / f"synthetic-{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert f"evaluation/synthetic-{plot}.png" in page


def test_stations_far_from_all_known_ones_are_evaluated_without_the_baselines_that_need_a_climatology(
    files: SimpleNamespace, saved: Path, tmp_path: Path
) -> None:
    """The forecast is persistence there, so its skill against persistence is 0."""
    for path, name in ((files.history, "history"), (files.test, "test")):
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        table.assign(station_id="far-" + table["station_id"]).to_csv(tmp_path / f"far-{name}.csv", index=False)
    coordinates = [[f"far-s{i}", -45.0 - i, 170.0] for i in range(3)]
    pd.DataFrame(coordinates, columns=["station_id", "latitude", "longitude"]).to_csv(files.stations, index=False)
    options = ["--history", tmp_path / "far-history.csv", "--test", tmp_path / "far-test.csv"]
    options += ["--stations", files.stations, "--docs", tmp_path, "--model", saved, "--cases", "100", "--name", "far"]
    assert main(["evaluate", *map(str, options)]) == 0
    figures = json.loads((tmp_path / "evaluation" / "far.json").read_text())
    assert set(figures["skill"]) == {"persistence", "seasonal_naive"}
    for variable in VARIABLES:
        assert None not in figures["mae"]["model"][variable]
        assert set(figures["mae"]["damped_anomaly"][variable]) == {None}
    assert "## far" in (tmp_path / "evaluation.md").read_text()


def test_a_loaded_model_is_not_saved_again(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "--history", "nycflights13", "--model", str(tmp_path), "--save", str(tmp_path / "copy")])
    assert exit_.value.code == 2


def test_errors_name_the_file_the_columns_or_the_station(
    tmp_path: Path, files: SimpleNamespace, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SourceError, match="no-such"):
        datasets.read([tmp_path / "no-such.parquet"], NOW)
    (tmp_path / "odd.csv").write_text("when,temperature\n2020-01-01,3\n")
    with pytest.raises(SourceError, match="when,temperature"):
        datasets.read([tmp_path / "odd.csv"], NOW)
    with pytest.raises(SourceError, match=r"\bs0\b"):
        datasets.read([files.history], NOW)
    options = ["--history", str(files.history), "--stations", str(files.stations), "--test-from", "2031-01-01"]
    assert main(["evaluate", *options]) == 1
    assert "2031-01-01" in capsys.readouterr().err
