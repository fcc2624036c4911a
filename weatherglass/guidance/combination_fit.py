"""Fit the combination on past forecasts of stations, and choose on held-out days where it is used.

The days are cut into `FOLDS` parts, and each is forecast by a regression on the others. For each lead and variable the
best of three serves, by the errors of these forecasts: the combination, the guidance as it is, or the station's own
forecast. Intervals are scaled to the same errors. The regression that serves is fitted on all days.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import conformal_quantiles
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.interval_factors import LevelBounds, normalized_errors
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.error_regression import fit as fit_regression
from weatherglass.guidance.known_runs import KnownGuidance
from weatherglass.guidance.recent_errors import REGRESSORS, Array, checked_errors, combine_models
from weatherglass.records import LEADS, VARIABLES

MIN_DAYS = 14
"""Days with guidance and observations below which nothing is fitted."""
FOLDS = 3
GAP_DAYS = 2
"""Days before and after a part that are not used to forecast it: weather is correlated, and a forecast takes a day."""
MIN_CASES = 100
"""Forecasts of a lead and variable below which the station's own forecast serves."""
MIN_GAIN = 0.01
"""Share of the error of the station's own forecast that guidance must save to be used."""
SMOOTHED_LEADS = 2
"""Leads before and after one whose errors are compared together, because few days decide."""
FACTOR_RANGE = (0.05, 4.0)
"""Limits of the factors of half-widths. Guidance may be far better than the station's own forecast."""
GUIDANCE_ONLY = np.array([1.0, *[0.0] * len(REGRESSORS)])


class TooLittleGuidance(ValueError):
    """There are too few days with guidance and observations to learn from."""


@dataclass(frozen=True)
class PastForecasts:
    """n forecasts of stations alone, and what was observed.

    Attributes:
        base: (n,) base hours, UTC.
        values: (n, leads, variables), recalibrated as in service.
        lower, upper: level -> (n, leads, variables).
        valid: (n, leads, variables) observations at the valid times; NaN where missing.
        past: (n, PAST_HOURS, variables) observations up to the base hour, see `recent_errors.observed_past`.
    """

    base: npt.NDArray[np.datetime64]
    values: Array
    lower: LevelBounds
    upper: LevelBounds
    valid: Array
    past: npt.NDArray[np.float32]


@dataclass(frozen=True)
class FittedCombination:
    """The model, and its scores.

    Attributes:
        mae: name -> (leads, variables) mean absolute error on held-out days of what serves (`served`), of the
            `guidance`, and of the `station` alone, on the same forecasts; NaN where there are too few.
        days, cases: with guidance.
    """

    model: GuidanceCombination
    mae: dict[str, Array]
    days: int
    cases: int

    @property
    def worse_variables(self) -> list[str]:
        """Variables whose error on held-out days is more than `MIN_GAIN` above that of the guidance or the station."""
        metrics, worse = self.metrics(), []
        for name in VARIABLES:
            if (served := metrics.get(f"mae_served.{name}")) is not None:
                best = min(metrics[f"mae_guidance.{name}"], metrics[f"mae_station.{name}"])
                if not served <= best * (1 + MIN_GAIN):
                    worse.append(name)
        return worse

    def metrics(self) -> dict[str, float]:
        """Means over the leads by variable, for the registry."""
        result = {"days": float(self.days), "cases": float(self.cases)}
        for name, errors in self.mae.items():
            for v, variable in enumerate(VARIABLES):
                if np.isfinite(errors[:, v]).any():
                    result[f"mae_{name}.{variable}"] = float(np.nanmean(errors[:, v]))
        return result


def fit(forecasts: PastForecasts, known: KnownGuidance, simulated: bool) -> FittedCombination:
    """Fit the combination.

    Args:
        simulated: whether the guidance is.

    Raises:
        TooLittleGuidance: fewer than `MIN_DAYS` days have guidance and observations.
    """
    usual = _usual_error(forecasts, known)
    usable = combine_models(known, forecasts.past, forecasts.values, usual)
    day = forecasts.base.astype("datetime64[D]").astype(np.int64)
    error = np.where(usable.usable[:, None], forecasts.valid - forecasts.values, np.nan)
    with_error = np.isfinite(error).any(axis=(1, 2))
    days = len(np.unique(day[with_error]))
    if days < MIN_DAYS:
        raise TooLittleGuidance(f"{days} days with guidance and observations, {MIN_DAYS} are needed")
    own = np.zeros((len(LEADS), len(VARIABLES), len(REGRESSORS) + 1))
    fitted, held_out = own.copy(), np.full(error.shape, np.nan)
    for lead in range(len(LEADS)):
        for v in range(len(VARIABLES)):
            cases = np.flatnonzero(np.isfinite(error[:, lead, v]))
            if len(cases) >= MIN_CASES:
                inputs, target = usable.regressors[cases, lead, v], error[cases, lead, v]
                fitted[lead, v] = _regression(inputs, target, day[cases])
                held_out[cases, lead, v] = _held_out(inputs, target, day[cases])
    both = np.isfinite(held_out)
    corrections = {"combined": held_out, "guidance": usable.regressors[..., 0], "station": np.zeros(error.shape)}
    mae = {name: _mean(np.abs(error - made), both) for name, made in corrections.items()}
    choice = _choose(mae)
    only = np.broadcast_to(GUIDANCE_ONLY, own.shape)
    coefficients = np.where((choice == 0)[..., None], fitted, np.where((choice == 1)[..., None], only, own))
    served = np.where(choice == 0, held_out, np.where(choice == 1, corrections["guidance"], 0.0))
    factors = _factors(forecasts, np.where(both & (choice < 2), served, np.nan))
    serving = {"served": np.choose(choice, list(mae.values())), "guidance": mae["guidance"], "station": mae["station"]}
    model = GuidanceCombination(coefficients, factors, usual, simulated)
    return FittedCombination(model, serving, days, int(with_error.sum()))


