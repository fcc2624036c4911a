"""`GET /anomalies`, `GET /anomalies/counts` and `POST /anomalies/{anomaly_id}/verdict`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from weatherglass.api.dependencies import ConnectionDep, NowDep, SettingsDep, StationQuery, UtcTime, source_of
from weatherglass.api.problems import UNKNOWN_ANOMALY, Problem, error_responses
from weatherglass.api.schemas import LiveField, SourceField
from weatherglass.api.table_response import TABLE_RESPONSES, PreferredTable, columns_of, table_response
from weatherglass.record_headers import LIVE_ORIGINS
from weatherglass.records import Time
from weatherglass.settings import Settings
from weatherglass.store import verdicts
from weatherglass.store.anomalies import ScoredReading, flagged_readings, get_flagged_reading
from weatherglass.store.verdicts import Judgement, Verdict

router = APIRouter(tags=["anomalies"])

MAX_ID = 2**63 - 1
MAX_COUNTED = 20_000


class VerdictFilter(StrEnum):
    """Filter by verdict; `open` selects anomalies without a verdict."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    FALSE_ALARM = "false_alarm"

    def to_store_filter(self) -> Judgement | bool:
        return False if self is VerdictFilter.OPEN else Judgement(self.value)


class VerdictItem(BaseModel):
    """A user's verdict on an anomaly."""

    verdict: Judgement
    by: str = Field(description="Name of the user.", examples=["admin"])
    at: Time = Field(description="Time of the verdict.", examples=["2026-01-05T12:20:00Z"])
    note: str = Field(description="The user's comment; may be empty.", examples=["sensor was being serviced"])


class AnomalyItem(BaseModel):
    """An observation that the anomaly detector flagged."""

    id: int = Field(description="Anomaly id. It does not change.", examples=[4711])
    station_id: str = Field(examples=["new-york"])
    timestamp: Time = Field(description="Time of the observation.", examples=["2026-01-05T12:15:00Z"])
    stored_at: Time = Field(description="Time of storage.", examples=["2026-01-05T12:15:04Z"])
    score: float = Field(description="Anomaly score from 0 (normal) to 1.", examples=[0.97])
    kinds: list[str] = Field(description="Failed checks.", examples=[["step"]])
    reasons: list[str] = Field(
        description="Explanation of each failed check.", examples=[["temperature fell by 12.0 °C in 15 min"]]
    )
    model_version: str | None = Field(description="Version of the anomaly detector.", examples=["3"])
    source: SourceField
    live: LiveField
    verdict: VerdictItem | None = Field(description="The latest verdict; null if there is none.")


class AnomaliesResponse(BaseModel):
    anomalies: list[AnomalyItem] = Field(description="The newest observation first.")
    next_cursor: int | None = Field(
        description="Value of `cursor` for the next page; null on the last page.", examples=[None]
    )


class AnomalyCountItem(BaseModel):
    day: str = Field(description="UTC date of the observations.", examples=["2026-01-05"])
    kind: str = Field(description="Failed check.", examples=["step"])
    station_id: str = Field(examples=["new-york"])
    count: int = Field(examples=[3])


class AnomalyCountsResponse(BaseModel):
    since: Time = Field(examples=["2025-12-29T12:15:42Z"])
    total: int = Field(description="Anomalies; one may have failed several checks.", examples=[12])
    open: int = Field(description="Anomalies without a verdict.", examples=[5])
    counts: list[AnomalyCountItem]


class VerdictRequest(BaseModel):
    """Whether the observation is wrong (`confirmed`) or the flag is a `false_alarm`."""

    model_config = ConfigDict(extra="forbid")

    verdict: Judgement
    note: str = Field("", description="Comment.", max_length=1000, examples=["sensor was being serviced"])


