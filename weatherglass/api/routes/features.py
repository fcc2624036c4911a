"""`GET /features/{station_id}`."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, KnownStationId, NowDep, SettingsDep
from weatherglass.api.problems import error_responses
from weatherglass.api.routes.predictions import no_data_yet
from weatherglass.api.schemas import UnitsField
from weatherglass.records import UNITS, Time, WindowFeatures
from weatherglass.store import latest_windows

router = APIRouter(tags=["observations"])


class FeaturesResponse(BaseModel):
    station_id: str = Field(examples=["new-york"])
    stored_at: Time = Field(description="Time of storage.", examples=["2026-01-05T12:15:04Z"])
    age_seconds: float = Field(description="Seconds since the last observation in the window.", examples=[42.0])
    units: UnitsField
    window: WindowFeatures


@router.get(
    "/features/{station_id}", summary="Latest feature window of a station", responses=error_responses(404, 422, 503)
)
def newest_features(
    station_id: KnownStationId, store: ConnectionDep, settings: SettingsDep, now: NowDep
) -> FeaturesResponse:
    """Statistics of the latest five-minute window: the input of the forecast and of the anomaly checks."""
    latest = latest_windows.latest(store, station_id)
    if latest is None:
        raise no_data_yet("feature window", station_id, settings)
    return FeaturesResponse(
        station_id=station_id,
        stored_at=latest.stored_at,
        age_seconds=(now - latest.window.aggregated_features.last_observation).total_seconds(),
        units=UNITS,
        window=latest.window,
    )
