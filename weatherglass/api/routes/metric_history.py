"""`GET /metrics/history`: a week of what the watcher has measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.alerts.metrics import BY_NAME, METRICS, PART_CPU, PART_MEMORY, MetricKind
from weatherglass.api.dependencies import FromTime, Now, Store, ToTime, checked_range
from weatherglass.api.problems import Problem, responses
from weatherglass.records import Time
from weatherglass.store import metric_history

router = APIRouter(tags=["health"])

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FINE = timedelta(days=1)
COARSE = timedelta(hours=1)
"""Stretches of a range beyond `FINE`: no screen shows a week in steps of five minutes."""

KEPT = sorted(metric.name for metric in METRICS if metric.kept)


class MetricSeries(BaseModel):
    """A metric's values for one combination of its labels."""

    name: str = Field(examples=["weatherglass_part_memory_bytes"])
    help: str = Field(examples=["Memory of a part."])
    kind: str = Field(description="`gauge`: means over a stretch; `counter`: increases.", examples=["gauge"])
    labels: dict[str, str] = Field(examples=[{"part": "kafka"}])
    times: list[Time] = Field(description="The end of each stretch, the oldest first.")
    values: list[float]


class History(BaseModel):
    stretch_seconds: float = Field(description="Length of the stretches; five minutes up to a day, else an hour.")
    series: list[MetricSeries]


@router.get("/metrics/history", summary="A week of measurements", responses=responses(422, 503))
def history(
    store: Store,
    now: Now,
    name: Annotated[
        list[str], Query(description="Metrics that are kept, as in `/metrics`.", min_length=1, max_length=20)
    ] = [PART_MEMORY.name, PART_CPU.name],  # noqa: B006
    start: FromTime = None,
    end: ToTime = None,
) -> History:
    """What the watcher has measured over the last day, or in the time asked for.

    In stretches of five minutes or, beyond a day, of an hour.
    """
    unknown = [one for one in name if one not in KEPT]
    if unknown:
        raise Problem(422, "Unknown metric", f"{unknown[0]!r} is not kept; these are: {', '.join(KEPT)}")
    start, end = checked_range(start, end, now, timedelta(days=1), metric_history.KEPT)
    found = metric_history.series(store, name, start, end)
    stretch = metric_history.STRETCH if end - start <= FINE else COARSE
    return History(
        stretch_seconds=stretch.total_seconds(),
        series=[
            MetricSeries(
                name=metric,
                help=BY_NAME[metric].help,
                kind=BY_NAME[metric].kind.value,
                labels=dict(zip(BY_NAME[metric].labels, labels.split(","), strict=False)),
                times=list(points),
                values=list(points.values()),
            )
            for metric, by_labels in found.items()
            for labels, kept in by_labels.items()
            for points in [dict(kept) if end - start <= FINE else _by_the_hour(kept, start, now, BY_NAME[metric].kind)]
        ],
    )


def _by_the_hour(
    points: Sequence[tuple[datetime, float]], start: datetime, now: datetime, kind: MetricKind
) -> dict[datetime, float]:
    """By the end of the hour that holds them: the mean of a gauge's values, the sum of a counter's increases.

    Only whole hours: the sum of a part of one would look like a fall.
    """
    held: dict[datetime, list[float]] = {}
    for time, value in points:
        end = time + (EPOCH - time) % COARSE
        if start <= end - COARSE and end <= now:
            held.setdefault(end, []).append(value)
    return {end: fmean(values) if kind is MetricKind.GAUGE else sum(values) for end, values in held.items()}
