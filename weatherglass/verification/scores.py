"""Errors of forecasts, summed up by version, station, UTC day of the valid time, lead and variable."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification.baselines import ReferenceModel, damped_anomaly, persistence
from weatherglass.verification.forecasts import IssuedForecasts

CHUNK = 2_000
"""Forecasts at a time; bounds the memory."""
ROUNDING = 1e-3
"""Records have two decimals, truths are kept with seven digits: a truth on the bound is inside."""
SUMS = ("n", "abs", "square", "error", "n_80", "in_80", "n_90", "in_90", "n_base", "abs_base", "persistence", "damped")


def rows_of(issued: IssuedForecasts, grid: HourGrid) -> npt.NDArray[np.int64]:
    """Each forecast's row in the grid."""
    row = {station.station_id: i for i, station in enumerate(grid.stations)}
    return np.array([row[station_id] for station_id in issued.station_ids], dtype=np.int64)


def errors(issued: IssuedForecasts, truth: HourGrid) -> npt.NDArray[np.float64]:
    """(n, leads, variables) forecast minus truth; NaN where either is missing. Every station must be in the grid."""
    came = model_variables(truth.values)[..., : len(VARIABLES)].astype(np.float64)
    at = (issued.base - truth.start).astype(np.int64)[:, None] + np.array(LEADS)
    known = (at >= 0) & (at < came.shape[1])
    true = came[rows_of(issued, truth)[:, None], np.clip(at, 0, came.shape[1] - 1)]
    return np.asarray(issued.values - np.where(known[..., None], true, np.nan))


def score(
    issued: IssuedForecasts, truth: HourGrid, usual: ReferenceModel | None, first: np.datetime64, days: int
) -> list[dict[str, Any]]:
    """Rows of the table `verification` (without `hindcast`) for the valid times of some days, from `first` on.

    Args:
        truth: hours of all the stations, reaching back to the base hours of the forecasts.
        usual: of the damped anomaly; None where no model has been trained.
    """
    if not len(issued):
        return []
    versions = sorted(set(issued.versions))
    number = np.array([versions.index(version) for version in issued.versions])
    stations = len(truth.stations)
    shape = (len(versions), stations, days, len(LEADS), len(VARIABLES))
    sums = {name: np.zeros(int(np.prod(shape))) for name in SUMS}
    for begin in range(0, len(issued), CHUNK):
        part = issued.part(slice(begin, begin + CHUNK))
        error = errors(part, truth)
        rows = rows_of(part, truth)
        valid = part.base[:, None] + np.array(LEADS)
        day = (valid.astype("datetime64[D]") - first).astype(np.int64)
        error[(day < 0) | (day >= days)] = np.nan
        group = (number[begin : begin + CHUNK] * stations + rows)[:, None] * days + np.clip(day, 0, days - 1)
        group = group[..., None] * len(LEADS) + (np.array(LEADS) - 1)[:, None]
        group = group * len(VARIABLES) + np.arange(len(VARIABLES))
        for name, terms in _terms(part, error, truth, rows, usual).items():
            known = np.isfinite(terms)
            sums[name] += np.bincount(group[known], weights=terms[known], minlength=len(sums[name]))
    return _rows(versions, truth, first, shape, sums)


def _terms(
    part: IssuedForecasts,
    error: npt.NDArray[np.float64],
    truth: HourGrid,
    rows: npt.NDArray[np.int64],
    usual: ReferenceModel | None,
) -> dict[str, npt.NDArray[np.float64]]:
    """What is summed up, by the names of `SUMS`; NaN does not count."""
    true = part.values - error
    one = np.where(np.isfinite(error), 1.0, np.nan)
    made = {"n": one, "abs": np.abs(error), "square": error**2, "error": error}
    for level, suffix in ((0.8, "80"), (0.9, "90")):
        said = np.isfinite(part.lower[level]) & np.isfinite(error)
        inside = (true >= part.lower[level] - ROUNDING) & (true <= part.upper[level] + ROUNDING)
        made[f"n_{suffix}"] = np.where(said, 1.0, np.nan)
        made[f"in_{suffix}"] = np.where(said, inside.astype(float), np.nan)
    base = (part.base - truth.start).astype(np.int64)
    by_persistence = np.abs(persistence(truth, rows, base) - true)
    by_damped = (
        np.abs(damped_anomaly(truth, rows, base, usual) - true) if usual else np.full_like(by_persistence, np.nan)
    )
    compared = np.isfinite(by_persistence) & np.isfinite(by_damped) & np.isfinite(error)
    both = {"n_base": one, "abs_base": made["abs"], "persistence": by_persistence, "damped": by_damped}
    return made | {name: np.where(compared, terms, np.nan) for name, terms in both.items()}


