"""Issued forecasts as arrays, from stored predictions or directly from a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.store.readable import read_row

Array = npt.NDArray[np.float64]


WITH_SIMULATED_GUIDANCE = "-simulated-guidance"
"""Suffix of a version whose forecasts use simulated guidance: made from later observations, they are no real skill."""


def scored_as(version: str, method: str, guidance: Mapping[str, Any] | None = None) -> str:
    """The name under which a forecast is scored: the model version, or the method of a fallback.

    A fallback stays one with guidance, which may be in one variable only.

    Args:
        guidance: what the forecast used, `records.UsedGuidance` as JSON.
    """
    if method != Method.MODEL.value:
        return method
    return version + WITH_SIMULATED_GUIDANCE if guidance and guidance.get("simulated") else version


def is_of_version(name: str, version: str) -> bool:
    """Whether a forecast scored under a name is one of a model version, with whatever guidance."""
    return name.removesuffix(WITH_SIMULATED_GUIDANCE) == version


@dataclass(frozen=True)
class IssuedForecasts:
    """n forecasts; lead and variable axes as `records.LEADS` and `records.VARIABLES`, NaN for missing values.

    Attributes:
        versions: n, see `scored_as`.
        station_ids: n.
        observed_at: (n,) `datetime64[us]`, UTC: time of the observation on which the forecast is based.
        base: (n,) `datetime64[h]`, UTC: valid time = base + lead.
        values: (n, 24, 4).
        lower, upper: level -> (n, 24, 4).
    """

    versions: tuple[str, ...]
    station_ids: tuple[str, ...]
    observed_at: npt.NDArray[np.datetime64]
    base: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    lower: dict[float, npt.NDArray[np.float64]]
    upper: dict[float, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.station_ids)

    def select(self, index: slice | npt.NDArray[np.int64]) -> IssuedForecasts:
        """The forecasts at some positions."""
        positions = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        return IssuedForecasts(
            tuple(self.versions[i] for i in positions),
            tuple(self.station_ids[i] for i in positions),
            self.observed_at[index],
            self.base[index],
            self.values[index],
            {level: bound[index] for level, bound in self.lower.items()},
            {level: bound[index] for level, bound in self.upper.items()},
        )


def from_rows(rows: Sequence[Any]) -> IssuedForecasts:
    """Forecasts from rows of the store.

    The base hour is the last valid time minus 24 h. If the forecast was made from an older hour than usual, its first
    leads are missing.

    Args:
        rows: with `station_id`, `timestamp`, `model_version`, `method`, `predictions` and `confidence`. A row whose
            documents cannot be read has no values.
    """
    shape = (len(rows), len(LEADS), len(VARIABLES))
    values = np.full(shape, np.nan)
    lower = {level: np.full(shape, np.nan) for level in LEVELS}
    upper = {level: np.full(shape, np.nan) for level in LEVELS}
    base = np.empty(len(rows), "datetime64[h]")
    observed_at = np.empty(len(rows), "datetime64[us]")
    for i, row in enumerate(rows):
        observed_at[i] = _utc(row.timestamp)
        base[i] = observed_at[i].astype("datetime64[h]")
        if (documents := read_row(row, _read_documents)) is None:
            continue
        base[i], count, values_of_row, bounds = documents
        values[i, -count:] = values_of_row
        for level, (lowest, highest) in bounds.items():
            if level in lower:
                lower[level][i, -count:], upper[level][i, -count:] = lowest, highest
    versions = tuple(scored_as(row.model_version, row.method, _used_guidance(row)) for row in rows)
    station_ids = tuple(row.station_id for row in rows)
    return IssuedForecasts(versions, station_ids, observed_at, base, values, lower, upper)


def _used_guidance(row: Any) -> Mapping[str, Any] | None:
    """What a forecast used; None if it used none, or if the document cannot be read."""
    used = row.predictions.get("guidance") if isinstance(row.predictions, dict) else None
    return used if isinstance(used, dict) else None


def _read_documents(row: Any) -> tuple[np.datetime64, int, Array, dict[float, tuple[Array, Array]]]:
    """Base hour, number of leads, values and the bounds by level of a row; arrays (leads, variables)."""
    predictions, confidence = row.predictions, row.confidence
    times = predictions["valid_times"]
    if not 0 < len(times) <= len(LEADS):
        raise ValueError(f"{len(times)} valid times")
    shape = (len(times), len(VARIABLES))
    base = _utc(datetime.fromisoformat(times[-1])).astype("datetime64[h]") - LEADS[-1]

    def array(lists: dict[str, list[float]]) -> Array:
        return np.array([lists[name] for name in VARIABLES], float).T.reshape(shape)

    intervals = (confidence, *confidence.get("others", []))
    bounds = {interval["level"]: (array(interval["lower"]), array(interval["upper"])) for interval in intervals}
    return base, len(times), array(predictions), bounds


def from_forecasts(version: str, forecasts: Iterable[Forecast]) -> IssuedForecasts:
    """Forecasts of a model, as if each had been issued at its base hour."""
    batches = list(forecasts)
    base = np.concatenate([batch.base_hours for batch in batches]).astype("datetime64[h]")
    return IssuedForecasts(
        tuple(scored_as(version, method.value) for batch in batches for method in batch.methods),
        tuple(station for batch in batches for station in batch.station_ids),
        base.astype("datetime64[us]"),
        base,
        np.concatenate([batch.values for batch in batches]),
        {level: np.concatenate([batch.lower[level] for batch in batches]) for level in LEVELS},
        {level: np.concatenate([batch.upper[level] for batch in batches]) for level in LEVELS},
    )


def concatenate(first: IssuedForecasts, second: IssuedForecasts) -> IssuedForecasts:
    """All forecasts of both."""
    return IssuedForecasts(
        first.versions + second.versions,
        first.station_ids + second.station_ids,
        np.concatenate([first.observed_at, second.observed_at]),
        np.concatenate([first.base, second.base]),
        np.concatenate([first.values, second.values]),
        {level: np.concatenate([first.lower[level], second.lower[level]]) for level in first.lower},
        {level: np.concatenate([first.upper[level], second.upper[level]]) for level in first.upper},
    )


def _utc(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")
