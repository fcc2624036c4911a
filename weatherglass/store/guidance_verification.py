"""Scores of live forecasts compared with the raw guidance that they knew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, delete, func, select

from weatherglass.store.schema import guidance_verification as table
from weatherglass.store.verification_rows import insert_rows

_T = table.c


@dataclass(frozen=True)
class GuidanceScore:
    """Errors of a version and of a weather model on the same cases, in the unit of the variable.

    Attributes:
        model: Open-Meteo's id of the weather model.
        simulated: whether the guidance was made by the replay server.
        lead: hours; None for all leads.
        day: UTC day of the valid times; None for the whole range.
        n: number of cases: forecast values with guidance and an observation that is not output of a weather model.
        mae_compared, mae_guidance: MAE of the version and of the guidance as it is.
    """

    version: str
    model: str
    simulated: bool
    variable: str
    lead: int | None
    day: date | None
    n: int
    mae_compared: float
    mae_guidance: float


def replace_day(connection: Connection, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the scores of a UTC day. The caller commits."""
    connection.execute(delete(table).where(_T.day == day))
    insert_rows(connection, table, rows)


def scores(
    connection: Connection,
    since: date,
    by_lead: bool,
    by_day: bool,
    station_id: str | None = None,
    version: str | None = None,
    variable: str | None = None,
) -> list[GuidanceScore]:
    """Scores of the days from `since` on, by version, model, kind, variable, and optionally by lead and day.

    Means are weighted by the number of cases.
    """
    groups = [_T.version, _T.model, _T.simulated, _T.variable]
    groups += [_T.lead] if by_lead else []
    groups += [_T.day] if by_day else []
    total = func.sum(_T.n)
    query = select(
        *groups,
        total.label("n"),
        (func.sum(_T.mae_compared * _T.n) / total).label("mae_compared"),
        (func.sum(_T.mae_guidance * _T.n) / total).label("mae_guidance"),
    ).where(_T.day >= since)
    for column, value in ((_T.station_id, station_id), (_T.version, version), (_T.variable, variable)):
        if value is not None:
            query = query.where(column == value)
    rows = connection.execute(query.group_by(*groups).order_by(*groups))
    return [GuidanceScore(**{"lead": None, "day": None, **row._asdict()}) for row in rows]
