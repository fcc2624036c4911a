"""The observations of the replay, in memory.

Observations are hourly. Values between two consecutive hours are interpolated linearly to 15 minutes, as Open-Meteo
does for its hourly models; wind is interpolated as components, so that 350° and 10° give 0°. Nothing is interpolated
across a missing hour or value: it remains missing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.sources import SourceError, kaggle, nycflights13
from weatherglass.history.sources.calendar import ReplayCalendar
from weatherglass.meteorology import wind_components, wind_direction
from weatherglass.settings import Settings
from weatherglass.stations import Station

log = logging.getLogger(__name__)

VARIABLES = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
"""The last axis of `ReplayData.values`."""
DECIMALS = np.array([1, 0, 1, 2, 0])
"""Decimal places of the values, as in Open-Meteo's responses."""
REQUIRED_VARIABLES = ("temperature", "humidity", "pressure")
MIN_COVERAGE = 0.5
"""A city is replayed if each of `REQUIRED_VARIABLES` has values in at least this share of the data's last year."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ReplayData:
    """Hourly observations of several stations on one regular time axis.

    Attributes:
        stations: the first axis of `values`.
        start: the first hour, UTC.
        values: float32 (stations, hours, 5), last axis as `VARIABLES`, units of the record schema; NaN if missing.
    """

    name: str
    stations: tuple[Station, ...]
    start: datetime
    values: npt.NDArray[np.float32]

    @property
    def calendar(self) -> ReplayCalendar:
        return ReplayCalendar(self.start, self.start + (self.values.shape[1] - 1) * HOUR)

    def values_at(self, station: int, time: datetime) -> npt.NDArray[np.float64]:
        """The five values of a station, by its index, at a time of the data; NaN if missing or outside the data."""
        hour, rest = divmod(time - self.start, HOUR)
        if not 0 <= hour < self.values.shape[1]:
            return np.full(len(VARIABLES), np.nan)
        before = self.values[station, hour].astype(float)
        if not rest:
            return _rounded(before)
        if hour + 1 == self.values.shape[1]:
            return np.full(len(VARIABLES), np.nan)
        after = self.values[station, hour + 1].astype(float)
        return _rounded(_interpolate(before, after, rest / HOUR))

    def quarter_hours(self, first: datetime, hours: int) -> npt.NDArray[np.float64]:
        """Values (stations, 4 * hours, 5) at every quarter hour from the full hour `first`; NaN as in `values_at`."""
        begin = (first - self.start) // HOUR
        indices = np.arange(begin, begin + hours + 1)
        inside = (indices >= 0) & (indices < self.values.shape[1])
        padded = np.full((len(self.stations), hours + 1, len(VARIABLES)), np.nan)
        padded[:, inside] = self.values[:, indices[inside]]
        before, after = padded[:, :-1], padded[:, 1:]
        quarters = np.stack([before, *(_interpolate(before, after, quarter / 4) for quarter in (1, 2, 3))], axis=2)
        scale = 10.0**DECIMALS
        return np.asarray(np.round(quarters.reshape(len(self.stations), 4 * hours, len(VARIABLES)) * scale) / scale)


def _interpolate(before: npt.NDArray, after: npt.NDArray, share: float) -> npt.NDArray[np.float64]:
    """Values (…, 5) between those of two hours; without a direction, only the speed is interpolated.

    Args:
        share: position between the hours, 0 to 1.
    """
    values = before + share * (after - before)
    winds = (wind_components(hour[..., 3], hour[..., 4]) for hour in (before, after))
    u, v = (a + share * (b - a) for a, b in zip(*winds, strict=True))
    known = np.isfinite(u)
    values[..., 3] = np.where(known, np.hypot(u, v), values[..., 3])
    values[..., 4] = np.where(known, wind_direction(u, v), np.nan)
    return values


def _rounded(values: npt.NDArray) -> npt.NDArray[np.float64]:
    return np.array([round(float(value), int(places)) for value, places in zip(values, DECIMALS, strict=True)])


def load_data(settings: Settings) -> ReplayData:
    """The data of the replay: the Kaggle zip if one is configured, otherwise the bundled data.

    Raises:
        SourceError: the data cannot be read.
    """
    return _load_kaggle(settings.kaggle_zip) if settings.kaggle_zip else _load_nycflights13()


def replay_stations(settings: Settings) -> tuple[Station, ...]:
    """The stations of the replay.

    Raises:
        SourceError: the data cannot be read.
    """
    if settings.kaggle_zip is None:
        return nycflights13.stations()
    return _kaggle_stations(settings.kaggle_zip, settings.kaggle_zip.stat().st_mtime_ns)


@cache
def _kaggle_stations(zip_path: Path, _changed: int) -> tuple[Station, ...]:
    return _observed_cities(zip_path, {name: kaggle.read_variable(zip_path, name).table for name in REQUIRED_VARIABLES})


def _observed_cities(zip_path: Path, tables: dict[str, pd.DataFrame]) -> tuple[Station, ...]:
    cities = kaggle.read_cities(zip_path)
    last_year = {name: tables[name].tail(365 * 24) for name in REQUIRED_VARIABLES}
    observed = tuple(
        city
        for city in cities
        if all(
            city.station_id in table and table[city.station_id].notna().mean() >= MIN_COVERAGE
            for table in last_year.values()
        )
    )
    if not observed:
        raise SourceError(f"{zip_path}: no city has temperature, humidity and pressure in the last year of the data")
    return observed


def _load_kaggle(zip_path: Path) -> ReplayData:
    tables = {name: _read_table(zip_path, name) for name in VARIABLES}
    stations = _observed_cities(zip_path, tables)
    hours = tables["temperature"].index
    axis = pd.date_range(hours.min(), hours.max(), freq="h")
    ids = [station.station_id for station in stations]
    values = np.stack([tables[name].reindex(index=axis, columns=ids).to_numpy(np.float32).T for name in VARIABLES], -1)
    return ReplayData(kaggle.NAME, stations, axis[0].to_pydatetime().astimezone(UTC), values)


def _read_table(zip_path: Path, name: str) -> pd.DataFrame:
    """A variable of a zip; without rows if its file cannot be used and it is not required."""
    try:
        table, problems = kaggle.read_variable(zip_path, name)
    except SourceError as error:
        if name in REQUIRED_VARIABLES:
            raise
        log.warning("Not used: %s", error)
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    for problem in problems:
        log.warning("Not used: %s", problem)
    return table


def _load_nycflights13() -> ReplayData:
    rows, stations = nycflights13.read_nycflights13(), nycflights13.stations()
    axis = pd.date_range(rows["hour"].min(), rows["hour"].max(), freq="h")
    by_station = {name: table.set_index("hour").reindex(axis) for name, table in rows.groupby("station_id")}
    values = np.stack([by_station[s.station_id][list(VARIABLES)].to_numpy(np.float32) for s in stations])
    return ReplayData(nycflights13.NAME, stations, axis[0].to_pydatetime().astimezone(UTC), values)
