"""`GET /metrics/history`: one week of the metrics of the monitor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.alerts.metrics import METRICS, METRICS_BY_NAME, PART_CPU, PART_MEMORY, MetricKind
from weatherglass.api.dependencies import ConnectionDep, FromTime, NowDep, ToTime, resolve_range
from weatherglass.api.problems import UNKNOWN_METRIC, Problem, error_responses
from weatherglass.records import Time
from weatherglass.store import metric_history

router = APIRouter(tags=["health"])

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_FINE_SPAN = timedelta(days=1)
COARSE_STEP = timedelta(hours=1)
"""Time step for ranges longer than `MAX_FINE_SPAN`; five-minute steps are too fine to plot a week."""

STORED_METRICS = sorted(metric.name for metric in METRICS if metric.recorded)


class MetricSeriesItem(BaseModel):
    """The values of a metric for one combination of label values."""

    name: str = Field(examples=["weatherglass_part_memory_bytes"])
    help: str = Field(examples=["Memory of a component; a page shared by n processes counts 1/n."])
    kind: str = Field(
        description="`gauge`: mean over each time step; `counter`: increase in each time step.", examples=["gauge"]
    )
    labels: dict[str, str] = Field(examples=[{"part": "kafka"}])
    times: list[Time] = Field(description="End of each time step, the oldest first.")
    values: list[float]


class MetricHistoryResponse(BaseModel):
    stretch_seconds: float = Field(
        description="Length of the time steps: five minutes for ranges up to a day, otherwise an hour."
    )
    series: list[MetricSeriesItem]


@router.get("/metrics/history", summary="Metrics of the last week", responses=error_responses(422, 503))
def metrics_history(
    store: ConnectionDep,
    now: NowDep,
    name: Annotated[
        list[str], Query(description="Names of stored metrics, as in `/metrics`.", min_length=1, max_length=20)
    ] = [PART_MEMORY.name, PART_CPU.name],  # noqa: B006
    start: FromTime = None,
    end: ToTime = None,
) -> MetricHistoryResponse:
    """Metrics of the monitor in [from, to), at most a week. Default: the last day.

    The time step is five minutes, or an hour for ranges longer than a day.
    """
    unknown = [metric for metric in name if metric not in STORED_METRICS]
    if unknown:
        detail = f"History of metric {unknown[0]!r} is not stored. Stored metrics: {', '.join(STORED_METRICS)}."
        raise Problem(UNKNOWN_METRIC, detail)
    start, end = resolve_range(start, end, now, timedelta(days=1), metric_history.RETENTION)
    rows = metric_history.series(store, name, start, end)
    fine = end - start <= MAX_FINE_SPAN
    series = []
    for metric, by_labels in rows.items():
        definition = METRICS_BY_NAME[metric]
        for labels, stored in by_labels.items():
            points = dict(stored) if fine else _aggregate_hourly(stored, start, now, definition.kind)
            item = MetricSeriesItem(
                name=metric,
                help=definition.help,
                kind=definition.kind.value,
                labels=dict(zip(definition.labels, labels.split(","), strict=False)),
                times=list(points),
                values=list(points.values()),
            )
            series.append(item)
    step = metric_history.INTERVAL if fine else COARSE_STEP
    return MetricHistoryResponse(stretch_seconds=step.total_seconds(), series=series)


def _aggregate_hourly(
    points: Sequence[tuple[datetime, float]], start: datetime, now: datetime, kind: MetricKind
) -> dict[datetime, float]:
    """Hourly mean of a gauge or hourly sum of a counter's increases, by the end of the hour.

    Incomplete hours are omitted, because their sum would look like a decrease.
    """
    by_hour: dict[datetime, list[float]] = {}
    for time, value in points:
        end = time + (EPOCH - time) % COARSE_STEP
        if start <= end - COARSE_STEP and end <= now:
            by_hour.setdefault(end, []).append(value)
    return {end: fmean(values) if kind is MetricKind.GAUGE else sum(values) for end, values in by_hour.items()}
