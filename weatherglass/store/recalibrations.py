"""What the recalibration changes in the forecasts of a version, by station.

The verification writes it once a day; inference reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, select

from weatherglass.store.schema import recalibrations

DECIMALS = 4
MAX_AGE = timedelta(days=3)
"""Age up to which a recalibration is applied: the errors of the last weeks are no longer the last ones after it."""
RETENTION = timedelta(days=7)
"""Age after which the recalibration of any version is deleted."""

Arrays = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Bias (leads, classes of the base hour, variables) and factors of the half-widths (leads, variables, levels)."""


def replace(connection: Connection, version: str, day: date, arrays: Mapping[str, Arrays]) -> None:
    """Replace the recalibration of a version, and delete those older than `RETENTION`. The caller commits.

    Args:
        day: UTC day on which it was estimated.
        arrays: by station.
    """
    outdated = recalibrations.c.day < day - RETENTION
    connection.execute(delete(recalibrations).where((recalibrations.c.version == version) | outdated))
    rows = [
        {
            "version": version,
            "station_id": name,
            "day": day,
            "bias": bias.round(DECIMALS).tolist(),
            "factors": factors.round(DECIMALS).tolist(),
        }
        for name, (bias, factors) in arrays.items()
    ]
    if rows:
        connection.execute(insert(recalibrations), rows)


def copy(connection: Connection, source: str, target: str) -> None:
    """Give the version `target` the recalibration of `source`, unless it has one. The caller commits."""
    day, arrays = last_updated(connection, source), load(connection, source)
    if day is not None and last_updated(connection, target) is None:
        replace(connection, target, day, arrays)


def last_updated(connection: Connection, version: str) -> date | None:
    """UTC day on which the recalibration of a version was estimated; None without one."""
    query = select(func.max(recalibrations.c.day)).where(recalibrations.c.version == version)
    last: date | None = connection.execute(query).scalar_one()
    return last


def load(connection: Connection, version: str) -> dict[str, Arrays]:
    """The recalibration of a version by station; empty without one."""
    columns = (recalibrations.c.station_id, recalibrations.c.bias, recalibrations.c.factors)
    rows = connection.execute(select(*columns).where(recalibrations.c.version == version))
    return {row.station_id: (np.array(row.bias, np.float64), np.array(row.factors, np.float64)) for row in rows}
