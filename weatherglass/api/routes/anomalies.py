"""`GET /anomalies`, their counts, and `POST /anomalies/{anomaly_id}/verdict`"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from weatherglass.api.csv_response import CSV, AsCsv, csv_of
from weatherglass.api.dependencies import STATION_PATTERN, Moment, Now, SettingsOf, Store, origin_of
from weatherglass.api.problems import Problem, responses
from weatherglass.api.schemas import LiveField, SourceField
from weatherglass.records import Origin, Time
from weatherglass.settings import Settings
from weatherglass.store import verdicts
from weatherglass.store.anomalies import JudgedReading, flagged, numbered
from weatherglass.store.verdicts import Judgement, Verdict

router = APIRouter(tags=["anomalies"])

LARGEST_ID = 2**63 - 1
MOST_COUNTED = 20_000


class Judged(StrEnum):
    """What a person has said of a flag."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    FALSE_ALARM = "false_alarm"

    def condition(self) -> Judgement | bool:
        return False if self is Judged.OPEN else Judgement(self.value)


class VerdictAnswer(BaseModel):
    """What a person says of a flag."""

    verdict: Judgement
    by: str = Field(description="Who said it.", examples=["admin"])
    at: Time = Field(description="When it was said.", examples=["2026-01-05T12:20:00Z"])
    note: str = Field(description="In their words; may be empty.", examples=["sensor was being serviced"])


class Flagged(BaseModel):
    """A reading that cannot be trusted, and why."""

    id: int = Field(description="Its number; does not change.", examples=[4711])
    station_id: str = Field(examples=["new-york"])
    timestamp: Time = Field(description="Time of the reading.", examples=["2026-01-05T12:15:00Z"])
    stored_at: Time = Field(description="When it came into the store.", examples=["2026-01-05T12:15:04Z"])
    score: float = Field(description="0, as usual, to 1.", examples=[0.97])
    kinds: list[str] = Field(description="The checks it failed.", examples=[["step"]])
    reasons: list[str] = Field(
        description="A sentence for each failed check.", examples=[["temperature fell by 12.0 °C in 15 min"]]
    )
    model_version: str | None = Field(description="The detector's version.", examples=["3"])
    source: SourceField
    live: LiveField
    verdict: VerdictAnswer | None = Field(description="What a person said of it last; null if nobody has.")


class Anomalies(BaseModel):
    anomalies: list[Flagged] = Field(description="The newest reading first.")
    next_cursor: int | None = Field(
        description="Give it as `cursor` for the next page; null on the last one.", examples=[None]
    )


class DayCount(BaseModel):
    day: str = Field(description="UTC day of the readings.", examples=["2026-01-05"])
    kind: str = Field(description="The check that failed.", examples=["step"])
    station_id: str = Field(examples=["new-york"])
    count: int = Field(examples=[3])


class Counts(BaseModel):
    since: Time = Field(examples=["2025-12-29T12:15:42Z"])
    total: int = Field(description="Flagged readings; one may have failed several checks.", examples=[12])
    open: int = Field(description="Those of which nobody has said anything.", examples=[5])
    counts: list[DayCount]


class NewVerdict(BaseModel):
    """Whether the reading is wrong indeed, or the flag a false alarm."""

    model_config = ConfigDict(extra="forbid")

    verdict: Judgement
    note: str = Field("", max_length=1000, examples=["sensor was being serviced"])


StationQuery = Annotated[str | None, Query(max_length=100, pattern=STATION_PATTERN)]


