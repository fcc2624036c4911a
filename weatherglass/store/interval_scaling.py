"""Scale factors of the half-widths of prediction intervals, by version and station.

The verification writes them once a day; inference reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, select

from weatherglass.store.schema import interval_scaling

DECIMALS = 4


def replace(connection: Connection, version: str, day: date, factors: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """Replace the factors of a version. The caller commits.

    Args:
        day: UTC day on which they were computed.
        factors: station -> (leads, variables, levels).
    """
    connection.execute(delete(interval_scaling).where(interval_scaling.c.version == version))
    rows = [
        {"version": version, "station_id": name, "day": day, "factors": values.round(DECIMALS).tolist()}
        for name, values in factors.items()
    ]
    if rows:
        connection.execute(insert(interval_scaling), rows)


def last_updated(connection: Connection, version: str) -> date | None:
    """UTC day on which the factors of a version were computed; None without any."""
    query = select(func.max(interval_scaling.c.day)).where(interval_scaling.c.version == version)
    last: date | None = connection.execute(query).scalar_one()
    return last


def load(connection: Connection, version: str) -> dict[str, npt.NDArray[np.float64]]:
    """Station -> (leads, variables, levels) factors of a version; empty without any."""
    query = select(interval_scaling.c.station_id, interval_scaling.c.factors).where(
        interval_scaling.c.version == version
    )
    return {row.station_id: np.array(row.factors, dtype=np.float64) for row in connection.execute(query)}
