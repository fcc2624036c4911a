"""Scores of a forecaster and of the baselines on held-out hours of the history."""

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
from weatherglass.forecast.variables import clip_to_limits, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification import scores

MODEL = "model"
BASELINES = ("persistence", "climatology", "damped_anomaly")
RESIDUAL_LEADS = 3
RESIDUAL_LEVEL = 0.9
MIN_HALF_WIDTH = 1e-3
CHUNK = 2_000
"""Cases per batch; limits the memory."""


@dataclass(frozen=True)
class HeldOutScores:
    """Scores on held-out hours; axes (leads, variables), NaN without observations.

    Attributes:
        mae: name of the baseline, or `model` -> mean absolute error.
        bias: mean of forecast minus observation.
        rmse: root mean square error.
        mape: mean of `scores.percentage_error`, in %.
        crps: mean of `scores.interval_crps`.
        coverage: level -> share of observations inside the interval.
        residuals: (variables, k) absolute errors at leads 1-3 h in half-widths of the 90 % interval, NaN-padded.
        cases: number of forecasts.
    """

    mae: dict[str, npt.NDArray[np.float64]]
    bias: npt.NDArray[np.float64]
    rmse: npt.NDArray[np.float64]
    mape: npt.NDArray[np.float64]
    crps: npt.NDArray[np.float64]
    coverage: dict[float, npt.NDArray[np.float64]]
    residuals: npt.NDArray[np.float64]
    cases: int

    def skill(self, baseline: str = "damped_anomaly") -> npt.NDArray[np.float64]:
        """Skill against a baseline, (variables,), mean over `scores.SKILL_LEADS`."""
        return scores.mean_skill(self.mae[MODEL], self.mae[baseline])

    def mean_mae(self, name: str) -> npt.NDArray[np.float64]:
        """MAE of the model or a baseline, (variables,), mean over `scores.SKILL_LEADS`."""
        return scores.lead_mean(self.mae[name])

    def metrics(self) -> dict[str, float]:
        """Metrics for the registry: number of cases, skill and CRPS by variable, all others by variable and lead."""
        flat: dict[str, float] = {"cases": self.cases} if self.cases else {}
        skill = self.skill()
        for v, variable in enumerate(VARIABLES):
            flat[f"skill.{variable}"] = skill[v]
            flat[f"crps.{variable}"] = scores.lead_mean(self.crps)[v]
            for lead in LEADS:
                for name, errors in self.mae.items():
                    flat[f"mae.{name}.{variable}.lead{lead:02d}"] = errors[lead - 1, v]
                for name in ("rmse", "bias", "mape", "crps"):
                    flat[f"{name}.{variable}.lead{lead:02d}"] = getattr(self, name)[lead - 1, v]
                for level, share in self.coverage.items():
                    flat[f"coverage{level * 100:.0f}.{variable}.lead{lead:02d}"] = share[lead - 1, v]
        return {name: float(value) for name, value in flat.items() if np.isfinite(value)}


def spread_cases(
    known: npt.NDArray[np.bool_], base: npt.NDArray[np.int64], max_cases: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Select about `max_cases` cases at most, spread evenly over time.

    The step between base hours has no common divisor with 24, so that every hour of the day occurs.

    Args:
        known: (stations, base hours) whether the case can be scored.
        base: (base hours,) hours of the grid.

    Returns:
        Station rows and base hours of the cases, ordered by hour.
    """
    step = max(1, int(np.ceil(known.sum() / max_cases)))
    while gcd(step, 24) > 1:
        step += 1
    at, rows = np.nonzero(known.T[::step])
    return rows, base[::step][at]


def evaluate(
    grid: HourGrid,
    hours: npt.NDArray[np.bool_],
    forecaster: Forecaster,
    climatology: Climatology,
    damping: DampedAnomaly,
    max_cases: int,
) -> HeldOutScores:
    """Score a forecaster on base hours within `hours`, of stations in the climatology that have a temperature then.

    The baselines use the given climatology and damping. Model and baselines are scored on the same cases.
    """
    inputs = features.model_inputs(grid, climatology)
    candidates = base_hours(hours)
    known = np.isfinite(inputs.values[:, candidates, 0]) & (inputs.climatology_rows >= 0)[:, None]
    all_rows, all_base = spread_cases(known, candidates, max_cases)
    variables = slice(0, len(VARIABLES))
    errors: dict[str, list[npt.NDArray]] = {name: [] for name in (MODEL, *BASELINES)}
    bias, squares, percentages, crps, residuals = [], [], [], [], []
    inside: dict[float, list[npt.NDArray]] = {level: [] for level in LEVELS}
    for begin in range(0, len(all_base), CHUNK):
        rows, base = all_rows[begin : begin + CHUNK], all_base[begin : begin + CHUNK]
        forecast = forecaster.forecast(grid, rows.tolist(), base.tolist())
        observed = inputs.values[rows[:, None], base[:, None] + np.array(LEADS), variables].astype(np.float64)
        cases = features.case_features(inputs, damping, rows, base)
        last = model_variables(grid.values[rows, base])[:, None, variables].astype(np.float64)
        forecasts = {
            MODEL: forecast.values,
            "persistence": np.broadcast_to(last, observed.shape),
            "climatology": clip_to_limits(cases.normal),
            "damped_anomaly": clip_to_limits(cases.normal + cases.damped),
        }
        comparable = np.isfinite(observed) & np.all([np.isfinite(values) for values in forecasts.values()], axis=0)
        observed = np.where(comparable, observed, np.nan)
        for name, values in forecasts.items():
            errors[name].append(scores.absolute_error(values, observed))
        bias.append(scores.error(forecast.values, observed))
        squares.append(bias[-1] ** 2)
        percentages.append(scores.percentage_error(forecast.values, observed))
        crps.append(scores.interval_crps(observed, forecast.values, forecast.lower, forecast.upper))
        for level in LEVELS:
            inside[level].append(scores.inside(observed, forecast.lower[level], forecast.upper[level]))
        half_width = (forecast.upper[RESIDUAL_LEVEL] - forecast.lower[RESIDUAL_LEVEL]) / 2
        relative = errors[MODEL][-1] / np.maximum(half_width, MIN_HALF_WIDTH)
        residuals.append(relative[:, :RESIDUAL_LEADS].reshape(-1, len(VARIABLES)))
    return HeldOutScores(
        {name: _mean(chunks) for name, chunks in errors.items()},
        _mean(bias),
        np.sqrt(_mean(squares)),
        _mean(percentages),
        _mean(crps),
        {level: _mean(chunks) for level, chunks in inside.items()},
        np.concatenate(residuals).T if residuals else np.empty((len(VARIABLES), 0)),
        len(all_base),
    )


def _mean(chunks: list[npt.NDArray]) -> npt.NDArray[np.float64]:
    return scores.mean(np.concatenate([np.empty((0, len(LEADS), len(VARIABLES))), *chunks]))