@router.get(
    "/anomalies", summary="Flagged readings", responses={200: CSV, **responses(422, 503)}, response_model=Anomalies
)
def list_anomalies(
    store: Store,
    settings: SettingsOf,
    as_csv: AsCsv,
    since: Annotated[Moment | None, Query(description="Only readings of this time or later.")] = None,
    until: Annotated[Moment | None, Query(description="Only readings before this time.")] = None,
    station_id: StationQuery = None,
    kind: Annotated[
        str | None, Query(pattern="^[a-z_]{1,50}$", description="Only readings that failed this check.")
    ] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1, description="Only readings with at least this score.")] = None,
    verdict: Annotated[Judged | None, Query(description="Only readings of which a person said this.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Readings on a page.")] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next_cursor` of the page before.")] = None,
) -> Anomalies | Response:
    """A page of flagged readings, the newest first by their own time. New ones never shift the pages that follow.

    As CSV the next page's cursor is in the header `Next-Cursor`.
    """
    judged = verdict.condition() if verdict else None
    rows = flagged(store, limit + 1, cursor, since, station_id, kind, min_score, judged, until)
    page = answers(store, rows[:limit], settings)
    following = page[-1].id if len(rows) > limit else None
    if as_csv:
        flat = [{**row.model_dump(mode="json"), "verdict": row.verdict and row.verdict.verdict.value} for row in page]
        return csv_of(tuple(Flagged.model_fields), flat, {"Next-Cursor": str(following)} if following else None)
    return Anomalies(anomalies=page, next_cursor=following)


@router.get("/anomalies/counts", summary="How many readings are flagged", responses=responses(422, 503))
def count_anomalies(
    store: Store,
    now: Now,
    since: Annotated[Moment | None, Query(description="Readings from this time on; 7 days ago if left out.")] = None,
    station_id: StationQuery = None,
) -> Counts:
    """Flagged readings by day, check and station; of the newest 20 000 at most."""
    since = since or now - timedelta(days=7)
    rows = flagged(store, MOST_COUNTED, since=since, station_id=station_id)
    undecided = flagged(store, MOST_COUNTED, since=since, station_id=station_id, judged=False)
    counted = Counter((row.timestamp.date().isoformat(), check, row.station_id) for row in rows for check in row.failed)
    counts = [DayCount(day=d, kind=k, station_id=s, count=n) for (d, k, s), n in sorted(counted.items())]
    return Counts(since=since, total=len(rows), open=len(undecided), counts=counts)


def changes(writer: Callable[..., str]) -> APIRouter:
    """The route that takes a verdict; `writer` is a dependency: the user's name, or raises for who may not."""
    router = APIRouter(tags=["anomalies"])

    @router.post(
        "/anomalies/{anomaly_id}/verdict",
        summary="Say what a flag is worth",
        responses=responses(403, 404, 422, 503),
    )
    def give_verdict(
        anomaly_id: Annotated[int, Path(ge=1, le=LARGEST_ID, description="As in `/anomalies`.", examples=[4711])],
        said: NewVerdict,
        request: Request,
        settings: SettingsOf,
        now: Now,
        by: str = Depends(writer),
    ) -> Flagged:
        """Confirm that the reading is wrong, or call the flag a false alarm; the last word counts.

        Verdicts are the truth by which the detector is judged.
        """
        with request.app.state.store.begin() as connection:
            row = numbered(connection, anomaly_id)
            if row is None:
                detail = f"there is no flagged reading {anomaly_id}; /anomalies lists them"
                raise Problem(404, "Unknown anomaly", detail)
            verdict = Verdict(said.verdict, by, now, said.note)
            verdicts.give(connection, row.station_id, row.timestamp, verdict)
            return answers(connection, [row], settings)[0]

    return router


def answers(store: Connection, rows: Sequence[JudgedReading], settings: Settings) -> list[Flagged]:
    """Flagged readings with what was said of them."""
    if not rows:
        return []
    stations = sorted({row.station_id for row in rows})
    said = verdicts.on(store, stations, min(row.timestamp for row in rows))
    return [_answer(row, said.get((row.station_id, row.timestamp)), settings) for row in rows]


def _answer(row: JudgedReading, verdict: Verdict | None, settings: Settings) -> Flagged:
    source, found = origin_of(row.source, settings), row.found
    return Flagged(
        id=row.id,
        station_id=row.station_id,
        timestamp=row.timestamp,
        stored_at=row.stored_at,
        score=row.score,
        kinds=row.failed,
        reasons=found["reasons"],
        model_version=found["model_version"],
        source=source,
        live=source is Origin.OPEN_METEO,
        verdict=VerdictAnswer.model_validate(verdict, from_attributes=True) if verdict else None,
    )
