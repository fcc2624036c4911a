"""`GET /stations`"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from plugins.api.answers import LiveField, Reading, SourceField, StationAnswer, UnitsField
from plugins.api.context import Now, SettingsOf, Store, described_stations, origin_of
from plugins.api.problems import responses
from weatherglass.records import UNITS, VARIABLES, Method, Origin, Predictions, Time
from weatherglass.store import observations, predictions

router = APIRouter(tags=["stations"])


class Extremes(BaseModel):
    """The least and the greatest forecast value of all leads."""

    least: float = Field(examples=[1.2])
    greatest: float = Field(examples=[5.8])


class Ahead(BaseModel):
    """What the latest prediction expects over its leads."""

    temperature: Extremes = Field(description="°C")
    humidity: Extremes = Field(description="Relative, %")
    pressure: Extremes = Field(description="At the station, hPa")
    wind_speed: Extremes = Field(description="m/s")
    until: Time = Field(description="The last hour that is forecast.", examples=["2026-01-06T12:00:00Z"])
    model_version: str = Field(examples=["7"])
    method: Method

    @classmethod
    def of(cls, forecast: Predictions) -> Ahead:
        paths = {name: getattr(forecast, name) for name in VARIABLES}
        return cls(
            **{name: Extremes(least=min(path), greatest=max(path)) for name, path in paths.items()},
            until=forecast.valid_times[-1],
            model_version=forecast.model_version,
            method=forecast.method,
        )


class ObservedStation(BaseModel):
    station: StationAnswer
    newest: Reading | None = Field(description="The newest observation.")
    age_seconds: float | None = Field(description="Age of the newest observation, by its own time.", examples=[42.0])
    source: SourceField
    live: LiveField
    forecast_of: Time | None = Field(
        description="Time of the observation that the latest prediction answers.", examples=["2026-01-05T12:15:00Z"]
    )
    is_anomaly: bool | None = Field(description="Whether that observation is flagged; null before any prediction.")
    reasons: list[str] = Field(description="Why it is flagged.", examples=[[]])
    ahead: Ahead | None


class Stations(BaseModel):
    units: UnitsField
    stations: list[ObservedStation]


@router.get("/stations", summary="The stations and their newest readings", responses=responses(503))
def list_stations(store: Store, settings: SettingsOf, now: Now) -> Stations:
    """All stations that have been observed or forecast, in the order of their names; empty before the first reading."""
    described = described_stations(settings)
    observed, predicted = observations.latest_all(store), predictions.latest_all(store)
    rows = []
    for station_id in observed.keys() | predicted.keys():
        reading, prediction = observed.get(station_id), predicted.get(station_id)
        row = reading or prediction
        source = origin_of(row.source if row else None, settings)
        rows.append(
            ObservedStation(
                station=StationAnswer.of(station_id, described.get(station_id)),
                newest=Reading.of(reading) if reading else None,
                age_seconds=(now - reading.observation.timestamp).total_seconds() if reading else None,
                source=source,
                live=source is Origin.OPEN_METEO,
                forecast_of=prediction.prediction.timestamp if prediction else None,
                is_anomaly=prediction.prediction.anomaly.is_anomaly if prediction else None,
                reasons=prediction.prediction.anomaly.reasons if prediction else [],
                ahead=Ahead.of(prediction.prediction.predictions) if prediction else None,
            )
        )
    return Stations(units=UNITS, stations=sorted(rows, key=lambda row: row.station.name))
