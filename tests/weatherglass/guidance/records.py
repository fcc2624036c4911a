"""Guidance for synthetic weather, with known errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from weatherglass.guidance_record import GUIDANCE_VARIABLES, Guidance, GuidanceValues, RunTime
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

HOUR = timedelta(hours=1)
RUN_HOURS = 6
LENGTH = 48
ERROR = np.array([1.0, 5.0, 1.0, 0.8])
"""Standard deviation of the errors 24 hours ahead, by variable."""


def time_of(grid: HourGrid, column: int) -> datetime:
    """The time of a column of a grid."""
    time: datetime = grid.hours[column].astype("datetime64[s]").item()
    return time.replace(tzinfo=UTC)


def a_run(
    grid: HourGrid,
    row: int,
    column: int,
    model: str = "best_match",
    seed: int = 1,
    bias: float = 1.0,
    change: Callable[[np.ndarray], np.ndarray] = lambda values: values,
    **fields: object,
) -> Guidance:
    """The run that was received twelve minutes before an hour: the truth plus an error that grows with the lead.

    Args:
        bias: of the site, in units of `ERROR`.
        change: of the values (hours, variables).
    """
    rng = np.random.default_rng([seed, row, column])
    columns = np.arange(column - 1, min(column - 1 + LENGTH, grid.values.shape[1]))
    truth = grid.values[row, columns][:, [0, 1, 2, 5]].astype(float)
    growth = 0.4 + 0.6 * np.sqrt(np.arange(len(columns)) / 24)[:, None]
    values = truth + ERROR * (bias + 0.5 * np.sin(columns[:, None] * np.pi / 12) + growth * rng.normal(size=4))
    values[:, 1], values[:, 3] = np.clip(values[:, 1], 0, 100), np.maximum(values[:, 3], 0)
    changed = change(values)
    lists = {
        name: [None if np.isnan(x) else round(float(x), 1) for x in column]
        for name, column in zip(VARIABLES, changed.T, strict=True)
    }
    station, fetched = grid.stations[row], time_of(grid, column) - timedelta(minutes=12)
    usual: dict[str, object] = {
        "station_id": station.station_id,
        "model": model,
        "run": fetched,
        "run_time": RunTime.FETCH,
        "fetched_at": fetched,
        "latitude": station.latitude,
        "longitude": station.longitude,
        "elevation": station.elevation,
        "simulated": False,
        "observed_only_by_model": False,
        "values": GuidanceValues(
            valid_times=[time_of(grid, int(at)) for at in columns],
            **{name: lists.get(name, [0.0] * len(columns)) for name in GUIDANCE_VARIABLES},
        ),
    }
    return Guidance.model_validate({**usual, **fields})


def runs_of(
    grid: HourGrid, rows: Iterable[int], columns: Iterable[int] | None = None, **options: object
) -> list[Guidance]:
    """A run every `RUN_HOURS` at the columns, by default all, for each station."""
    at = range(1, grid.values.shape[1] - 1) if columns is None else columns
    return [a_run(grid, row, column, **options) for row in rows for column in at if column % RUN_HOURS == 1]  # type: ignore[arg-type]
