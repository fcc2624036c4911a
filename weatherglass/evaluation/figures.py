"""The figures of an evaluation as plain numbers that can be stored as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.evaluation import skill_uncertainty
from weatherglass.evaluation.held_out import BASELINES, HeldOut, forecast
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification import scores
from weatherglass.verification.held_out_scores import MODEL
from weatherglass.verification.scores import SKILL_LEADS

SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
REFERENCE = "damped_anomaly"
"""Baseline of the skill by station, season and hours of own past."""
SHORT_PASTS = (1, 6, 24)
"""Hours of own past that a station keeps in `short_past_skill`."""
SHORT_PAST_STATIONS = 36


def summarize(held_out: HeldOut, extra_baselines: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return errors by lead, skill against each baseline, interval coverage, and figures by station and season.

    Args:
        extra_baselines: further names in `HeldOut.forecasts` against which the skill is computed.
    """
    names = [name for name in (*BASELINES, *extra_baselines) if np.isfinite(held_out.forecasts[name]).any()]
    errors = {name: skill_uncertainty.mae(held_out, name) for name in (MODEL, *BASELINES)}
    best = np.fmin.reduce([errors[name] for name in BASELINES])
    month = held_out.base.astype("datetime64[M]").astype(np.int64) % 12 + 1
    seasons = {name: np.isin(month, months) for name, months in SEASONS.items()}
    stations = {held_out.station_ids[row]: held_out.stations == row for row in np.unique(held_out.stations)}
    return {
        "cases": len(held_out.base),
        "first": str(held_out.base.min()),
        "last": str(held_out.base.max()),
        "mae": {name: _by_variable(error) for name, error in errors.items()},
        "skill": {name: _skill(held_out, name) for name in names},
        "gain_over_best": _by_variable(scores.skill(errors[MODEL], best)),
        "bias": _by_variable(scores.mean(scores.error(held_out.forecasts[MODEL], held_out.observed))),
        "rmse": _by_variable(np.sqrt(scores.mean(scores.error(held_out.forecasts[MODEL], held_out.observed) ** 2))),
        "mape": _by_variable(scores.mean(scores.percentage_error(held_out.forecasts[MODEL], held_out.observed))),
        "coverage": coverage(held_out),
        "width": {
            f"{level:.0%}": _by_variable(scores.mean(held_out.upper[level] - held_out.lower[level]))
            for level in held_out.lower
        },
        "crps": _by_variable(skill_uncertainty.crps(held_out)),
        "by_season": {name: _group(held_out, cases) for name, cases in seasons.items() if cases.any()},
        "by_station": {name: _group(held_out, cases) for name, cases in stations.items()},
    }


def coverage(held_out: HeldOut) -> dict[str, Any]:
    """Return the coverage of each interval: level -> variable -> by lead."""
    return {f"{level:.0%}": _by_variable(skill_uncertainty.coverage(held_out, level)) for level in held_out.lower}


def short_past_skill(grid: HourGrid, held_out: HeldOut, forecaster: BoostedForecaster) -> dict[str, dict[str, float]]:
    """Return the skill against the damped anomaly by hours of own past, for stations whose earlier past is removed.

    Values are removed at one station at a time, at the base hours of `separate_base_hours`. The damped anomaly keeps
    its full past.
    """
    stations = np.unique(held_out.stations)
    cases_by_past: dict[int, list[HeldOut]] = {hours: [] for hours in (*SHORT_PASTS, PAST_HOURS + 1)}
    for station in stations[:: max(1, len(stations) // SHORT_PAST_STATIONS)]:
        base = separate_base_hours(grid.positions(held_out.base[held_out.stations == station]))
        first = int(base.min()) - PAST_HOURS
        for hours, cases in cases_by_past.items():
            part = grid.part(first, int(base.max()) + LEADS[-1] + 1)
            values = part.values.copy()
            for hour in base - first:
                values[station, hour - PAST_HOURS : hour - hours + 1] = np.nan
            cut = part.with_values(values)
            rows = np.full(len(base), station)
            cases.append(forecast(cut, rows, base - first, forecaster, forecaster.climatology, forecaster.damping))
    full_past = cases_by_past[PAST_HOURS + 1]
    skill = {}
    for hours, short_past in cases_by_past.items():
        known = [
            np.isfinite(short.observed) & np.isfinite(full.forecasts[REFERENCE])
            for short, full in zip(short_past, full_past, strict=True)
        ]
        model_mae, baseline_mae = (
            _mae_where(cases, name, known) for cases, name in ((short_past, MODEL), (full_past, REFERENCE))
        )
        skill[str(min(hours, PAST_HOURS))] = _named(scores.mean_skill(model_mae, baseline_mae))
    return skill


def _mae_where(cases: list[HeldOut], name: str, known: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.float64]:
    errors = [
        np.where(where, scores.absolute_error(group.forecasts[name], group.observed), np.nan)
        for group, where in zip(cases, known, strict=True)
    ]
    return scores.mean(np.concatenate(errors))


def separate_base_hours(base: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Select base hours so far apart that the past of one includes neither the past nor the leads of another."""
    selected: list[int] = []
    for hour in np.sort(base).tolist():
        if not selected or hour - selected[-1] > PAST_HOURS + LEADS[-1]:
            selected.append(hour)
    return np.array(selected, dtype=np.int64)


def _group(held_out: HeldOut, cases: npt.NDArray[np.bool_]) -> dict[str, Any]:
    model_mae, baseline_mae = (skill_uncertainty.mae(held_out, name, cases) for name in (MODEL, REFERENCE))
    return {
        "cases": int(cases.sum()),
        "mae": _named(scores.lead_mean(model_mae)),
        "skill": _named(scores.mean_skill(model_mae, baseline_mae)),
        "coverage": {
            f"{level:.0%}": _named(scores.mean(skill_uncertainty.coverage(held_out, level, cases)))
            for level in held_out.lower
        },
    }


def _skill(held_out: HeldOut, baseline: str) -> dict[str, list[float | None]]:
    comparable = held_out.comparable(baseline)
    model_mae, baseline_mae = (
        scores.mean(scores.absolute_error(held_out.forecasts[name], held_out.observed), comparable)
        for name in (MODEL, baseline)
    )
    skill = scores.mean_skill(model_mae, baseline_mae)
    low, high = skill_uncertainty.skill_interval(held_out, baseline, SKILL_LEADS)
    return {variable: [_plain(x[v]) for x in (skill, low, high)] for v, variable in enumerate(VARIABLES)}


def _by_variable(values: npt.NDArray) -> dict[str, list[float | None]]:
    return {name: [_plain(x) for x in values[:, v]] for v, name in enumerate(VARIABLES)}


def _named(values: npt.NDArray) -> dict[str, Any]:
    return {name: _plain(values[v]) for v, name in enumerate(VARIABLES)}


def _plain(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
