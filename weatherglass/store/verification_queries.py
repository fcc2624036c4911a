"""Aggregate verification scores over days and stations.

Means are weighted by the number of forecasts; RMSE is averaged as the mean squared error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select

from weatherglass.store.schema import verification, verification_runs

_T = verification.c


@dataclass(frozen=True)
class Score:
    """Scores of a version, in the unit of the variable.

    Attributes:
        lead: hours; None for all leads.
        day: UTC day of the valid times; None for the whole range.
        n: number of verified forecast values.
        n_mape, mape: number of values of which an error is a percentage, and its mean; None without any.
        crps: continuous ranked probability score; None without intervals.
        coverage_80, coverage_90: share of observations inside the interval; None without intervals.
        n_baselines: number of cases in which both baselines have a value too.
        mae_compared, mae_persistence, mae_damped: MAE of the version and of the baselines on these cases; None without
            any.
    """

    version: str
    hindcast: bool
    variable: str
    lead: int | None
    day: date | None
    n: int
    mae: float
    rmse: float
    bias: float
    n_mape: int
    mape: float | None
    crps: float | None
    coverage_80: float | None
    coverage_90: float | None
    n_baselines: int
    mae_compared: float | None
    mae_persistence: float | None
    mae_damped: float | None


def scores(
    connection: Connection,
    since: date,
    by_lead: bool,
    by_day: bool,
    station_id: str | None = None,
    version: str | None = None,
    variable: str | None = None,
) -> list[Score]:
    """Scores of the days from `since` on, by version, hindcast, variable, and optionally by lead and day."""
    groups = [_T.version, _T.hindcast, _T.variable]
    groups += [_T.lead] if by_lead else []
    groups += [_T.day] if by_day else []
    query: Select = select(
        *groups,
        func.sum(_T.n).label("n"),
        (func.sum(_T.mae * _T.n) / func.sum(_T.n)).label("mae"),
        (func.sum(_T.rmse * _T.rmse * _T.n) / func.sum(_T.n)).label("mse"),
        (func.sum(_T.bias * _T.n) / func.sum(_T.n)).label("bias"),
        func.coalesce(func.sum(_T.n_mape), 0).label("n_mape"),
        _mean(_T.mape, _T.n_mape).label("mape"),
        _mean(_T.crps, _T.n).label("crps"),
        _mean(_T.coverage_80, _T.n).label("coverage_80"),
        _mean(_T.coverage_90, _T.n).label("coverage_90"),
        func.sum(_T.n_baselines).label("n_baselines"),
        _mean(_T.mae_compared, _T.n_baselines).label("mae_compared"),
        _mean(_T.mae_persistence, _T.n_baselines).label("mae_persistence"),
        _mean(_T.mae_damped, _T.n_baselines).label("mae_damped"),
    ).where(_T.day >= since, _T.n > 0)
    for column, value in ((_T.station_id, station_id), (_T.version, version), (_T.variable, variable)):
        if value is not None:
            query = query.where(column == value)
    return [_score(row) for row in connection.execute(query.group_by(*groups).order_by(*groups))]


def _mean(value: Any, weight: Any) -> Any:
    """Weighted mean of the non-null values; null without any."""
    known = func.sum(case((value.is_not(None), weight), else_=0))
    return func.sum(value * weight) / func.nullif(known, 0)


def _score(row: Row[Any]) -> Score:
    columns = row._asdict()
    mse = columns.pop("mse")
    return Score(**{"lead": None, "day": None, **columns}, rmse=max(mse, 0.0) ** 0.5)


def last_run(connection: Connection) -> Any | None:
    """The last verification run: `at`, `through`, `days`, `pairs`, `seconds`; None before the first."""
    return connection.execute(select(verification_runs).order_by(verification_runs.c.id.desc()).limit(1)).first()


def verified_until(connection: Connection) -> datetime | None:
    """Time up to which stored records have been verified; None before the first run."""
    run = last_run(connection)
    return run.through if run else None
