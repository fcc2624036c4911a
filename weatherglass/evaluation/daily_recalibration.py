"""Intervals as in service: recalibrated every day from the forecasts whose valid times have passed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weatherglass.evaluation.held_out import HeldOut
from weatherglass.forecast.interval_factors import interval_factors, normalized_errors, scale_intervals, stack_factors
from weatherglass.verification.held_out_scores import MODEL


def recalibrate_daily(held_out: HeldOut) -> HeldOut:
    """Return the same forecasts with the intervals of each UTC day scaled by the factors at its first hour."""
    values = held_out.forecasts[MODEL]
    errors = normalized_errors(values, held_out.lower, held_out.upper, held_out.observed)
    station_ids = [held_out.station_ids[row] for row in held_out.stations]
    lower = {level: bound.copy() for level, bound in held_out.lower.items()}
    upper = {level: bound.copy() for level, bound in held_out.upper.items()}
    days = held_out.base.astype("datetime64[D]")
    for day in np.unique(days):
        cases = np.flatnonzero(days == day)
        factors = interval_factors(station_ids, held_out.base, errors, day.astype("datetime64[h]"))
        scaled_lower, scaled_upper = scale_intervals(
            values[cases],
            {level: bound[cases] for level, bound in held_out.lower.items()},
            {level: bound[cases] for level, bound in held_out.upper.items()},
            stack_factors(factors, [station_ids[case] for case in cases]),
        )
        for level in lower:
            lower[level][cases], upper[level][cases] = scaled_lower[level], scaled_upper[level]
    return replace(held_out, lower=lower, upper=upper)
