"""`GET /anomalies/events` and `POST /anomalies/events/{event_id}/verdict`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, NowDep, SettingsDep, StationQuery, UtcTime, source_of
from weatherglass.api.problems import UNKNOWN_ANOMALY, Problem, error_responses
from weatherglass.api.routes.anomalies import MAX_COUNTED, MAX_ID, VerdictFilter, VerdictItem, VerdictRequest
from weatherglass.api.schemas import LiveField, SourceField
from weatherglass.record_headers import LIVE_ORIGINS
from weatherglass.records import Time
from weatherglass.settings import Settings
from weatherglass.store import verdicts
from weatherglass.store.anomalies import flagged_readings, get_flagged_reading
from weatherglass.store.anomaly_events import AnomalyEvent, group_events
from weatherglass.store.verdicts import Verdict

router = APIRouter(tags=["anomalies"])

DEFAULT_PERIOD = timedelta(days=7)

Verdicts = dict[tuple[str, datetime], Verdict]


class AnomalyEventItem(BaseModel):
    """Consecutive flagged observations of a station that share a failed check, at most two hours apart."""

    id: int = Field(description="Anomaly id of the first observation.", examples=[4711])
    station_id: str = Field(examples=["new-york"])
    onset: Time = Field(description="Time of the first flagged observation.", examples=["2026-01-05T12:15:00Z"])
    end: Time = Field(description="Time of the last flagged observation so far.", examples=["2026-01-05T14:00:00Z"])
    readings: int = Field(description="Number of flagged observations.", examples=[8])
    score: float = Field(description="Highest anomaly score, from 0 (normal) to 1.", examples=[0.97])
    kinds: list[str] = Field(description="Failed checks.", examples=[["flat_line"]])
    reasons: list[str] = Field(
        description="Explanation of each failed check of the observation with the highest score.",
        examples=[["temperature did not change for 6 h"]],
    )
    model_version: str | None = Field(description="Version of the anomaly detector.", examples=["3"])
    source: SourceField
    live: LiveField
    verdict: VerdictItem | None = Field(
        description="The latest verdict, if all observations have the same one; otherwise null."
    )


class AnomalyEventsResponse(BaseModel):
    since: Time = Field(examples=["2025-12-29T12:15:42Z"])
    total: int = Field(description="Number of events that match the filters.", examples=[12])
    readings: int = Field(description="Number of their flagged observations.", examples=[85])
    open: int = Field(description="Number of events without a verdict.", examples=[5])
    events: list[AnomalyEventItem] = Field(description="The event with the newest flagged observation first.")


@router.get("/anomalies/events", summary="List anomaly events", responses=error_responses(422, 503))
def list_events(
    store: ConnectionDep,
    settings: SettingsDep,
    now: NowDep,
    since: Annotated[
        UtcTime | None, Query(description="Only observations at or after this time. Default: 7 days ago.")
    ] = None,
    until: Annotated[UtcTime | None, Query(description="Only observations before this time.")] = None,
    station_id: StationQuery = None,
    kind: Annotated[
        str | None, Query(pattern="^[a-z_]{1,50}$", description="Only events in which this check failed.")
    ] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1, description="Only events with at least this score.")] = None,
    verdict: Annotated[
        VerdictFilter | None, Query(description="Only events with this verdict; `open`: without a verdict.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of events.")] = 50,
) -> AnomalyEventsResponse:
    """Consecutive flags of one fault as one event, from at most the 20,000 newest flagged observations."""
    since = since or now - DEFAULT_PERIOD
    readings = flagged_readings(store, MAX_COUNTED, since=since, until=until, station_id=station_id)
    judged = verdicts.load(store, sorted({reading.station_id for reading in readings}), since)
    selected = [
        (event, item)
        for event in group_events(readings)
        if (kind is None or kind in event.kinds) and (min_score is None or event.worst.score >= min_score)
        for item in [event_item(event, judged, settings)]
        if verdict is None or verdict == (item.verdict.verdict if item.verdict else VerdictFilter.OPEN)
    ]
    return AnomalyEventsResponse(
        since=since,
        total=len(selected),
        readings=sum(len(event.readings) for event, _ in selected),
        open=sum(item.verdict is None for _, item in selected),
        events=[item for _, item in selected[:limit]],
    )


def write_routes(require_writer: Callable[..., str]) -> APIRouter:
    """The route that stores a verdict. `require_writer` is a dependency that returns the user name or raises."""
    router = APIRouter(tags=["anomalies"])

    @router.post(
        "/anomalies/events/{event_id}/verdict",
        summary="Give a verdict on an anomaly event",
        responses=error_responses(403, 404, 422, 503),
    )
    def give_verdict(
        event_id: Annotated[
            int, Path(ge=1, le=MAX_ID, description="Event id, as returned by `/anomalies/events`.", examples=[4711])
        ],
        body: VerdictRequest,
        request: Request,
        settings: SettingsDep,
        now: NowDep,
        since: Annotated[
            UtcTime | None,
            Query(description="As for `/anomalies/events`. Default: 7 days ago, or the event's time if earlier."),
        ] = None,
        until: Annotated[UtcTime | None, Query(description="As for `/anomalies/events`.")] = None,
        user: str = Depends(require_writer),
    ) -> AnomalyEventItem:
        """The verdict applies to all observations of the event in the period. A new verdict replaces an earlier one.

        Pass the `since` of the list that showed the event: observations of concurrent faults are grouped from there.
        """
        with request.app.state.store.begin() as connection:
            first = get_flagged_reading(connection, event_id)
            if first is None:
                raise Problem(UNKNOWN_ANOMALY, f"Anomaly event {event_id} does not exist. See /anomalies/events.")
            since = since or min(now - DEFAULT_PERIOD, first.timestamp)
            readings = flagged_readings(connection, MAX_COUNTED, since=since, until=until, station_id=first.station_id)
            events = (event for event in group_events(readings) if any(r.id == first.id for r in event.readings))
            event = next(events, None)
            if event is None:
                detail = (
                    f"Anomaly event {event_id} is not among the newest {MAX_COUNTED} flagged observations of the "
                    "period. Pass `since` and `until` as for /anomalies/events."
                )
                raise Problem(UNKNOWN_ANOMALY, detail)
            verdict = Verdict(body.verdict, user, now, body.note)
            for reading in event.readings:
                verdicts.save(connection, reading.station_id, reading.timestamp, verdict)
            judged = {(reading.station_id, reading.timestamp): verdict for reading in event.readings}
            return event_item(event, judged, settings)

    return router


def event_item(event: AnomalyEvent, judged: Verdicts, settings: Settings) -> AnomalyEventItem:
    """An event with its verdict."""
    worst, source = event.worst, source_of(event.worst.source, settings)
    given = [judged.get((reading.station_id, reading.timestamp)) for reading in event.readings]
    agreed = None not in given and len({verdict.verdict for verdict in given if verdict}) == 1
    latest = max((verdict for verdict in given if verdict), key=lambda verdict: verdict.at, default=None)
    return AnomalyEventItem(
        id=event.id,
        station_id=event.station_id,
        onset=event.onset,
        end=event.end,
        readings=len(event.readings),
        score=worst.score,
        kinds=sorted(event.kinds),
        reasons=worst.anomaly["reasons"],
        model_version=worst.anomaly["model_version"],
        source=source,
        live=source in LIVE_ORIGINS,
        verdict=VerdictItem.model_validate(latest, from_attributes=True) if agreed else None,
    )
