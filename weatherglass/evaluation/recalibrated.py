"""Intervals as they would have been in service: renewed every day from what had come true by then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weatherglass.evaluation.held_out import HeldOut
from weatherglass.forecast.recalibration import interval_factors, normalized_errors, scale_intervals, stack_factors
from weatherglass.verification.held_out_scores import MODEL


def as_served(held: HeldOut) -> HeldOut:
    """The same forecasts; the intervals of each UTC day with the factors of its first hour, as `recalibration` says."""
    values = held.forecasts[MODEL]
    scored = normalized_errors(values, held.lower, held.upper, held.observed)
    names = [held.station_ids[row] for row in held.stations]
    lower, upper = ({level: bound.copy() for level, bound in bounds.items()} for bounds in (held.lower, held.upper))
    days = held.base.astype("datetime64[D]")
    for day in np.unique(days):
        today = np.flatnonzero(days == day)
        widths = interval_factors(names, held.base, scored, day.astype("datetime64[h]"))
        by = stack_factors(widths, [names[case] for case in today])
        made = scale_intervals(
            values[today],
            {level: bound[today] for level, bound in held.lower.items()},
            {level: bound[today] for level, bound in held.upper.items()},
            by,
        )
        for level in lower:
            lower[level][today], upper[level][today] = made[0][level], made[1][level]
    return replace(held, lower=lower, upper=upper)