@router.get(
    "/anomalies",
    summary="List anomalies",
    responses={200: TABLE_RESPONSES, **error_responses(422, 503)},
    response_model=AnomaliesResponse,
)
def list_anomalies(
    store: ConnectionDep,
    settings: SettingsDep,
    table: PreferredTable,
    since: Annotated[UtcTime | None, Query(description="Only observations at or after this time.")] = None,
    until: Annotated[UtcTime | None, Query(description="Only observations before this time.")] = None,
    station_id: StationQuery = None,
    kind: Annotated[
        str | None, Query(pattern="^[a-z_]{1,50}$", description="Only observations that failed this check.")
    ] = None,
    min_score: Annotated[
        float | None, Query(ge=0, le=1, description="Only observations with at least this score.")
    ] = None,
    verdict: Annotated[
        VerdictFilter | None, Query(description="Only anomalies with this verdict; `open`: without a verdict.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of anomalies per page.")] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=MAX_ID, description="`next_cursor` of the previous page.")] = None,
) -> AnomaliesResponse | Response:
    """A page of anomalies, the newest observation first. New anomalies do not shift later pages.

    In CSV and Parquet responses, the header `Next-Cursor` contains the cursor of the next page.
    """
    verdict_filter = verdict.to_store_filter() if verdict else None
    rows = flagged_readings(store, limit + 1, cursor, since, station_id, kind, min_score, verdict_filter, until)
    page = anomaly_items(store, rows[:limit], settings)
    next_cursor = page[-1].id if len(rows) > limit else None
    if table:
        items = ({**row.model_dump(mode="json"), "verdict": row.verdict and row.verdict.verdict.value} for row in page)
        return table_response(table, columns_of(AnomalyItem), items, next_cursor)
    return AnomaliesResponse(anomalies=page, next_cursor=next_cursor)


@router.get("/anomalies/counts", summary="Count anomalies", responses=error_responses(422, 503))
def count_anomalies(
    store: ConnectionDep,
    now: NowDep,
    since: Annotated[
        UtcTime | None, Query(description="Only observations at or after this time. Default: 7 days ago.")
    ] = None,
    station_id: StationQuery = None,
) -> AnomalyCountsResponse:
    """Number of anomalies by day, check and station, from at most the 20,000 newest anomalies."""
    since = since or now - timedelta(days=7)
    rows = flagged_readings(store, MAX_COUNTED, since=since, station_id=station_id)
    without_verdict = flagged_readings(store, MAX_COUNTED, since=since, station_id=station_id, verdict=False)
    counted = Counter((row.timestamp.date().isoformat(), check, row.station_id) for row in rows for check in row.failed)
    counts = [AnomalyCountItem(day=d, kind=k, station_id=s, count=n) for (d, k, s), n in sorted(counted.items())]
    return AnomalyCountsResponse(since=since, total=len(rows), open=len(without_verdict), counts=counts)


def write_routes(require_writer: Callable[..., str]) -> APIRouter:
    """The route that stores a verdict. `require_writer` is a dependency that returns the user name or raises."""
    router = APIRouter(tags=["anomalies"])

    @router.post(
        "/anomalies/{anomaly_id}/verdict",
        summary="Give a verdict on an anomaly",
        responses=error_responses(403, 404, 422, 503),
    )
    def give_verdict(
        anomaly_id: Annotated[
            int, Path(ge=1, le=MAX_ID, description="Anomaly id, as returned by `/anomalies`.", examples=[4711])
        ],
        body: VerdictRequest,
        request: Request,
        settings: SettingsDep,
        now: NowDep,
        user: str = Depends(require_writer),
    ) -> AnomalyItem:
        """Confirm that the observation is wrong, or mark the flag as a false alarm.

        A new verdict replaces an earlier one. The precision of the detector is computed from the verdicts.
        """
        with request.app.state.store.begin() as connection:
            row = get_flagged_reading(connection, anomaly_id)
            if row is None:
                raise Problem(UNKNOWN_ANOMALY, f"Anomaly {anomaly_id} does not exist. See /anomalies.")
            verdict = Verdict(body.verdict, user, now, body.note)
            verdicts.save(connection, row.station_id, row.timestamp, verdict)
            return anomaly_items(connection, [row], settings)[0]

    return router


def anomaly_items(store: Connection, rows: Sequence[ScoredReading], settings: Settings) -> list[AnomalyItem]:
    """Anomalies with their verdicts."""
    if not rows:
        return []
    stations = sorted({row.station_id for row in rows})
    latest = verdicts.load(store, stations, min(row.timestamp for row in rows))
    return [_anomaly_item(row, latest.get((row.station_id, row.timestamp)), settings) for row in rows]


def _anomaly_item(row: ScoredReading, verdict: Verdict | None, settings: Settings) -> AnomalyItem:
    source, anomaly = source_of(row.source, settings), row.anomaly
    return AnomalyItem(
        id=row.id,
        station_id=row.station_id,
        timestamp=row.timestamp,
        stored_at=row.stored_at,
        score=row.score,
        kinds=row.failed,
        reasons=anomaly["reasons"],
        model_version=anomaly["model_version"],
        source=source,
        live=source in LIVE_ORIGINS,
        verdict=VerdictItem.model_validate(verdict, from_attributes=True) if verdict else None,
    )
