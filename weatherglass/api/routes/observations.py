"""`GET /observations` and `GET /observations/{station_id}`."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import (
    ConnectionDep,
    FromTime,
    KnownStationId,
    NowDep,
    SettingsDep,
    ToTime,
    located_stations,
    resolve_range,
    source_of,
)
from weatherglass.api.problems import error_responses
from weatherglass.api.routes.predictions import no_data_yet
from weatherglass.api.schemas import (
    LiveField,
    ObservationItem,
    SourceField,
    StationItem,
    UnitsField,
    json_response,
    observation_item,
    station_item,
)
from weatherglass.api.table_response import TABLE_RESPONSES, PreferredTable, columns_of, table_response
from weatherglass.record_headers import LIVE_ORIGINS
from weatherglass.records import UNITS, Observation, Time, iso
from weatherglass.store import model_output, observations, sparklines

router = APIRouter(tags=["observations"])

DEFAULT_SPAN = timedelta(hours=24)
MAX_SPAN = timedelta(days=31)


class ObservedVariable(StrEnum):
    """An observed variable."""

    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    PRESSURE = "pressure"
    WIND_SPEED = "wind_speed"
    WIND_DIRECTION = "wind_direction"


class ModelOutputItem(BaseModel):
    """Values of Open-Meteo's model at a station that its airport observes, to compare the two; no observation."""

    timestamp: Time = Field(examples=["2026-01-05T12:15:00Z"])
    temperature: float | None = Field(description="°C", examples=[3.4])
    humidity: float | None = Field(description="Relative humidity, %", examples=[79.0])
    pressure: float | None = Field(description="Station pressure, hPa", examples=[1013.9])
    wind_speed: float | None = Field(description="m/s", examples=[3.6])
    wind_direction: float | None = Field(description="Degrees from which the wind blows", examples=[210.0])


class ObservationsResponse(BaseModel):
    station: StationItem
    start: Time = Field(examples=["2026-01-04T12:15:42Z"])
    end: Time = Field(examples=["2026-01-05T12:15:42Z"])
    source: SourceField
    live: LiveField
    units: UnitsField
    observations: list[ObservationItem]
    model_output: list[ModelOutputItem] = Field(
        description="Open-Meteo's values in the same range while an airport observes the station; not in the CSV."
    )


class RecentSeriesItem(BaseModel):
    """The values of one variable at one station, oldest first; `values[i]` was observed at `times[i]`."""

    station_id: str = Field(examples=["new-york"])
    times: list[Time] = Field(examples=[["2026-01-05T12:00:00Z", "2026-01-05T12:15:00Z"]])
    values: list[float | None] = Field(examples=[[3.1, 3.2]])


class RecentObservationsResponse(BaseModel):
    variable: ObservedVariable
    unit: str = Field(examples=["°C"])
    hours: int = Field(examples=[24])
    stations: list[RecentSeriesItem]


@router.get(
    "/observations",
    summary="Recent values of one variable at all stations",
    responses=error_responses(422, 503),
    response_model=RecentObservationsResponse,
)
def recent_observations(
    store: ConnectionDep,
    variable: Annotated[ObservedVariable, Query(description="Observed variable.")] = ObservedVariable.TEMPERATURE,
    hours: Annotated[
        int, Query(ge=1, le=72, description="Length of the time range, which ends at the newest observation.")
    ] = 24,
) -> Response:
    """Data for sparklines of all stations. The range ends at the newest observation, not now, because of replays."""
    newest = observations.latest_all(store)
    rows_by_station: dict = {}
    if newest:
        last = max(row.observation.timestamp for row in newest.values())
        end = last + timedelta(seconds=1)
        rows_by_station = sparklines.series(store, variable.value, end - timedelta(hours=hours), end, list(newest))
    stations = [
        {"station_id": name, "times": [iso(time) for time, _ in rows], "values": [value for _, value in rows]}
        for name, rows in rows_by_station.items()
    ]
    return json_response({"variable": variable, "unit": UNITS[variable.value], "hours": hours, "stations": stations})


@router.get(
    "/observations/{station_id}",
    summary="Observations of a station",
    responses={200: TABLE_RESPONSES, **error_responses(404, 422, 503)},
    response_model=ObservationsResponse,
)
def station_observations(
    station_id: KnownStationId,
    store: ConnectionDep,
    settings: SettingsDep,
    now: NowDep,
    table: PreferredTable,
    start: FromTime = None,
    end: ToTime = None,
) -> Response:
    """The observations in [from, to), oldest first, at most 31 days. Default: the last 24 hours."""
    start, end = resolve_range(start, end, now, DEFAULT_SPAN, MAX_SPAN)
    newest = observations.latest(store, station_id)
    if newest is None:
        raise no_data_yet("observation", station_id, settings)
    source = source_of(newest.source, settings)
    rows = observations.history(store, station_id, start, end)
    if table:
        items = ({"station_id": station_id, **observation_item(row)} for row in rows)
        return table_response(table, {"station_id": str, **columns_of(ObservationItem)}, items)
    return json_response(
        {
            "station": station_item(station_id, located_stations(settings).get(station_id)),
            "start": iso(start),
            "end": iso(end),
            "source": source,
            "live": source in LIVE_ORIGINS,
            "units": UNITS,
            "observations": [observation_item(row) for row in rows],
            "model_output": [_model_output_item(row) for row in model_output.between(store, station_id, start, end)],
        }
    )


def _model_output_item(values: Observation) -> dict[str, Any]:
    """The fields of a `ModelOutputItem`."""
    names = [name for name in ModelOutputItem.model_fields if name != "timestamp"]
    return {"timestamp": iso(values.timestamp), **{name: getattr(values, name) for name in names}}
