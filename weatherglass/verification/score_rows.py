"""Scores of issued forecasts, aggregated by version, station, UTC day of the valid time, lead and variable."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification.baselines import ReferenceModel, damped_anomaly, persistence
from weatherglass.verification.forecasts import IssuedForecasts
from weatherglass.verification.score_groups import ScoreGroups
from weatherglass.verification.scores import absolute_error, error, inside, interval_crps, percentage_error

CHUNK = 2_000
"""Forecasts per batch; limits the memory."""
ROUNDING = 1e-3
"""Tolerance of the intervals: bounds in records have two decimals, observations seven significant digits."""
SUMS = (
    *("n", "abs", "square", "error", "n_percentage", "percentage", "n_crps", "crps"),
    *("n_80", "in_80", "n_90", "in_90", "n_base", "abs_base", "persistence", "damped"),
)
"""Quantities that are summed for each group."""


def grid_rows(issued: IssuedForecasts, grid: HourGrid) -> npt.NDArray[np.int64]:
    """Row of each forecast's station in the grid. Raises KeyError for a station that is not in the grid."""
    row = {station.station_id: i for i, station in enumerate(grid.stations)}
    return np.array([row[station_id] for station_id in issued.station_ids], dtype=np.int64)


def errors(issued: IssuedForecasts, observed: HourGrid) -> npt.NDArray[np.float64]:
    """(n, leads, variables) forecast minus observation; NaN where either is missing.

    Args:
        observed: a grid with all stations of the forecasts.
    """
    values = model_variables(observed.values)[..., : len(VARIABLES)].astype(np.float64)
    at = observed.positions(issued.base)[:, None] + np.array(LEADS)
    in_grid = (at >= 0) & (at < values.shape[1])
    valid = values[grid_rows(issued, observed)[:, None], np.clip(at, 0, values.shape[1] - 1)]
    return np.asarray(error(issued.values, np.where(in_grid[..., None], valid, np.nan)))


def score(
    issued: IssuedForecasts, observed: HourGrid, reference: ReferenceModel | None, first: np.datetime64, days: int
) -> list[dict[str, Any]]:
    """Rows of the table `verification` (without `hindcast`) for `days` UTC days of valid times from `first` on.

    Args:
        observed: hours of all stations, reaching back to the base hours of the forecasts.
        reference: model of the damped anomaly; None before the first training.
    """
    if not len(issued):
        return []
    station_ids = [station.station_id for station in observed.stations]
    groups = ScoreGroups(sorted(set(issued.versions)), station_ids, first, days)
    sums = {name: np.zeros(int(np.prod(groups.shape))) for name in SUMS}
    for begin in range(0, len(issued), CHUNK):
        chunk = issued.select(slice(begin, begin + CHUNK))
        group = groups.index(chunk)
        terms = _terms(chunk, errors(chunk, observed), observed, grid_rows(chunk, observed), reference)
        for name, values in terms.items():
            sums[name] += groups.sums(group, values)
    return _rows(groups, sums)


def _terms(
    issued: IssuedForecasts,
    issued_errors: npt.NDArray[np.float64],
    observed: HourGrid,
    rows: npt.NDArray[np.int64],
    reference: ReferenceModel | None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Terms of each sum of `SUMS`, (n, leads, variables); NaN does not count."""
    valid = issued.values - issued_errors
    one = np.where(np.isfinite(issued_errors), 1.0, np.nan)
    terms = {"n": one, "abs": np.abs(issued_errors), "square": issued_errors**2, "error": issued_errors}
    measures = {
        "percentage": percentage_error(issued.values, valid),
        "crps": interval_crps(valid, issued.values, issued.lower, issued.upper),
    }
    for name, values in measures.items():
        terms |= {name: values, f"n_{name}": np.where(np.isfinite(values), 1.0, np.nan)}
    for level, suffix in ((0.8, "80"), (0.9, "90")):
        hit = inside(valid, issued.lower[level], issued.upper[level], ROUNDING)
        terms[f"n_{suffix}"] = np.where(np.isfinite(hit), 1.0, np.nan)
        terms[f"in_{suffix}"] = hit
    base = observed.positions(issued.base)
    by_persistence = absolute_error(persistence(observed, rows, base), valid)
    by_damped = (
        absolute_error(damped_anomaly(observed, rows, base, reference), valid)
        if reference
        else np.full_like(by_persistence, np.nan)
    )
    compared = np.isfinite(by_persistence) & np.isfinite(by_damped) & np.isfinite(issued_errors)
    baselines = {"n_base": one, "abs_base": terms["abs"], "persistence": by_persistence, "damped": by_damped}
    return terms | {name: np.where(compared, values, np.nan) for name, values in baselines.items()}


def _rows(groups: ScoreGroups, sums: dict[str, npt.NDArray[np.float64]]) -> list[dict[str, Any]]:
    def mean(total: str, count: str, i: int) -> float | None:
        return float(sums[total][i] / sums[count][i]) if sums[count][i] else None

    rows = []
    for i in np.flatnonzero(sums["n"]).tolist():
        rows.append(
            {
                **groups.key(i),
                "n": int(sums["n"][i]),
                "mae": mean("abs", "n", i),
                "rmse": float(np.sqrt(sums["square"][i] / sums["n"][i])),
                "bias": mean("error", "n", i),
                "n_mape": int(sums["n_percentage"][i]),
                "mape": mean("percentage", "n_percentage", i),
                "crps": mean("crps", "n_crps", i),
                "coverage_80": mean("in_80", "n_80", i),
                "coverage_90": mean("in_90", "n_90", i),
                "n_baselines": int(sums["n_base"][i]),
                "mae_compared": mean("abs_base", "n_base", i),
                "mae_persistence": mean("persistence", "n_base", i),
                "mae_damped": mean("damped", "n_base", i),
            }
        )
    return rows


def paired_losses(
    champion: IssuedForecasts, challenger: IssuedForecasts, observed: HourGrid, first: np.datetime64, days: int
) -> list[dict[str, Any]]:
    """Mean absolute errors of two versions on the same cases, by valid hour and variable.

    A case is a station, the time of the observation on which the forecast is based, and a lead.

    Returns:
        Rows of the table `paired_losses` without `champion`, `challenger` and `hindcast`.
    """
    index = {key: i for i, key in enumerate(zip(challenger.station_ids, challenger.observed_at.tolist(), strict=True))}
    keys = list(zip(champion.station_ids, champion.observed_at.tolist(), strict=True))
    common = np.array([i for i, key in enumerate(keys) if key in index], dtype=np.int64)
    if not len(common):
        return []
    pairs = (champion.select(common), challenger.select(np.array([index[keys[i]] for i in common], dtype=np.int64)))
    losses = [np.abs(errors(issued, observed)) for issued in pairs]
    hour = (champion.base[common][:, None] + np.array(LEADS) - first.astype("datetime64[h]")).astype(np.int64)
    in_range = (hour >= 0) & (hour < 24 * days)
    both = np.isfinite(losses[0]) & np.isfinite(losses[1]) & in_range[..., None]
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
