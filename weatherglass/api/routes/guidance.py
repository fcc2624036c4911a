"""`GET /guidance/{station_id}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, KnownStationId, SettingsDep, UtcTime
from weatherglass.api.problems import NO_DATA_YET, Problem, error_responses
from weatherglass.api.schemas import UnitsField
from weatherglass.guidance_record import GuidanceValues, RunTime
from weatherglass.records import UNITS, Time
from weatherglass.store import guidance
from weatherglass.store.guidance import StoredGuidance

router = APIRouter(tags=["predictions"])

RETRY_SECONDS = 3600
"""Guidance is fetched every one to six hours."""


class GuidanceItem(BaseModel):
    """A run of a weather model."""

    model: str = Field(description="Open-Meteo's id of the model.", examples=["best_match"])
    run: Time = Field(description="Time of the run, as `run_time` says.", examples=["2026-01-05T12:12:00Z"])
    run_time: RunTime
    fetched_at: Time = Field(description="When the run was received.", examples=["2026-01-05T12:12:00Z"])
    simulated: bool = Field(description="True: made by the replay server from later observations, by no weather model.")
    observed_only_by_model: bool = Field(
        description="True: the observations of the station are output of Open-Meteo's models, no independent truth."
    )
    stored_at: Time = Field(description="Time of storage.", examples=["2026-01-05T12:12:03Z"])
    values: GuidanceValues


class GuidanceResponse(BaseModel):
    station_id: str = Field(examples=["new-york"])
    units: UnitsField
    models: list[GuidanceItem] = Field(description="The newest run of each model, ordered by model.")


@router.get(
    "/guidance/{station_id}",
    summary="Newest runs of the weather models for a station",
    responses=error_responses(404, 422, 503),
)
def newest_guidance(
    station_id: KnownStationId,
    store: ConnectionDep,
    settings: SettingsDep,
    known_at: Annotated[
        UtcTime | None,
        Query(
            description="Leave out runs that were received later: what a forecast then could know. `models` is empty "
            "if that is nothing."
        ),
    ] = None,
) -> GuidanceResponse:
    """What the weather models predict, uncorrected. `guidance` of a prediction says what it used."""
    runs = guidance.latest(store, station_id, known_at)
    if not runs and known_at is None:
        detail = (
            f"Station {station_id} has no guidance. It is fetched every 1 to 6 hours with the sources auto, open-meteo "
            f"and replay; the source is {settings.source}. See the DAG ingest_guidance."
        )
        raise Problem(NO_DATA_YET, detail, {"Retry-After": str(RETRY_SECONDS)}, expected_within_seconds=RETRY_SECONDS)
    return GuidanceResponse(station_id=station_id, units=UNITS, models=[_item(stored) for stored in runs])


def _item(stored: StoredGuidance) -> GuidanceItem:
    names = GuidanceItem.model_fields.keys() - {"stored_at"}
    values = {name: getattr(stored.guidance, name) for name in names}
    return GuidanceItem(**values, stored_at=stored.stored_at)
