"""Hindcast: score a version on the last days of the history, before live observations are available.

As in service, a version begins as it was trained, and its own errors recalibrate it from day to day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.recalibration import Forecasts, recalibrate_daily
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS
from weatherglass.store import verification_rows
from weatherglass.verification import score_rows
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.forecasts import IssuedForecasts, from_forecasts

DAYS = 30
EVERY_HOURS = 7
"""Hours between two base hours; has no common divisor with 24, so that every hour of the day occurs."""
BATCH_HOURS = 10
"""Base hours per call of the model."""


def last_days(history: HourGrid, days: int = DAYS) -> HourGrid:
    """The last `days` days with values, and the hours before them that the forecasts need.

    They are taken from the last record that has so many, otherwise from the longest one.
    """
    needed = 24 * days + PAST_HOURS + LEADS[-1]
    records = history.records
    sufficient = [record for record in records if record.stop - record.start >= needed]
    record = sufficient[-1] if sufficient else max(records, key=lambda record: record.stop - record.start)
    known = record.start + np.flatnonzero(np.isfinite(history.values[:, record, 0]).any(axis=0))
    end = int(known[-1]) + 1 if len(known) else record.start
    start = max(record.start, end - needed)
    return history.part(start, end)


def _base_hours(grid: HourGrid) -> npt.NDArray[np.int64]:
    length = grid.values.shape[1]
    return np.arange(min(PAST_HOURS, length), length - 1, EVERY_HOURS)


def has_base_hours(grid: HourGrid) -> bool:
    """Whether `forecasts` can make any forecast over a grid."""
    return bool(np.isfinite(grid.values[:, _base_hours(grid), 0]).any())


def forecasts(model: Forecaster, version: str, grid: HourGrid) -> IssuedForecasts:
    """Forecasts over a grid from `last_days`, for every station that has a temperature at the base hour.

    Raises:
        ValueError: no station has one (`has_base_hours`).
    """
    bases = _base_hours(grid)
    batches = []
    for begin in range(0, len(bases), BATCH_HOURS):
        batch = bases[begin : begin + BATCH_HOURS]
        columns, rows = np.nonzero(np.isfinite(grid.values[:, batch, 0]).T)
        if len(rows):
            batches.append(model.forecast(grid, rows.tolist(), batch[columns].tolist()))
    return from_forecasts(version, batches)


def recalibrated(issued: IssuedForecasts, observed: HourGrid) -> IssuedForecasts:
    """The forecasts of a model as in service."""
    as_trained = Forecasts(issued.values, issued.lower, issued.upper)
    valid = issued.values - score_rows.errors(issued, observed)
    values, lower, upper = recalibrate_daily(issued.station_ids, issued.base, as_trained, valid)
    return replace(issued, values=values, lower=dict(lower), upper=dict(upper))


def hindcast(
    connection: Connection,
    models: Mapping[str, Forecaster],
    reference: ReferenceModel | None,
    history: HourGrid,
    log: Callable[[str], None],
) -> int:
    """Score versions on the last days of the history and replace all hindcast scores. The caller commits.

    Those of other versions are of other days, and with a refit each day there would be ever more of them.

    Args:
        models: version -> model. With two models the first is the champion, and their paired losses are stored too.
        reference: model of the damped anomaly; None before the first training.
        history: hours that the models were not trained on, as far as possible.

    Returns:
        Number of verified forecast values.
    """
    grid = last_days(history)
    length = grid.values.shape[1]
    if length <= PAST_HOURS + LEADS[-1] or not has_base_hours(grid):
        log("No hindcast: the history is too short, or has no temperature")
        return 0
    first = grid.hours[PAST_HOURS].astype("datetime64[D]")
    days = int((grid.hours[-1].astype("datetime64[D]") - first).astype(int)) + 1
    issued, rows_of = {}, {}
    for version, model in models.items():
        issued[version] = recalibrated(forecasts(model, version, grid), grid)
        rows = rows_of[version] = score_rows.score(issued[version], grid, reference, first, days)
        log(f"Hindcast of version {version}: {len(issued[version])} forecasts from {first} on, {len(rows)} scores")
    champion, *others = models
    losses = {other: score_rows.paired_losses(issued[champion], issued[other], grid, first, days) for other in others}
    # All writes follow, because SQLite lets no other program write until the caller commits.
    verification_rows.delete_hindcasts(connection)
    for version, rows in rows_of.items():
        verification_rows.replace_hindcast(connection, version, rows)
    start = first.astype("datetime64[s]").item().replace(tzinfo=UTC)
    end = start + timedelta(days=days)
    for challenger, rows in losses.items():
        verification_rows.replace_paired_losses(connection, champion, challenger, True, start, end, rows)
    return sum(row["n"] for rows in rows_of.values() for row in rows)
