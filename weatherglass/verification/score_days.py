"""Score all days that have new observations, forecasts, guidance or verdicts, from everything stored for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine

from weatherglass.formatting import count_noun
from weatherglass.records import LEADS
from weatherglass.stations import Station
from weatherglass.store import guidance_verification, verification_queries, verification_rows
from weatherglass.verification import guidance_baseline, observed_hours, score_rows
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.forecasts import IssuedForecasts, concatenate, from_rows, is_of_version

RESCORED_DAYS = 30
"""Late observations change the scores of this many days; older predictions are thinned out."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class VerificationResult:
    """The scored UTC days, and the number of verified forecast values."""

    days: tuple[np.datetime64, ...]
    pairs: int


def verify(
    store: Engine,
    now: datetime,
    reference: ReferenceModel | None,
    pair: tuple[str, str] | None,
    station_of: Callable[[str], Station],
    log: Log,
) -> VerificationResult:
    """Score the days with observations, predictions, guidance or verdicts stored since the last run.

    Args:
        reference: model of the damped anomaly; None before the first training.
        pair: versions of champion and challenger, whose paired losses are stored; None without a challenger.
        station_of: looks up a station by its id.
    """
    started = time.monotonic()
    with store.connect() as connection:
        last_run = verification_queries.last_run(connection)
        since = last_run.through if last_run else None
        observed, predicted = verification_rows.changed_since(connection, since)
        with_guidance = guidance_baseline.times_of_forecasts(connection, since)
        days = _days(observed, [*predicted, *with_guidance], now)
    through = now - observed_hours.OVERLAP
    pairs = 0
    for day in days:
        with store.begin() as connection:
            count, versions = _verify_day(connection, day, reference, pair, station_of)
        pairs += count
        log(f"{day}: {count_noun(count, 'forecast value')} verified" + (f", {_listed(versions)}" if versions else ""))
    seconds = time.monotonic() - started
    with store.begin() as connection:
        verification_rows.save_run(connection, now, through, len(days), pairs, seconds)
    log(f"Scored {count_noun(len(days), 'day')}, {count_noun(pairs, 'forecast value')}, in {seconds:.1f} s")
    return VerificationResult(tuple(days), pairs)


def _listed(versions: Sequence[str]) -> str:
    return ("versions " if len(versions) > 1 else "version ") + ", ".join(versions)


def _days(observed: Sequence[datetime], predicted: Sequence[datetime], now: datetime) -> list[np.datetime64]:
    """Days whose scores change: those of the given times, and the days after.

    A forecast is valid until the next day, and an observation is the base hour of baselines until the next day.
    """
    today = observed_hours.day_of(now)
    days = set()
    for stamp in (*observed, *predicted):
        days |= {observed_hours.day_of(stamp), observed_hours.day_of(stamp) + np.timedelta64(1, "D")}
    return sorted(day for day in days if today - np.timedelta64(RESCORED_DAYS, "D") <= day <= today)


def _verify_day(
    connection: Connection,
    day: np.datetime64,
    reference: ReferenceModel | None,
    pair: tuple[str, str] | None,
    station_of: Callable[[str], Station],
) -> tuple[int, list[str]]:
    first, last = observed_hours.day_bounds(day)
    start = first.astype("datetime64[s]").item().replace(tzinfo=UTC)
    end = start + timedelta(days=1)
    issued_since = start - verification_rows.MAX_FORECAST_AGE
    served, shadow = (
        from_rows(verification_rows.forecasts_between(connection, issued_since, end, is_shadow))
        for is_shadow in (False, True)
    )
    stations = [station_of(name) for name in sorted({*served.station_ids, *shadow.station_ids})]
    if not stations:
        verification_rows.replace_day(connection, start.date(), [])
        guidance_verification.replace_day(connection, start.date(), [])
        return 0, []
    # Base hours lie up to a day before the first valid time, and the damped anomaly looks twelve hours further back.
    observed = observed_hours.load_trusted_hours(connection, first - 2 * LEADS[-1], last, stations)
    issued = concatenate(served, shadow)
    rows = score_rows.score(issued, observed, reference, day, 1)
    compared = guidance_baseline.score_day(connection, issued, stations, day)
    verification_rows.replace_day(connection, start.date(), rows)
    guidance_verification.replace_day(connection, start.date(), compared)
    if pair is not None:
        champion, challenger = (_of_version(served, shadow, version) for version in pair)
        losses = score_rows.paired_losses(champion, challenger, observed, day, 1)
        verification_rows.replace_paired_losses(connection, *pair, False, start, end, losses)
    return sum(row["n"] for row in rows), sorted({row["version"] for row in rows})


def _of_version(served: IssuedForecasts, shadow: IssuedForecasts, version: str) -> IssuedForecasts:
    """All forecasts of a version, served and shadow."""
    return concatenate(
        *(f.select(np.flatnonzero([is_of_version(name, version) for name in f.versions])) for f in (served, shadow))
    )
