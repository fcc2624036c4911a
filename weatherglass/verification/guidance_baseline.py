"""Raw guidance as a baseline: the errors of live forecasts compared with those of the guidance that they knew.

A forecast knew the runs that were received at or before its base hour (`guidance.known_runs`), and the newest one of
each weather model is its guidance. Only observations that are not output of a weather model count, and stations that
are observed only by Open-Meteo take no part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from weatherglass.guidance.known_runs import MAX_AGE_HOURS, KnownRuns
from weatherglass.history.grid import HourGrid
from weatherglass.record_headers import MODEL_ORIGINS
from weatherglass.records import LEADS
from weatherglass.stations import Station
from weatherglass.store import guidance
from weatherglass.verification import observed_hours
from weatherglass.verification.forecasts import IssuedForecasts
from weatherglass.verification.score_groups import ScoreGroups
from weatherglass.verification.score_rows import CHUNK, errors, grid_rows
from weatherglass.verification.scores import absolute_error

MAX_AGE = timedelta(hours=MAX_AGE_HOURS)
"""A run is the guidance of forecasts whose base hours are at most so long after its reception."""


def times_of_forecasts(connection: Connection, stored_since: datetime | None) -> list[datetime]:
    """The first and the last base hour of forecasts that knew the runs stored after a time, UTC; of all for None."""
    received = guidance.received_times(connection, stored_since)
    return [time for run in received for time in (run, run + MAX_AGE)]


def score_day(
    connection: Connection, issued: IssuedForecasts, stations: Sequence[Station], day: np.datetime64
) -> list[dict[str, Any]]:
    """Rows of the table `guidance_verification` for the valid times of a UTC day.

    Args:
        issued: the live forecasts with a valid time on this day.
        stations: those of the forecasts.
    """
    first, last = observed_hours.day_bounds(day)
    start, end = (hour.astype("datetime64[s]").item().replace(tzinfo=UTC) for hour in (first, last))
    received_since = start - timedelta(hours=LEADS[-1]) - MAX_AGE - timedelta(hours=1)
    rows = []
    for simulated in (False, True):
        records = guidance.received_between(connection, received_since, end, simulated)
        runs = KnownRuns().with_records(records, oldest=0)
        compared = [station for station in stations if any(name == station.station_id for name, _ in runs.timelines)]
        if compared:
            observed = observed_hours.load_trusted_hours(connection, first, last, compared, MODEL_ORIGINS)
            chosen = {station.station_id for station in compared}
            known = issued.select(np.flatnonzero([name in chosen for name in issued.station_ids]))
            rows += score(known, observed, runs, simulated, day, 1)
    return rows


def score(
    issued: IssuedForecasts, observed: HourGrid, runs: KnownRuns, simulated: bool, first: np.datetime64, days: int
) -> list[dict[str, Any]]:
    """Rows of the table `guidance_verification` for `days` UTC days of valid times from `first` on.

    Args:
        observed: hours of all stations of the forecasts, without output of weather models.
        simulated: whether to compare with simulated guidance, or with real one.
    """
    station_ids = [station.station_id for station in observed.stations]
    groups = ScoreGroups(sorted(set(issued.versions)), station_ids, first, days)
    size = int(np.prod(groups.shape))
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((3, size)))
    for begin in range(0, len(issued), CHUNK):
        chunk = issued.select(slice(begin, begin + CHUNK))
        stations = [observed.stations[row] for row in grid_rows(chunk, observed)]
        known = runs.known(stations, chunk.base, simulated)
        if known is None:
            continue
        own, group = errors(chunk, observed), groups.index(chunk)
        for model, ahead in zip(known.models, known.ahead.swapaxes(0, 1), strict=True):
            raw = absolute_error(ahead, chunk.values - own)
            compared = np.where(np.isfinite(raw), np.abs(own), np.nan)
            terms = np.where(np.isfinite(compared), 1.0, np.nan), compared, raw
            sums[model] += np.stack([groups.sums(group, values) for values in terms])
    return [
        {
            **groups.key(i),
            "model": model,
            "simulated": simulated,
            "n": int(count[i]),
            "mae_compared": float(own[i] / count[i]),
            "mae_guidance": float(raw[i] / count[i]),
        }
        for model, (count, own, raw) in sums.items()
        for i in np.flatnonzero(count).tolist()
    ]