def _usual_error(forecasts: PastForecasts, known: KnownGuidance) -> Array:
    """(variables,) median of the checked errors of all models and forecasts; 0, which accepts none, without any."""
    error = forecasts.past[:, None].astype(np.float64) - known.past
    checked = checked_errors(error)[..., -1, :].reshape(-1, len(VARIABLES))
    return np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in checked.T])


def _regression(inputs: Array, target: Array, day: npt.NDArray[np.int64]) -> Array:
    """Slopes and intercept (REGRESSORS + 1,) of regressors in their units.

    The penalty draws the forecast to the guidance or to the station's own forecast, whichever has the smaller error.
    """
    difference = inputs[:, REGRESSORS.index("difference")]
    share = float(np.abs(target - difference).mean() < np.abs(target).mean())
    regression = fit_regression(inputs, target - share * difference, len(np.unique(day)))
    slopes = regression.coefficients[:-1] / regression.scale
    intercept = regression.coefficients[-1] - slopes @ regression.centre
    slopes[REGRESSORS.index("difference")] += share
    return np.append(slopes, intercept)


def _held_out(inputs: Array, target: Array, day: npt.NDArray[np.int64]) -> Array:
    """Predictions (n,) of each part of the days by a regression on the others; NaN where these are too few."""
    edges = np.linspace(day.min(), day.max() + 1, FOLDS + 1)
    predicted = np.full(len(target), np.nan)
    for begin, end in pairwise(edges):
        left_out = (day >= begin) & (day < end)
        others = (day < begin - GAP_DAYS) | (day >= end + GAP_DAYS)
        if others.sum() >= MIN_CASES // 2:
            coefficients = _regression(inputs[others], target[others], day[others])
            predicted[left_out] = inputs[left_out] @ coefficients[:-1] + coefficients[-1]
    return predicted


def _choose(mae: dict[str, Array]) -> npt.NDArray[np.int64]:
    """(leads, variables) 0: the combination, 1: the guidance, 2: the station's own forecast."""
    smoothed = np.stack([_smoothed(errors) for errors in mae.values()])
    smoothed[2] *= 1 - MIN_GAIN
    return np.where(np.isfinite(smoothed).all(axis=0), np.nan_to_num(smoothed).argmin(axis=0), 2)


def _smoothed(errors: Array) -> Array:
    """Means (leads, variables) over the leads around each."""
    padded = np.pad(errors, ((SMOOTHED_LEADS, SMOOTHED_LEADS), (0, 0)), mode="edge")
    return np.mean([padded[k : k + len(errors)] for k in range(2 * SMOOTHED_LEADS + 1)], axis=0)


def _factors(forecasts: PastForecasts, correction: Array) -> Array:
    """(leads, variables, levels) of the half-widths, from the errors of corrected forecasts; 1 where not corrected."""
    as_if = forecasts.valid - correction  # the error of a corrected value is that of the value from these
    errors = normalized_errors(forecasts.values, forecasts.lower, forecasts.upper, as_if)
    factors = np.ones((len(LEADS), len(VARIABLES), len(LEVELS)))
    for lead in range(len(LEADS)):
        for v in range(len(VARIABLES)):
            known = errors[np.isfinite(errors[:, lead, v, 0]), lead, v].astype(np.float64)
            if len(known):
                quantiles = (
                    conformal_quantiles.quantiles(known[:, k], np.ones(len(known)))[k] for k in range(len(LEVELS))
                )
                factors[lead, v] = np.clip(list(quantiles), *FACTOR_RANGE)
    return factors


def _mean(values: Array, known: npt.NDArray[np.bool_]) -> Array:
    """Mean over the forecasts (leads, variables); NaN without any."""
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
