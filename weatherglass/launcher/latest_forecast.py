"""The newest forecast, as one line of text."""

from __future__ import annotations

from weatherglass.records import Method, iso
from weatherglass.settings import Settings
from weatherglass.stations import known_stations
from weatherglass.store import observations, predictions
from weatherglass.store.engine import open_store

HOURS = 6
STEADY_HPA = 0.5
"""A smaller pressure change over `HOURS` counts as steady."""


def describe_latest_forecast(settings: Settings) -> str | None:
    """The newest forecast, as `New York: 3.2 °C at …; in 6 h 4.1 °C (2.0 to 6.2); …`; None if there is none."""
    store = open_store(settings.store_url)
    try:
        with store.connect() as connection:
            newest = predictions.latest_all(connection)
            if not newest:
                return None
            prediction = max(newest.values(), key=lambda row: row.stored_at).prediction
            observed = observations.latest(connection, prediction.station_id)
    finally:
        store.dispose()
    forecast, anomaly = prediction.predictions, prediction.anomaly
    station = known_stations(settings).get(prediction.station_id)
    lead = min(HOURS, len(forecast.valid_times)) - 1
    lower, upper = prediction.confidence.lower.temperature[lead], prediction.confidence.upper.temperature[lead]
    parts = [f"in {lead + 1} h {forecast.temperature[lead]:.1f} °C ({lower:.1f} to {upper:.1f})"]
    # While a backlog is read, the observations are ahead of the predictions.
    is_same_time = observed is not None and observed.observation.timestamp == prediction.timestamp
    temperature = observed.observation.temperature if observed and is_same_time else None
    time = iso(prediction.timestamp)
    parts.insert(0, f"forecast of {time}" if temperature is None else f"{temperature:.1f} °C at {time}")
    parts.append(f"{_pressure_tendency(forecast.pressure[0], forecast.pressure[lead])} pressure")
    model = f"model {forecast.model_version}"
    by_model = forecast.method is Method.MODEL
    parts.append(model if by_model else f"by {forecast.method.value.replace('_', ' ')} ({model})")
    parts.append("; ".join(anomaly.reasons) or "anomalous" if anomaly.is_anomaly else "no anomaly")
    return f"{station.name if station else prediction.station_id}: {'; '.join(parts)}"


def _pressure_tendency(first: float, last: float) -> str:
    return "steady" if abs(last - first) < STEADY_HPA else "rising" if last > first else "falling"
