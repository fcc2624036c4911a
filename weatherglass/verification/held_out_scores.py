"""How good a forecaster is on hours it has not seen, beside the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import features
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.forecaster import LEVELS, Forecaster
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import bounded, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

BASELINES = ("persistence", "climatology", "damped_anomaly")
SKILL_LEADS = tuple(range(6, 25, 3))
"""Leads over which skill is summed up, hours."""
CHUNK = 2_000


@dataclass(frozen=True)
class Scores:
    """Scores on held-out hours; axes (leads, variables), NaN where there was no truth.

    Attributes:
        mae: name of the model or baseline -> mean absolute error. The model is called `model`.
        bias: (leads, variables) mean of forecast minus truth.
        coverage: level -> share of the truth inside the interval.
        residuals: (variables, k) absolute errors at leads 1-3 h in half-widths of the 90 % interval, NaN-padded.
        cases: number of forecasts.
    """

    mae: dict[str, npt.NDArray[np.float64]]
    bias: npt.NDArray[np.float64]
    coverage: dict[float, npt.NDArray[np.float64]]
    residuals: npt.NDArray[np.float64]
    cases: int

    def skill(self, against: str = "damped_anomaly") -> npt.NDArray[np.float64]:
        """1 - MAE / MAE of a baseline, (variables,), mean over `SKILL_LEADS`."""
        at = np.array(SKILL_LEADS) - 1
        return (1 - self.mae["model"][at] / self.mae[against][at]).mean(axis=0)

    def mean_mae(self, who: str) -> npt.NDArray[np.float64]:
        """(variables,), mean over `SKILL_LEADS`."""
        return self.mae[who][np.array(SKILL_LEADS) - 1].mean(axis=0)

    def metrics(self) -> dict[str, float]:
        """Flat names and numbers for the registry: MAE and coverage of each variable and lead, and the skills."""
        flat = {}
        skill = self.skill()
        for v, variable in enumerate(VARIABLES):
            flat[f"skill.{variable}"] = skill[v]
            for lead in LEADS:
                for who, errors in self.mae.items():
                    flat[f"mae.{who}.{variable}.lead{lead:02d}"] = errors[lead - 1, v]
                for level, share in self.coverage.items():
                    flat[f"coverage{level * 100:.0f}.{variable}.lead{lead:02d}"] = share[lead - 1, v]
        return {name: float(value) for name, value in flat.items() if np.isfinite(value)}


def evaluate(
    grid: HourGrid,
    hours: npt.NDArray[np.bool_],
    forecaster: Forecaster,
    climatology: Climatology,
    damping: DampedAnomaly,
    max_cases: int,
) -> Scores:
    """Score a forecaster on base hours within `hours`, evenly spread, of stations that have a temperature then.

    Baselines use the given climatology and damping. Baselines, model and truth are compared on the same cases.
    """
    seen = features.view(grid, climatology)
    candidates = base_hours(hours)
    present = np.isfinite(seen.present[:, candidates, 0]) & (seen.rows >= 0)[:, None]
    step = max(1, int(np.ceil(present.sum() / max_cases)))
    while gcd(step, 24) > 1:  # so that every hour of the day is visited
        step += 1
    at, stations = np.nonzero(present.T[::step])
    base = candidates[::step][at]
    variables = slice(0, len(VARIABLES))
    errors: dict[str, list[npt.NDArray]] = {name: [] for name in ("model", *BASELINES)}
    bias, residuals = [], []
    inside: dict[float, list[npt.NDArray]] = {level: [] for level in LEVELS}
    for begin in range(0, len(base), CHUNK):
        rows, when = stations[begin : begin + CHUNK], base[begin : begin + CHUNK]
        made = forecaster.forecast(grid, rows.tolist(), when.tolist())
        truth = seen.present[rows[:, None], when[:, None] + np.array(LEADS), variables].astype(np.float64)
        cases = features.cases(seen, damping, rows, when)
        last = model_variables(grid.values[rows, when])[:, None, variables].astype(np.float64)
        answers = {
            "model": made.values,
            "persistence": np.broadcast_to(last, truth.shape),
            "climatology": bounded(cases.normal),
            "damped_anomaly": bounded(cases.normal + cases.damped),
        }
        comparable = np.isfinite(truth) & np.all([np.isfinite(answer) for answer in answers.values()], axis=0)
        truth = np.where(comparable, truth, np.nan)
        for name, answer in answers.items():
            errors[name].append(np.abs(answer - truth))
        bias.append(made.values - truth)
        for level in LEVELS:
            hit = (truth >= made.lower[level]) & (truth <= made.upper[level])
            inside[level].append(np.where(comparable, hit, np.nan))
        half = np.maximum((made.upper[0.9] - made.lower[0.9]) / 2, 1e-3)
        residuals.append((np.abs(made.values - truth) / half)[:, :3].reshape(-1, len(VARIABLES)))
    return Scores(
        {name: _mean(parts) for name, parts in errors.items()},
        _mean(bias),
        {level: _mean(parts) for level, parts in inside.items()},
        np.concatenate(residuals).T if residuals else np.empty((len(VARIABLES), 0)),
        len(base),
    )


def _mean(parts: list[npt.NDArray]) -> npt.NDArray[np.float64]:
    shape = (len(LEADS), len(VARIABLES))
    values = np.concatenate(parts) if parts else np.empty((0, *shape))
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