def _rows(
    versions: list[str],
    truth: HourGrid,
    first: np.datetime64,
    shape: tuple[int, ...],
    sums: dict[str, npt.NDArray[np.float64]],
) -> list[dict[str, Any]]:
    def mean(total: str, count: str, i: int) -> float | None:
        return float(sums[total][i] / sums[count][i]) if sums[count][i] else None

    rows = []
    for i in np.flatnonzero(sums["n"]).tolist():
        version, station, day, lead, variable = (int(axis) for axis in np.unravel_index(i, shape))
        on: date = (first + np.timedelta64(day, "D")).astype("datetime64[D]").item()
        rows.append(
            {
                "version": versions[version],
                "day": on,
                "station_id": truth.stations[station].station_id,
                "variable": VARIABLES[variable],
                "lead": LEADS[lead],
                "n": int(sums["n"][i]),
                "mae": mean("abs", "n", i),
                "rmse": float(np.sqrt(sums["square"][i] / sums["n"][i])),
                "bias": mean("error", "n", i),
                "coverage_80": mean("in_80", "n_80", i),
                "coverage_90": mean("in_90", "n_90", i),
                "n_baselines": int(sums["n_base"][i]),
                "mae_compared": mean("abs_base", "n_base", i),
                "mae_persistence": mean("persistence", "n_base", i),
                "mae_damped": mean("damped", "n_base", i),
            }
        )
    return rows


def paired(
    one: IssuedForecasts, other: IssuedForecasts, truth: HourGrid, first: np.datetime64, days: int
) -> list[dict[str, Any]]:
    """Mean absolute errors of two versions on the same cases, by valid hour and variable; rows of `paired_losses`.

    A case is a station, the reading that was answered, and a lead. `one` is the champion. Without the columns of who
    they are.
    """
    place = {key: i for i, key in enumerate(zip(other.station_ids, other.at.tolist(), strict=True))}
    keys = list(zip(one.station_ids, one.at.tolist(), strict=True))
    mine = np.array([i for i, key in enumerate(keys) if key in place], dtype=np.int64)
    if not len(mine):
        return []
    theirs = np.array([place[keys[i]] for i in mine], dtype=np.int64)
    losses = [np.abs(errors(made, truth)) for made in (one.part(mine), other.part(theirs))]
    hour = (one.base[mine][:, None] + np.array(LEADS) - first.astype("datetime64[h]")).astype(np.int64)
    inside = (hour >= 0) & (hour < 24 * days)
    both = np.isfinite(losses[0]) & np.isfinite(losses[1]) & inside[..., None]
    group = np.clip(hour, 0, 24 * days - 1)[..., None] * len(VARIABLES) + np.arange(len(VARIABLES))
    size = 24 * days * len(VARIABLES)
    count = np.bincount(group[both], minlength=size)
    totals = [np.bincount(group[both], weights=loss[both], minlength=size) for loss in losses]
    return [
        {
            "valid_hour": first.astype("datetime64[h]") + np.timedelta64(int(i) // len(VARIABLES), "h"),
            "variable": VARIABLES[int(i) % len(VARIABLES)],
            "n": int(count[i]),
            "champion_mae": float(totals[0][i] / count[i]),
            "challenger_mae": float(totals[1][i] / count[i]),
        }
        for i in np.flatnonzero(count)
    ]
