"""All figures of an evaluation as plain numbers, ready to be kept as JSON and shown on a page."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.evaluation import metrics
from weatherglass.evaluation.held_out import BASELINES, HeldOut, forecast
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification import scores
from weatherglass.verification.held_out_scores import MODEL
from weatherglass.verification.scores import SKILL_LEADS

SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
PASTS = (1, 6, 24)
"""Hours of own past that a station is left with, to see what the rest is worth."""
PAST_STATIONS = 36
MIN_CASES = 100
"""A station with fewer cases is not called the best or the worst."""


def of(held_out: HeldOut, rivals: tuple[str, ...] = ()) -> dict[str, Any]:
    """Errors by lead, skill beside each baseline, intervals, and the same by station and season."""
    ours = metrics.mae(held_out, MODEL)
    names = [who for who in (*BASELINES, *rivals) if np.isfinite(held_out.forecasts[who]).any()]
    errors = {who: metrics.mae(held_out, who) for who in (MODEL, *BASELINES)}
    best = np.min([errors[who] for who in BASELINES], axis=0)
    month = held_out.base.astype("datetime64[M]").astype(np.int64) % 12 + 1
    seasons = {name: np.isin(month, months) for name, months in SEASONS.items()}
    stations = {held_out.station_ids[row]: held_out.stations == row for row in np.unique(held_out.stations)}
    return {
        "cases": len(held_out.base),
        "first": str(held_out.base.min()),
        "last": str(held_out.base.max()),
        "mae": {who: _by_variable(error) for who, error in errors.items()},
        "skill": {who: _skill(held_out, who) for who in names},
        "gain_over_best": _by_variable(scores.skill(ours, best)),
        "bias": _by_variable(scores.mean(scores.error(held_out.forecasts[MODEL], held_out.observed))),
        "coverage": coverage(held_out),
        "width": {
            f"{level:.0%}": _by_variable(scores.mean(held_out.upper[level] - held_out.lower[level]))
            for level in held_out.lower
        },
        "crps": _by_variable(metrics.crps(held_out)),
        "by_season": {name: _group(held_out, cases) for name, cases in seasons.items() if cases.any()},
        "by_station": {name: _group(held_out, cases) for name, cases in stations.items()},
    }


def coverage(held_out: HeldOut) -> dict[str, Any]:
    """Share of the truth that each interval holds: level -> variable -> by lead."""
    return {f"{level:.0%}": _by_variable(metrics.coverage(held_out, level)) for level in held_out.lower}


def little_past(grid: HourGrid, held_out: HeldOut, forecaster: BoostedForecaster) -> dict[str, dict[str, float]]:
    """Skill against the damped anomaly of stations whose own past is cut off, their neighbours' is not.

    Each station is cut alone, at base hours that are `apart`.
    """
    stations = np.unique(held_out.stations)[:: max(1, len(np.unique(held_out.stations)) // PAST_STATIONS)]
    parts: dict[int, list[HeldOut]] = {hours: [] for hours in (*PASTS, PAST_HOURS + 1)}
    for station in stations:
        at = apart((held_out.base[held_out.stations == station] - grid.start).astype(np.int64))
        first = int(at.min()) - PAST_HOURS
        for hours, kept in parts.items():
            values = grid.values[:, first : int(at.max()) + LEADS[-1] + 1].copy()
            for hour in at - first:
                values[station, hour - PAST_HOURS : hour - hours + 1] = np.nan
            cut = HourGrid(grid.stations, grid.start + first, values)
            rows = np.full(len(at), station)
            kept.append(forecast(cut, rows, at - first, forecaster, forecaster.climatology, forecaster.damping))
    whole = parts[PAST_HOURS + 1]
    made = {}
    for hours, cases in parts.items():
        known = [
            np.isfinite(a.observed) & np.isfinite(b.forecasts["damped_anomaly"])
            for a, b in zip(cases, whole, strict=True)
        ]
        ours, theirs = (
            scores.mean(
                np.concatenate(
                    [
                        np.where(k, scores.absolute_error(x.forecasts[who], x.observed), np.nan)
                        for x, k in zip(group, known, strict=True)
                    ]
                )
            )
            for group, who in ((cases, MODEL), (whole, "damped_anomaly"))
        )
        made[str(min(hours, PAST_HOURS))] = _named(scores.mean_skill(ours, theirs))
    return made


def apart(base: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of base hours those so far apart that what is cut off before one is neither past nor truth of another."""
    made: list[int] = []
    for hour in np.sort(base).tolist():
        if not made or hour - made[-1] > PAST_HOURS + LEADS[-1]:
            made.append(hour)
    return np.array(made, dtype=np.int64)


def _group(held_out: HeldOut, cases: npt.NDArray[np.bool_]) -> dict[str, Any]:
    ours, theirs = (metrics.mae(held_out, who, cases) for who in (MODEL, "damped_anomaly"))
    return {
        "cases": int(cases.sum()),
        "mae": _named(scores.lead_mean(ours)),
        "skill": _named(scores.mean_skill(ours, theirs)),
        "coverage": {
            f"{level:.0%}": _named(scores.mean(metrics.coverage(held_out, level, cases))) for level in held_out.lower
        },
    }


def _skill(held_out: HeldOut, against: str) -> dict[str, list[float | None]]:
    both = held_out.comparable(against)
    ours, theirs = (
        scores.mean(scores.absolute_error(held_out.forecasts[who], held_out.observed), both) for who in (MODEL, against)
    )
    value = scores.mean_skill(ours, theirs)
    low, high = metrics.skill_interval(held_out, against, SKILL_LEADS)
    return {name: [_plain(x[v]) for x in (value, low, high)] for v, name in enumerate(VARIABLES)}


def _by_variable(values: npt.NDArray) -> dict[str, list[float | None]]:
    return {name: [_plain(x) for x in values[:, v]] for v, name in enumerate(VARIABLES)}


def _named(values: npt.NDArray) -> dict[str, Any]:
    return {name: _plain(values[v]) for v, name in enumerate(VARIABLES)}


def _plain(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
