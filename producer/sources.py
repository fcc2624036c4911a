"""Which source of observations is used, and which stations it observes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import requests

from producer.api_client import ApiClient
from producer.api_response import ApiResponseError, decode
from producer.metar import Metar, create_metar_client
from producer.open_meteo import OpenMeteo, create_client
from producer.replay.data import replay_stations
from weatherglass.history.sources import SourceError
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings, Source, variable
from weatherglass.stations import Station, observed_by

PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class SourceChoice:
    """The source to use.

    Attributes:
        source: never AUTO.
        description: a sentence for the user with the source and the reason.
        problem: why Open-Meteo cannot be used, if the replay replaces it; otherwise None.
    """

    source: Source
    description: str
    problem: str | None = None


def resolve_source(settings: Settings) -> SourceChoice:
    """The configured source; for AUTO, Open-Meteo if it responds within three seconds, otherwise the replay.

    Sends at most one request.
    """
    if settings.source is not Source.AUTO:
        description = _description(settings.source, settings)
        return SourceChoice(settings.source, f"Source (set by {variable('source')}): {description}")
    problem = _probe_open_meteo(str(settings.open_meteo_url).rstrip("/"))
    if problem is None:
        return SourceChoice(Source.OPEN_METEO, f"Source: {_description(Source.OPEN_METEO, settings)}")
    return SourceChoice(
        Source.REPLAY,
        f"WARNING: Open-Meteo is not available ({problem}). Source: REPLAY of "
        f"{_description(Source.REPLAY, settings)}. This is not the current weather.",
        problem,
    )


def observed_stations(settings: Settings) -> tuple[Station, ...]:
    """The stations that the source observes; AUTO counts as Open-Meteo.

    Raises:
        SourceError: the data of the replay cannot be read, or no station has the source.
        StationsError: the station table cannot be used.
    """
    if settings.source is Source.REPLAY:
        return replay_stations(settings)
    source = Origin.METAR if settings.source is Source.METAR else Origin.OPEN_METEO
    if stations := observed_by(settings, source):
        return stations
    raise SourceError(f"{settings.station_table}: no station has the source {source}, so there is nothing to poll")


def open_client(settings: Settings) -> OpenMeteo | Metar:
    """A client of the source: Open-Meteo, the replay server, which implements the same API, or METAR."""
    if settings.source is Source.REPLAY:
        return OpenMeteo(settings.replay_url, settings.replay_url)
    return create_metar_client(settings) if settings.source is Source.METAR else create_client(settings)


def record_origin(settings: Settings, client: ApiClient) -> Origin:
    """The value of the header `source` of published observations.

    Responses of the replay server are never marked as live, also if the address of another source leads to it.
    """
    if settings.source is Source.REPLAY or client.replayed:
        return Origin.REPLAY
    return Origin.METAR if settings.source is Source.METAR else Origin.OPEN_METEO


def _description(source: Source, settings: Settings) -> str:
    if source is Source.OPEN_METEO:
        return f"live observations from {settings.open_meteo_url}"
    if source is Source.METAR:
        return f"live reports of airports from {settings.metar_url}"
    data = f"Kaggle zip {settings.kaggle_zip}" if settings.kaggle_zip else "three New York airports in 2013"
    faults = ""
    if settings.replay_faults:
        faults = f", WITH INJECTED FAULTS in {settings.replay_faults:.1%} of the values ({variable('replay_faults')})"
    return f"real observations from the same days of an earlier year ({data}){faults}"


def _probe_open_meteo(url: str) -> str | None:
    """Why Open-Meteo cannot be used; None if it can. Runs in a thread, because DNS lookups have no other timeout."""
    result: list[str | None] = []

    def probe() -> None:
        query = {"latitude": "40.71", "longitude": "-74.01", "current": "temperature_2m"}
        try:
            response = requests.get(f"{url}/v1/forecast", params=query, timeout=PROBE_TIMEOUT_SECONDS)
            content = decode(response.content) if response.ok else None
            usable = isinstance(content, dict) and "current" in content
            result.append(None if usable else f"{url} returned {response.status_code} {response.reason}")
        except ApiResponseError as error:
            result.append(f"{url}: {error}")
        except requests.RequestException as error:
            result.append(f"{type(error).__name__} for {url}")

    thread = threading.Thread(target=probe, name="open-meteo-probe", daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_SECONDS)
    return result[0] if result else f"no response from {url} within {PROBE_TIMEOUT_SECONDS:g} s"
