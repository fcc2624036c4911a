"""`GET /anomalies`"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from plugins.api.answers import LiveField, SourceField
from plugins.api.context import STATION_PATTERN, Moment, SettingsOf, Store, origin_of
from plugins.api.problems import responses
from weatherglass.records import Origin, Quality, Time
from weatherglass.store.anomalies import flagged

router = APIRouter(tags=["anomalies"])

LARGEST_ID = 2**63 - 1


class Flagged(BaseModel):
    """A reading that cannot be trusted, and why."""

    id: int = Field(description="Its number; does not change.", examples=[4711])
    station_id: str = Field(examples=["new-york"])
    timestamp: Time = Field(description="Time of the reading.", examples=["2026-01-05T12:15:00Z"])
    stored_at: Time = Field(description="When the verdict came into the store.", examples=["2026-01-05T12:15:04Z"])
    score: float = Field(description="0, as usual, to 1.", examples=[0.97])
    kinds: list[str] = Field(description="The checks it failed.", examples=[["step"]])
    reasons: list[str] = Field(
        description="A sentence for each failed check.", examples=[["temperature fell by 12.0 °C in 15 min"]]
    )
    model_version: str | None = Field(description="The detector's version.", examples=["3"])
    source: SourceField
    live: LiveField


class Anomalies(BaseModel):
    anomalies: list[Flagged] = Field(description="The last flagged first.")
    next_cursor: int | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


@router.get("/anomalies", summary="Flagged readings", responses=responses(422, 503))
def list_anomalies(
    store: Store,
    settings: SettingsOf,
    since: Annotated[Moment | None, Query(description="Only readings of this time or later.")] = None,
    station_id: Annotated[str | None, Query(max_length=100, pattern=STATION_PATTERN)] = None,
    kind: Annotated[
        str | None, Query(pattern="^[a-z_]{1,50}$", description="Only readings that failed this check.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Readings on a page.")] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next_cursor` of the page before.")] = None,
) -> Anomalies:
    """A page of flagged readings. New ones never shift the pages that follow."""
    rows = flagged(store, limit + 1, cursor, since, station_id, kind)
    page = []
    for row in rows[:limit]:
        source, verdict = origin_of(row.source, settings), row.prediction.anomaly
        page.append(
            Flagged(
                id=row.id,
                station_id=row.prediction.station_id,
                timestamp=row.prediction.timestamp,
                stored_at=row.stored_at,
                score=verdict.score,
                kinds=[check for check, state in verdict.checks.items() if state is Quality.FAILED],
                reasons=verdict.reasons,
                model_version=verdict.model_version,
                source=source,
                live=source is Origin.OPEN_METEO,
            )
        )
    return Anomalies(anomalies=page, next_cursor=page[-1].id if len(rows) > limit else None)
