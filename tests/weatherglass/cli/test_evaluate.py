"""`weatherglass evaluate` from tables on disk to the page."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from weatherglass.cli.main import main
from weatherglass.evaluation import arma, datasets
from weatherglass.history.grid import HourGrid
from weatherglass.history.sources import SourceError
from weatherglass.meteorology import wind_direction
from weatherglass.records import VARIABLES

Model = SimpleNamespace


def tidy(grid: HourGrid) -> pd.DataFrame:
    """A grid as somebody else's table would hold it."""
    frames = []
    for row, station in enumerate(grid.stations):
        values = grid.values[row].astype(float)
        frames.append(
            pd.DataFrame(
                {
                    "station_id": station.station_id,
                    "time": pd.to_datetime(grid.hours.astype("datetime64[ns]"), utc=True),
                    "temperature": values[:, 0],
                    "humidity": values[:, 1],
                    "pressure": values[:, 2],
                    "wind_speed": values[:, 5],
                    "wind_direction": wind_direction(values[:, 3], values[:, 4]),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def files(model: Model, tmp_path: Path) -> SimpleNamespace:
    begin = int(np.flatnonzero(model.parts.test)[0])
    table = tidy(model.grid)
    early = table["time"] < pd.Timestamp(model.grid.hours[begin], tz="UTC")
    made = SimpleNamespace(
        history=tmp_path / "history.csv", test=tmp_path / "test.parquet", stations=tmp_path / "stations.csv"
    )
    table[early].to_csv(made.history, index=False)
    table[~early].to_parquet(made.test)
    places = [[s.station_id, s.latitude, s.longitude] for s in model.grid.stations]
    pd.DataFrame(places, columns=["station_id", "latitude", "longitude"]).to_csv(made.stations, index=False)
    return made


def test_tables_of_anybody_make_the_same_grid(model: Model, files: SimpleNamespace) -> None:
    stations = datasets.read_station_table(files.stations)
    history, known = datasets.read(files.history, stations)
    test, _ = datasets.read(files.test, known)
    grid, begin = datasets.join(history, test, known)
    assert grid.start == model.grid.start
    assert begin == int(np.flatnonzero(model.parts.test)[0])
    np.testing.assert_allclose(grid.values, model.grid.values, atol=1e-3)


def test_a_model_is_scored_and_the_page_written(
    model: Model, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arma, "STATIONS", 1)
    model.forecaster.save(tmp_path / "model")
    docs = tmp_path / "docs"
    options = ["--history", files.history, "--test", files.test, "--stations", files.stations, "--docs", docs]
    options += ["--model", tmp_path / "model", "--cases", "600", "--name", "made-up"]
    assert main(["evaluate", *map(str, options)]) == 0
    figures = json.loads((docs / "evaluation" / "made-up.json").read_text())
    assert set(figures["by_station"]) == {"s0", "s1", "s2"}
    # What was learnt from is not tested on: the first base hour has all its past inside the test.
    assert np.datetime64(figures["first"]) >= model.grid.hours[np.flatnonzero(model.parts.test)[0] + 72]
    for variable in VARIABLES:
        value, low, high = figures["skill"]["persistence"][variable]
        assert low < value < high
    assert figures["skill"]["harmonic_arma"]["temperature"][0] is not None
    page = (docs / "evaluation.md").read_text()
    assert "## made-up" in page
    for plot in ("errors", "reliability", "stations"):
        assert (docs / "evaluation" / f"made-up-{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert f"evaluation/made-up-{plot}.png" in page


def test_what_cannot_be_read_is_named(tmp_path: Path, files: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SourceError, match="no-such"):
        datasets.read(tmp_path / "no-such.parquet")
    (tmp_path / "odd.csv").write_text("when,temperature\n2020-01-01,3\n")
    with pytest.raises(SourceError, match="station_id, hour"):
        datasets.read(tmp_path / "odd.csv")
    with pytest.raises(SourceError, match="where is s0"):
        datasets.read(files.history)
    options = ["--history", str(files.history), "--stations", str(files.stations), "--test-from", "2031-01-01"]
    assert main(["evaluate", *options]) == 1
    assert "2031-01-01" in capsys.readouterr().err


def test_kelvin_is_told_from_celsius(tmp_path: Path) -> None:
    rows = [{"city": "New York", "datetime": "2017-01-01 00:00", "temperature": 273.15, "wind_speed": 2.0}]
    pd.DataFrame(rows).to_csv(tmp_path / "kelvin.csv", index=False)
    table, stations = datasets.read(tmp_path / "kelvin.csv")
    assert table["temperature"].tolist() == pytest.approx([0.0])
    assert [station.station_id for station in stations] == ["new-york"]
