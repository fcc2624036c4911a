"""`GET /observations/{station_id}`"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from plugins.api.answers import LiveField, Reading, SourceField, StationAnswer, UnitsField
from plugins.api.context import Moment, Now, SettingsOf, StationId, Store, described_stations, origin_of
from plugins.api.predictions import nothing_yet
from plugins.api.problems import Problem, responses
from weatherglass.records import UNITS, Origin, Time, iso
from weatherglass.store import observations

router = APIRouter(tags=["observations"])

DEFAULT_SPAN = timedelta(hours=24)
LONGEST_SPAN = timedelta(days=31)


class Readings(BaseModel):
    station: StationAnswer
    start: Time
    end: Time
    source: SourceField
    live: LiveField
    units: UnitsField
    observations: list[Reading]


@router.get("/observations/{station_id}", summary="The observations of a station", responses=responses(404, 422, 503))
def observations_of(
    station_id: StationId,
    store: Store,
    settings: SettingsOf,
    now: Now,
    start: Annotated[Moment | None, Query(description="From this time on; 24 h before `end` if left out.")] = None,
    end: Annotated[Moment | None, Query(description="Up to, but without, this time; now if left out.")] = None,
) -> Readings:
    """The observations in [start, end), oldest first; at most 31 days in one answer."""
    # A reading of this very moment belongs to "up to now".
    end = end or now + timedelta(seconds=1)
    start = start or end - DEFAULT_SPAN
    if not timedelta() < end - start <= LONGEST_SPAN:
        raise Problem(
            422,
            "Invalid range",
            f"start {iso(start)} must lie before end {iso(end)}, and by at most {LONGEST_SPAN.days} days",
        )
    newest = observations.latest(store, station_id)
    if newest is None:
        raise nothing_yet("observation", station_id, settings)
    source = origin_of(newest.source, settings)
    return Readings(
        station=StationAnswer.of(station_id, described_stations(settings).get(station_id)),
        start=start,
        end=end,
        source=source,
        live=source is Origin.OPEN_METEO,
        units=UNITS,
        observations=[Reading.of(row) for row in observations.history(store, station_id, start, end)],
    )
