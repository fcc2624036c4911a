"""Forecasts as arrays, from the store or straight from a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.records import LEADS, VARIABLES, Method


def made_by(version: str, method: str) -> str:
    """Who a forecast is scored for: the model version, or the method where a fallback made it."""
    return version if method == Method.MODEL.value else method


@dataclass(frozen=True)
class IssuedForecasts:
    """n forecasts; lead and variable axes as `records.LEADS` and `records.VARIABLES`, NaN for what was not said.

    Attributes:
        versions, station_ids: n, who made it (`made_by`) and for which station.
        at: (n,) `datetime64[us]`, UTC: the observation that was answered.
        base: (n,) `datetime64[h]`, UTC: valid time = base + lead.
        values: (n, 24, 4).
        lower, upper: level -> (n, 24, 4).
    """

    versions: tuple[str, ...]
    station_ids: tuple[str, ...]
    at: npt.NDArray[np.datetime64]
    base: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    lower: dict[float, npt.NDArray[np.float64]]
    upper: dict[float, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.station_ids)

    def part(self, which: slice | npt.NDArray[np.int64]) -> IssuedForecasts:
        """Some of the forecasts."""
        chosen = range(len(self))[which] if isinstance(which, slice) else which.tolist()
        return IssuedForecasts(
            tuple(self.versions[i] for i in chosen),
            tuple(self.station_ids[i] for i in chosen),
            self.at[which],
            self.base[which],
            self.values[which],
            {level: bound[which] for level, bound in self.lower.items()},
            {level: bound[which] for level, bound in self.upper.items()},
        )


def of_rows(rows: Sequence[Any]) -> IssuedForecasts:
    """From rows of the store: `station_id`, `timestamp`, `model_version`, `method`, `predictions`, `confidence`.

    The last valid time is the base hour and 24 h; the first leads are missing where the base hour was an older one.
    """
    shape = (len(rows), len(LEADS), len(VARIABLES))
    values = np.full(shape, np.nan)
    lower = {level: np.full(shape, np.nan) for level in LEVELS}
    upper = {level: np.full(shape, np.nan) for level in LEVELS}
    base = np.empty(len(rows), "datetime64[h]")
    at = np.empty(len(rows), "datetime64[us]")
    for i, row in enumerate(rows):
        said, sure = row.predictions, row.confidence
        times = said["valid_times"]
        at[i] = _utc(row.timestamp)
        if not times:
            base[i] = at[i].astype("datetime64[h]")
            continue
        base[i] = _utc(datetime.fromisoformat(times[-1])).astype("datetime64[h]") - LEADS[-1]
        first = len(LEADS) - len(times)
        values[i, first:] = np.array([said[name] for name in VARIABLES]).T
        for interval in (sure, *sure.get("others", [])):
            if (level := interval["level"]) in lower:
                lower[level][i, first:] = np.array([interval["lower"][name] for name in VARIABLES]).T
                upper[level][i, first:] = np.array([interval["upper"][name] for name in VARIABLES]).T
    versions = tuple(made_by(row.model_version, row.method) for row in rows)
    return IssuedForecasts(versions, tuple(row.station_id for row in rows), at, base, values, lower, upper)


def of_forecasts(version: str, forecasts: Iterable[Forecast]) -> IssuedForecasts:
    """From a model's own forecasts, as if each had been issued at its base hour."""
    made = list(forecasts)
    base = np.concatenate([one.base_hours for one in made]).astype("datetime64[h]")
    return IssuedForecasts(
        tuple(made_by(version, method.value) for one in made for method in one.methods),
        tuple(station for one in made for station in one.station_ids),
        base.astype("datetime64[us]"),
        base,
        np.concatenate([one.values for one in made]),
        {level: np.concatenate([one.lower[level] for one in made]) for level in LEVELS},
        {level: np.concatenate([one.upper[level] for one in made]) for level in LEVELS},
    )


def joined(one: IssuedForecasts, other: IssuedForecasts) -> IssuedForecasts:
    """Both, one after the other."""
    return IssuedForecasts(
        one.versions + other.versions,
        one.station_ids + other.station_ids,
        np.concatenate([one.at, other.at]),
        np.concatenate([one.base, other.base]),
        np.concatenate([one.values, other.values]),
        {level: np.concatenate([one.lower[level], other.lower[level]]) for level in one.lower},
        {level: np.concatenate([one.upper[level], other.upper[level]]) for level in one.upper},
    )


def _utc(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")
