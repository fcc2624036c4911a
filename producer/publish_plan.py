"""What a poll publishes: new observations, those of a gap, and revisions of published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from producer.polling import PollResult
from weatherglass.formatting import count_noun
from weatherglass.record_headers import Origin
from weatherglass.records import Observation, iso
from weatherglass.store.published import Published


@dataclass
class PublishPlan:
    """The observations of a part of a poll, sorted by what to do with them.

    Attributes:
        new: present observations.
        filled: observations before the present one, from the backfill, a gap, or a report that arrived late.
        revised: published observations with other values.
        repeated: number of stations whose newest published observation is in the response again.
        changes: (source before, source now) -> the stations that change their source with this poll.
    """

    new: list[Observation] = field(default_factory=list)
    filled: list[Observation] = field(default_factory=list)
    revised: list[Observation] = field(default_factory=list)
    repeated: int = 0
    changes: dict[tuple[Origin, Origin], list[str]] = field(default_factory=dict)

    @property
    def pending(self) -> list[Observation]:
        """What is to be published."""
        return [*self.new, *self.filled, *self.revised]


def plan_publishing(
    result: PollResult,
    published: Mapping[str, Published],
    oldest: datetime,
    now: datetime,
    log: Callable[[str], object],
) -> PublishPlan:
    """Sort the observations of a poll; those of the future are skipped with a warning.

    Reports of airports are corrected later, and may arrive after newer ones. Of the past of other sources, which
    recompute it all the time, only the newest published observation can be revised.

    Args:
        published: what earlier polls have published, by station id.
        oldest: older observations are not accepted by the stream, UTC.
        now: UTC.
    """
    plan = PublishPlan()
    for name, observations in result.response.stations.items():
        before = published.get(name)
        steps = observations.steps(with_quarter_hours=before is not None)
        future = [time for time in steps if time > now]
        if future:
            log(f"WARNING: {name}: skipping {count_noun(len(future), 'future observation')}, up to {iso(max(future))}")
        present = observations.current.timestamp if observations.current else None
        origin = result.origins[name]
        changed = before is not None and before.source is not origin
        known = before.recent if before and not changed else {}
        measured = name in result.measured
        is_observed = False
        for time, observation in steps.items():
            if not oldest <= time <= now:
                continue
            if before is None or time > before.newest.timestamp:
                (plan.new if time == present else plan.filled).append(observation)
                is_observed = True
            elif time in known and (measured or time == before.newest.timestamp):
                if observation != known[time]:
                    plan.revised.append(observation)
                elif time == before.newest.timestamp:
                    plan.repeated += 1
            elif measured and known and time > min(known):
                plan.filled.append(observation)  # a report that arrived after a newer one
        if is_observed and changed and before and before.source:
            plan.changes.setdefault((before.source, origin), []).append(name)
    for (old, new), names in plan.changes.items():
        stations = f"{count_noun(len(names), 'station')} ({', '.join(names)})"
        log(f"WARNING: the source of {stations} changes from {old} to {new}")
    return plan
