"""Intervals as they would have been in service: renewed every day from what had come true by then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weatherglass.evaluation.held_out import MODEL, HeldOut
from weatherglass.forecast.recalibration import factors, resized, scores, widths_from


def as_served(held: HeldOut) -> HeldOut:
    """The same forecasts; the intervals of each UTC day with the factors of its first hour, as `recalibration` says."""
    values = held.answers[MODEL]
    scored = scores(values, held.lower, held.upper, held.truth)
    names = [held.station_ids[row] for row in held.stations]
    lower, upper = ({level: bound.copy() for level, bound in bounds.items()} for bounds in (held.lower, held.upper))
    days = held.base.astype("datetime64[D]")
    for day in np.unique(days):
        today = np.flatnonzero(days == day)
        widths = widths_from(names, held.base, scored, day.astype("datetime64[h]"))
        by = factors(widths, [names[case] for case in today])
        made = resized(
            values[today],
            {level: bound[today] for level, bound in held.lower.items()},
            {level: bound[today] for level, bound in held.upper.items()},
            by,
        )
        for level in lower:
            lower[level][today], upper[level][today] = made[0][level], made[1][level]
    return replace(held, lower=lower, upper=upper)
