"""Results of the sequential tests of challengers against champions (table `comparisons`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.schema import comparisons


def save_sequential_test(connection: Connection, at: datetime, champion: str, challenger: str, test: Any) -> None:
    """Append the result of a `verification.sequential_test.SequentialTest`. The caller commits."""
    row = {
        "at": at,
        "champion": champion,
        "challenger": challenger,
        "decision": test.decision.value,
        "reason": test.reason,
        "details": test.details(),
    }
    connection.execute(comparisons.insert().values(row))


def last_sequential_test(connection: Connection, champion: str, challenger: str) -> Any | None:
    """The last test of a challenger against a champion, a row of the table `comparisons`; None before the first."""
    query = select(comparisons).where(comparisons.c.champion == champion, comparisons.c.challenger == challenger)
    return connection.execute(query.order_by(comparisons.c.id.desc()).limit(1)).first()
