"""The runs of weather models that a forecast knew, as arrays: what they predict, and what they predicted before.

A forecast from base hour b knows the runs received at or before b, so that a forecast depends on its base hour and not
on the moment at which it is computed. Of these the newest of each model counts, also for the hours before b.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

import numpy as np
import numpy.typing as npt

from weatherglass.guidance_record import MAX_GUIDANCE_HOURS, Guidance
from weatherglass.qc.limits import range_limits
from weatherglass.records import LEADS, VARIABLES
from weatherglass.stations import Station

log = logging.getLogger(__name__)

PAST_HOURS = 120
"""Hours up to the base hour whose errors are known: as long as inference keeps the hours of observations."""
MAX_AGE_HOURS = 18
"""Age at the base hour above which a run is not used: models are computed every six hours, and a run may be missing or
six hours late."""
Key = tuple[str, str]
"""Station id and model."""


@dataclass(frozen=True)
class KnownRun:
    """A run at a station.

    Attributes:
        run: its time, UTC.
        known_from: first base hour of forecasts that know it, in hours since 1970, UTC.
        first: hour of the first value, since 1970.
        values: (hours, variables) without gaps; NaN where missing, or outside the range limits of the station.
        place: latitude, longitude and elevation that it was requested for.
    """

    run: datetime
    known_from: int
    first: int
    values: npt.NDArray[np.float32]
    place: tuple[float, float, float | None]
    simulated: bool

    @classmethod
    def from_record(cls, record: Guidance) -> KnownRun:
        """The values of a record as an array, from an hour before it was known until `MAX_GUIDANCE_HOURS` after that.

        Other hours are left out, because a single distant one would make the array as long as its distance.

        Raises:
            ValueError: there is no such hour.
        """
        known_from = ceil(record.fetched_at.timestamp() / 3600)
        hours = np.array([int(time.timestamp()) // 3600 for time in record.values.valid_times])
        kept = (hours >= known_from - 1) & (hours <= known_from + MAX_GUIDANCE_HOURS)
        hours = hours[kept]
        if not len(hours):
            raise ValueError("no valid time is near the time of the reception")
        values = np.full((hours[-1] - hours[0] + 1, len(VARIABLES)), np.nan, np.float32)
        limits = range_limits(record.latitude, record.elevation)
        for axis, name in enumerate(VARIABLES):
            column = np.array(getattr(record.values, name), dtype=np.float32)[kept]
            values[hours - hours[0], axis] = limits[name].usable(column)
        place = record.latitude, record.longitude, record.elevation
        return cls(record.run, known_from, int(hours[0]), values, place, record.simulated)

    def at(self, first: int, count: int) -> npt.NDArray[np.float32]:
        """(count, variables) values from an hour on; NaN where there is none."""
        result = np.full((count, len(VARIABLES)), np.nan, np.float32)
        begin, end = max(first, self.first), min(first + count, self.first + len(self.values))
        if begin < end:
            result[begin - first : end - first] = self.values[begin - self.first : end - self.first]
        return result


@dataclass(frozen=True)
class KnownGuidance:
    """What n forecasts knew of m models.

    Attributes:
        models: m.
        ahead: (n, m, leads, variables) of the newest run; NaN without one that is new enough.
        past: (n, m, PAST_HOURS, variables) what was predicted for the hours up to the base hour; NaN where unknown, and
            without a run that is new enough.
        runs: n times m; None without one that is new enough.
    """

    models: tuple[str, ...]
    ahead: npt.NDArray[np.float32]
    past: npt.NDArray[np.float32]
    runs: tuple[tuple[KnownRun | None, ...], ...]


@dataclass(frozen=True)
class Timeline:
    """The runs of a model at a station, ordered by `known_from`.

    Attributes:
        start: an hour since 1970.
        values: (hours, variables) from `start` on: of each hour, what the newest run known at that hour predicts.
    """

    runs: tuple[KnownRun, ...]
    start: int
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, runs: Iterable[KnownRun]) -> Timeline:
        """Of the runs for the place of the newest one; those for an earlier place are left out."""
        ordered = sorted(runs, key=lambda run: (run.known_from, run.run))
        newest = ordered[-1]
        kept = [run for run in ordered if (run.place, run.simulated) == (newest.place, newest.simulated)]
        start = kept[0].known_from
        end = max(run.first + len(run.values) for run in kept)
        values = np.full((max(end - start, 0), len(VARIABLES)), np.nan, np.float32)
        for run in kept:
            values[run.known_from - start :] = run.at(run.known_from, max(end - run.known_from, 0))
        return cls(tuple(kept), start, values)

    def newest(self, base: int) -> KnownRun | None:
        """The newest run that a forecast from a base hour knew, if it is new enough."""
        count = bisect_right(self.runs, base, key=lambda run: run.known_from)
        run = self.runs[count - 1] if count else None
        return run if run and base - run.known_from <= MAX_AGE_HOURS else None

    def past(self, base: int) -> npt.NDArray[np.float32]:
        """(PAST_HOURS, variables) what was predicted for the hours up to a base hour; NaN where unknown."""
        result = np.full((PAST_HOURS, len(VARIABLES)), np.nan, np.float32)
        first = base - PAST_HOURS + 1
        begin, end = max(first, self.start), min(base + 1, self.start + len(self.values))
        if begin < end:
            result[begin - first : end - first] = self.values[begin - self.start : end - self.start]
        return result


@dataclass(frozen=True)
class KnownRuns:
    """The runs of stations and models. Immutable."""

    timelines: Mapping[Key, Timeline] = field(default_factory=dict)

    def with_records(self, records: Iterable[Guidance], oldest: int) -> KnownRuns:
        """These and the runs of records, without those known before the hour `oldest`, since 1970.

        Stations that are observed only by weather models are left out: nothing can be learned from their errors. So
        are records that cannot be read, with a warning.
        """
        changed: dict[Key, dict[datetime, KnownRun]] = {}
        for key, timeline in self.timelines.items():
            if timeline.runs[0].known_from < oldest:
                changed[key] = {run.run: run for run in timeline.runs}
        unreadable: list[str] = []
        for record in records:
            if not record.observed_only_by_model:
                try:
                    run = KnownRun.from_record(record)
                except Exception as error:  # one record must not affect the others, whatever is wrong with it
                    unreadable.append(f"{record.station_id} {record.model} {record.run}: {error}")
                    continue
                key = record.station_id, record.model
                if key not in changed:
                    before = self.timelines.get(key)
                    changed[key] = {run.run: run for run in before.runs} if before else {}
                changed[key][run.run] = run
        if unreadable:
            log.warning("%d runs of guidance are left out, the first is %s", len(unreadable), unreadable[0])
        timelines = dict(self.timelines)
        for key, runs in changed.items():
            timelines.pop(key, None)
            if kept := [run for run in runs.values() if run.known_from >= oldest]:
                timelines[key] = Timeline.of(kept)
        return KnownRuns(timelines)

    def known(
        self, stations: Sequence[Station], base: npt.NDArray[np.datetime64], simulated: bool
    ) -> KnownGuidance | None:
        """What forecasts from base hours (n,), UTC, knew; None if there are no runs for any of the stations.

        Args:
            stations: n; runs for another place of a station are not used.
            simulated: whether to use simulated guidance, or real one.
        """
        wanted = {station.station_id for station in stations}
        models = sorted({model for station_id, model in self.timelines if station_id in wanted})
        if not models:
            return None
        shape = len(stations), len(models)
        ahead = np.full((*shape, len(LEADS), len(VARIABLES)), np.nan, np.float32)
        past = np.full((*shape, PAST_HOURS, len(VARIABLES)), np.nan, np.float32)
        newest: list[list[KnownRun | None]] = [[None] * len(models) for _ in stations]
        hours = base.astype("datetime64[h]").astype(np.int64).tolist()
        for case, (station, hour) in enumerate(zip(stations, hours, strict=True)):
            place = station.latitude, station.longitude, station.elevation
            for m, model in enumerate(models):
                timeline = self.timelines.get((station.station_id, model))
                run = timeline.newest(hour) if timeline else None
                if timeline and run and (run.place, run.simulated) == (place, simulated):
                    newest[case][m] = run
                    ahead[case, m] = run.at(hour + LEADS[0], len(LEADS))
                    past[case, m] = timeline.past(hour)
        return KnownGuidance(tuple(models), ahead, past, tuple(map(tuple, newest)))
