"""Verification as pages show it: errors by lead against the baselines, summed up from days and stations.

Means are weighted by the number of forecasts behind them; an RMSE is averaged as its square.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select

from weatherglass.store.schema import comparisons, drift, promotions, quarantine, verification, verification_runs

_T = verification.c


@dataclass(frozen=True)
class Score:
    """Errors of a version in the variable's unit; `lead` in hours, None: all; `day` None: the whole range.

    The baselines' errors and `mae_compared` are over the `n_baselines` forecasts that both baselines could answer;
    None where there are none. Coverage is the share of truths inside the interval.
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
    """Scores of the days from `since` on, by version, live or hindcast, and variable, and by lead and day if asked."""
    groups = [_T.version, _T.hindcast, _T.variable]
    groups += [_T.lead] if by_lead else []
    groups += [_T.day] if by_day else []
    query: Select = select(
        *groups,
        func.sum(_T.n).label("n"),
        (func.sum(_T.mae * _T.n) / func.sum(_T.n)).label("mae"),
        (func.sum(_T.rmse * _T.rmse * _T.n) / func.sum(_T.n)).label("mse"),
        (func.sum(_T.bias * _T.n) / func.sum(_T.n)).label("bias"),
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
    """Weighted mean over the rows that have the value; null if none has."""
    known = func.sum(case((value.is_not(None), weight), else_=0))
    return func.sum(value * weight) / func.nullif(known, 0)


def _score(row: Row[Any]) -> Score:
    found = row._asdict()
    mse = found.pop("mse")
    return Score(**{"lead": None, "day": None, **found}, rmse=max(mse, 0.0) ** 0.5)


def last_run(connection: Connection) -> Any | None:
    """The last run of the verification: `at`, `through`, `days`, `pairs`, `seconds`; None before the first."""
    return connection.execute(select(verification_runs).order_by(verification_runs.c.id.desc()).limit(1)).first()


def last_promotions(connection: Connection, limit: int) -> list[Any]:
    """The log of promotions, the last first: `at`, `kind`, `action`, versions, `who`, `why`, `figures`."""
    return list(connection.execute(select(promotions).order_by(promotions.c.id.desc()).limit(limit)))


def last_comparison(connection: Connection, champion: str, challenger: str) -> Any | None:
    """The last look at a challenger against the champion: `at`, `decision`, `why`, `figures`; None before any."""
    query = select(comparisons).where(comparisons.c.champion == champion, comparisons.c.challenger == challenger)
    return connection.execute(query.order_by(comparisons.c.id.desc()).limit(1)).first()


def quarantined(connection: Connection) -> list[Any]:
    """Versions that may not serve: `kind`, `version`, `since`, `by`, `reason`."""
    query = select(quarantine).where(quarantine.c.released_at.is_(None)).order_by(quarantine.c.id.desc())
    return list(connection.execute(query))


def newest_drift(connection: Connection) -> list[Any]:
    """The newest day's drift of each version, the largest first: `verification.drift.Drift`, `version` and `day`."""
    newest = select(drift.c.version, func.max(drift.c.day).label("day")).group_by(drift.c.version).subquery()
    query = select(drift).join(newest, (drift.c.version == newest.c.version) & (drift.c.day == newest.c.day))
    return list(connection.execute(query.order_by(drift.c.version, drift.c.psi.desc())))


def newest_verified(connection: Connection) -> datetime | None:
    """Up to when forecasts have been verified; None before the first run."""
    run = last_run(connection)
    return run.through if run else None
