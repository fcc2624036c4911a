"""The hourly verification: the days that have something new are scored anew, from all that is stored of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine

from weatherglass.records import LEADS
from weatherglass.stations import Station
from weatherglass.store import verification_queries, verification_rows
from weatherglass.verification import observed_hours, scores
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.forecasts import IssuedForecasts, joined, of_rows

KEPT_DAYS = 30
"""Days that late truth may still change; older predictions are thinned out."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Verified:
    """What a run did: UTC days scored anew, and numbers paired with a truth."""

    days: tuple[np.datetime64, ...]
    pairs: int


def verify(
    store: Engine,
    now: datetime,
    usual: ReferenceModel | None,
    challenge: tuple[str, str] | None,
    station_of: Callable[[str], Station],
    say: Say,
) -> Verified:
    """Score the days for which observations, predictions or verdicts have come since the last run.

    Args:
        usual: for the damped anomaly; None before the first model.
        challenge: the versions of champion and challenger, whose errors are paired; None without a challenger.
    """
    began = time.monotonic()
    with store.connect() as connection:
        last = verification_queries.last_run(connection)
        since = last.through if last else None
        days = _days(*verification_rows.new_since(connection, since), now)
    through = now - observed_hours.MARGIN
    pairs = 0
    for day in days:
        with store.begin() as connection:
            count, versions = _verify_day(connection, day, usual, challenge, station_of)
        pairs += count
        say(f"{day}: {count} numbers paired with what came true" + (f", of {', '.join(versions)}" if versions else ""))
    seconds = time.monotonic() - began
    with store.begin() as connection:
        verification_rows.note_run(connection, now, through, len(days), pairs, seconds)
    say(f"{len(days)} days scored anew, {pairs} pairs, {seconds:.1f} s")
    return Verified(tuple(days), pairs)


def _days(observed: Sequence[datetime], answered: Sequence[datetime], now: datetime) -> list[np.datetime64]:
    """The days that new truth or new forecasts bear on: truth also as the base hour of baselines until a day later."""
    today = observed_hours.day_of(now)
    days = set()
    for stamp in (*observed, *answered):
        days |= {observed_hours.day_of(stamp), observed_hours.day_of(stamp) + np.timedelta64(1, "D")}
    return sorted(day for day in days if today - np.timedelta64(KEPT_DAYS, "D") <= day <= today)


def _verify_day(
    connection: Connection,
    day: np.datetime64,
    usual: ReferenceModel | None,
    challenge: tuple[str, str] | None,
    station_of: Callable[[str], Station],
) -> tuple[int, list[str]]:
    first, last = observed_hours.day_hours(day)
    start = first.astype("datetime64[s]").item().replace(tzinfo=UTC)
    end = start + timedelta(days=1)
    served, shadow = (
        of_rows(verification_rows.issued_between(connection, start - verification_rows.LONGEST, end, aside))
        for aside in (False, True)
    )
    stations = [station_of(name) for name in sorted({*served.station_ids, *shadow.station_ids})]
    if not stations:
        verification_rows.replace_day(connection, start.date(), [])
        return 0, []
    # The damped anomaly looks twelve hours back from base hours, which lie up to a day before the first valid time.
    came = observed_hours.trusted(connection, first - 2 * LEADS[-1], last, stations)
    rows = scores.score(joined(served, shadow), came, usual, day, 1)
    verification_rows.replace_day(connection, start.date(), rows)
    if challenge is not None:
        losses = scores.paired(*_sides(served, shadow, *challenge), came, day, 1)
        verification_rows.replace_pairs(connection, *challenge, False, start, end, losses)
    return sum(row["n"] for row in rows), sorted({row["version"] for row in rows})


def _sides(
    served: IssuedForecasts, shadow: IssuedForecasts, champion: str, challenger: str
) -> tuple[IssuedForecasts, IssuedForecasts]:
    """All forecasts of each of the two, served or in shadow."""
    sides = []
    for version in (champion, challenger):
        chosen = [made.part(np.flatnonzero(np.array(made.versions) == version)) for made in (served, shadow)]
        sides.append(joined(chosen[0], chosen[1]))
    return sides[0], sides[1]
