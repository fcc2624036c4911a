"""Drift of the inputs of a model version, by day and feature."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, func, select

from weatherglass.store.dialect import upsert
from weatherglass.store.schema import drift


def save_drift(connection: Connection, version: str, day: date, drifts: Sequence[Any]) -> None:
    """Upsert `verification.drift.FeatureDrift` items on (version, day, feature). The caller commits."""
    rows = [{"version": version, "day": day, **vars(item)} for item in drifts]
    upsert(connection, drift, rows, ["version", "day", "feature"])


def latest_drift(connection: Connection) -> list[Any]:
    """Drift on the newest day of each version, largest PSI first, as rows of the table `drift`."""
    newest = select(drift.c.version, func.max(drift.c.day).label("day")).group_by(drift.c.version).subquery()
    query = select(drift).join(newest, (drift.c.version == newest.c.version) & (drift.c.day == newest.c.day))
    return list(connection.execute(query.order_by(drift.c.version, drift.c.psi.desc())))
