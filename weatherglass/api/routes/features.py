"""`GET /features/{station_id}`"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import Now, SettingsOf, StationId, Store
from weatherglass.api.problems import responses
from weatherglass.api.routes.predictions import nothing_yet
from weatherglass.api.schemas import UnitsField
from weatherglass.records import UNITS, Time, WindowFeatures
from weatherglass.store import latest_windows

router = APIRouter(tags=["observations"])


class Features(BaseModel):
    station_id: str = Field(examples=["new-york"])
    stored_at: Time = Field(description="When it came into the store.", examples=["2026-01-05T12:15:04Z"])
    age_seconds: float = Field(description="Since the last observation in the window.", examples=[42.0])
    units: UnitsField
    window: WindowFeatures


@router.get("/features/{station_id}", summary="The newest window of a station", responses=responses(404, 422, 503))
def newest_features(station_id: StationId, store: Store, settings: SettingsOf, now: Now) -> Features:
    """Statistics of the newest five-minute window, as the forecast and the checks were given them."""
    found = latest_windows.newest(store, station_id)
    if found is None:
        raise nothing_yet("window of features", station_id, settings)
    return Features(
        station_id=station_id,
        stored_at=found.stored_at,
        age_seconds=(now - found.window.aggregated_features.last_observation).total_seconds(),
        units=UNITS,
        window=found.window,
    )
