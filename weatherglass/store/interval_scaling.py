"""Factors of the intervals' half-widths, by version and station: written once a day, read by what serves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, select

from weatherglass.store.schema import interval_widths

DECIMALS = 4


def replace(connection: Connection, version: str, day: date, widths: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """A version's factors (leads, variables, levels) of each station, in place of those there were.

    The caller commits.
    """
    connection.execute(delete(interval_widths).where(interval_widths.c.version == version))
    rows = [
        {"version": version, "station_id": name, "day": day, "factors": factors.round(DECIMALS).tolist()}
        for name, factors in widths.items()
    ]
    if rows:
        connection.execute(insert(interval_widths), rows)


def day(connection: Connection, version: str) -> date | None:
    """The UTC day on which a version's factors were made; None without any."""
    query = select(func.max(interval_widths.c.day)).where(interval_widths.c.version == version)
    found: date | None = connection.execute(query).scalar_one()
    return found


def of(connection: Connection, version: str) -> dict[str, npt.NDArray[np.float64]]:
    """Station -> (leads, variables, levels) factors; empty without any."""
    query = select(interval_widths.c.station_id, interval_widths.c.factors).where(interval_widths.c.version == version)
    return {row.station_id: np.array(row.factors, dtype=np.float64) for row in connection.execute(query)}
