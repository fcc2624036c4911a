"""`GET /metrics/history`: a week of what the watcher has measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from plugins.api.context import FromTime, Now, Store, ToTime, checked_range
from plugins.api.problems import Problem, responses
from weatherglass.monitoring.metrics import BY_NAME, METRICS, PART_CPU, PART_MEMORY
from weatherglass.records import Time
from weatherglass.store import metric_history

router = APIRouter(tags=["health"])

KEPT = sorted(metric.name for metric in METRICS if metric.kept)


class Series(BaseModel):
    """A metric's values for one combination of its labels."""

    name: str = Field(examples=["weatherglass_part_memory_bytes"])
    help: str = Field(examples=["Memory of a part."])
    kind: str = Field(description="`gauge`: means of five minutes; `counter`: their increase.", examples=["gauge"])
    labels: dict[str, str] = Field(examples=[{"part": "kafka"}])
    times: list[Time] = Field(description="The end of each stretch of five minutes, the oldest first.")
    values: list[float]


class History(BaseModel):
    series: list[Series]


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
    """What the watcher has measured over the last day, or in the time asked for, in steps of five minutes."""
    unknown = [one for one in name if one not in KEPT]
    if unknown:
        raise Problem(422, "Unknown metric", f"{unknown[0]!r} is not kept; these are: {', '.join(KEPT)}")
    start, end = checked_range(start, end, now, timedelta(days=1), metric_history.KEPT)
    found = metric_history.series(store, name, start, end)
    return History(
        series=[
            Series(
                name=metric,
                help=BY_NAME[metric].help,
                kind=BY_NAME[metric].kind.value,
                labels=dict(zip(BY_NAME[metric].labels, labels.split(","), strict=False)),
                times=[time for time, _ in points],
                values=[value for _, value in points],
            )
            for metric, by_labels in found.items()
            for labels, points in by_labels.items()
        ]
    )
