"""Scores before there is live truth: a version forecasts the last days of history, from what it could have known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS
from weatherglass.store import verification_rows
from weatherglass.verification import scores
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.forecasts import IssuedForecasts, of_forecasts

DAYS = 30
EVERY_HOURS = 7
"""Hours between two base hours; no divisor of 24, so that every hour of the day is visited."""
BATCH_HOURS = 10
"""Base hours asked for at once."""


def last_days(history: HourGrid, days: int = DAYS) -> HourGrid:
    """The end of a history: the last days that have any values, and before them what forecasts look back on."""
    known = np.flatnonzero(np.isfinite(history.values[..., 0]).any(axis=0))
    end = int(known[-1]) + 1 if len(known) else 0
    start = max(0, end - 24 * days - PAST_HOURS - LEADS[-1])
    return HourGrid(history.stations, history.start + start, history.values[:, start:end])


def forecasts(model: Forecaster, version: str, grid: HourGrid) -> IssuedForecasts:
    """A version's forecasts over a grid from `last_days`, of the stations that have a temperature at the base hour."""
    length = grid.values.shape[1]
    bases = np.arange(min(PAST_HOURS, length), length - 1, EVERY_HOURS)
    made = []
    for begin in range(0, len(bases), BATCH_HOURS):
        part = bases[begin : begin + BATCH_HOURS]
        columns, rows = np.nonzero(np.isfinite(grid.values[:, part, 0]).T)
        if len(rows):
            made.append(model.forecast(grid, rows.tolist(), part[columns].tolist()))
    return of_forecasts(version, made)


def hindcast(
    connection: Connection,
    models: Mapping[str, Forecaster],
    usual: ReferenceModel | None,
    history: HourGrid,
    say: Callable[[str], None],
) -> int:
    """Score versions on the last days of history, marked as hindcast, in place of earlier such scores.

    Args:
        models: one or two, by version; of two the first is the champion, and their errors are paired as well.
        history: hours that none of the models was trained on, as far as possible.

    Returns:
        Numbers paired with a truth. The caller commits.
    """
    grid = last_days(history)
    length = grid.values.shape[1]
    if length <= PAST_HOURS + LEADS[-1]:
        say("the history is too short for a hindcast")
        return 0
    first = (grid.start + PAST_HOURS).astype("datetime64[D]")
    days = int(((grid.start + length).astype("datetime64[D]") - first).astype(int)) + 1
    count, made = 0, {}
    for version, model in models.items():
        made[version] = forecasts(model, version, grid)
        rows = scores.score(made[version], grid, usual, first, days)
        verification_rows.replace_hindcast(connection, version, rows)
        count += sum(row["n"] for row in rows)
        say(f"hindcast of version {version}: {len(made[version])} forecasts from {first} on, {len(rows)} scores")
    if len(models) == 2:
        champion, challenger = models
        losses: list[dict[str, Any]] = scores.paired(made[champion], made[challenger], grid, first, days)
        start = first.astype("datetime64[s]").item().replace(tzinfo=UTC)
        end = start + timedelta(days=days)
        verification_rows.replace_pairs(connection, champion, challenger, True, start, end, losses)
    return count
