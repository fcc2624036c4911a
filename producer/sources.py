"""Which source of observations is used, and which stations it observes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import requests

from producer.api_client import USER_AGENT
from producer.api_response import ApiResponseError, decode
from producer.replay.data import replay_stations
from weatherglass.history.sources import SourceError
from weatherglass.record_headers import origin_of
from weatherglass.settings import Settings, Source
from weatherglass.settings_errors import variable
from weatherglass.simulated_stations import simulated_stations
from weatherglass.stations import Station, known_stations, observed_by

PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class SourceChoice:
    """The source to use.

    Attributes:
        source: AUTO if each poll chooses for each station.
        description: a sentence for the user with the source and the reason.
        problem: why Open-Meteo cannot be used, if another source replaces it; otherwise None.
    """

    source: Source
    description: str
    problem: str | None = None


def resolve_source(settings: Settings) -> SourceChoice:
    """The source for this start.

    It is the configured one, except for AUTO: AUTO if Open-Meteo responds; each poll then chooses for each station. If
    Open-Meteo does not respond, METAR if the reports of airports are available, otherwise the replay.

    Sends at most one request to each.
    """
    if settings.source is not Source.AUTO:
        description = _description(settings.source, settings)
        return SourceChoice(settings.source, f"Source (set by {variable('source')}): {description}")
    problem = _probe(_open_meteo_problem, str(settings.open_meteo_url).rstrip("/"))
    if problem is None:
        return SourceChoice(Source.AUTO, f"Source: {_description(Source.AUTO, settings)}")
    without = f"WARNING: Open-Meteo is not available ({problem})"
    metar_problem = _probe(_metar_problem, str(settings.metar_url).rstrip("/"))
    if metar_problem is None:
        description = f"{without}. Source: {_description(Source.METAR, settings)}, for stations with an airport only."
        return SourceChoice(Source.METAR, description, problem)
    problem = f"{problem}; {metar_problem}"
    return SourceChoice(
        Source.REPLAY,
        f"WARNING: neither Open-Meteo nor the reports of airports are available ({problem}). Source: REPLAY of "
        f"{_description(Source.REPLAY, settings)}. This is not the current weather.",
        problem,
    )


def observed_stations(settings: Settings) -> tuple[Station, ...]:
    """The stations that the source observes; with AUTO those that have any source.

    Raises:
        SourceError: the data of the replay cannot be read, or no station has the source.
        StationsError: the station table cannot be used.
    """
    if settings.source is Source.REPLAY:
        return replay_stations(settings)
    if settings.source is Source.SIMULATE:
        return simulated_stations(settings.simulate_stations, settings.simulate_seed)
    if settings.source is Source.AUTO:
        stations = tuple(station for station in known_stations(settings).values() if station.sources)
    else:
        stations = observed_by(settings, origin_of(settings.source))
    if stations:
        return stations
    table = settings.station_table
    raise SourceError(f"{table}: no station has the source {settings.source}, so there is nothing to poll")


def _description(source: Source, settings: Settings) -> str:
    if source is Source.OPEN_METEO:
        return f"live observations from {settings.open_meteo_url}"
    if source is Source.METAR:
        return f"live reports of airports from {settings.metar_url}"
    if source is Source.AUTO:
        airports = f"measured reports from {settings.metar_url} for stations whose airport reports"
        return f"{airports}, otherwise live observations from {settings.open_meteo_url}"
    if source is Source.SIMULATE:
        return f"SIMULATED weather at {settings.simulate_stations} stations. This is not the current weather"
    data = f"Kaggle zip {settings.kaggle_zip}" if settings.kaggle_zip else "three New York airports in 2013"
    faults = ""
    if settings.replay_faults:
        faults = f", WITH INJECTED FAULTS in {settings.replay_faults:.1%} of the values ({variable('replay_faults')})"
    return f"real observations from the same days of an earlier year ({data}){faults}"


def _probe(problem_of: Callable[[str], str | None], url: str) -> str | None:
    """Why the source at an address cannot be used; None if it can.

    Runs in a thread, because DNS lookups have no other timeout.
    """
    result: list[str | None] = []

    def probe() -> None:
        try:
            result.append(problem_of(url))
        except ApiResponseError as error:
            result.append(f"{url}: {error}")
        except requests.RequestException as error:
            result.append(f"{type(error).__name__} for {url}")

    thread = threading.Thread(target=probe, name="source-probe", daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_SECONDS)
    return result[0] if result else f"no response from {url} within {PROBE_TIMEOUT_SECONDS:g} s"


def _open_meteo_problem(url: str) -> str | None:
    query = {"latitude": "40.71", "longitude": "-74.01", "current": "temperature_2m"}
    response = requests.get(f"{url}/v1/forecast", params=query, timeout=PROBE_TIMEOUT_SECONDS)
    content = decode(response.content) if response.ok else None
    usable = isinstance(content, dict) and "current" in content
    return None if usable else f"{url} returned {response.status_code} {response.reason}"


def _metar_problem(url: str) -> str | None:
    """Asks for the description of an airport: another endpoint than the polls, so that it does not delay the first."""
    query = {"ids": "KJFK", "format": "json"}
    headers = {"User-Agent": USER_AGENT}
    response = requests.get(f"{url}/api/data/stationinfo", params=query, headers=headers, timeout=PROBE_TIMEOUT_SECONDS)
    content = decode(response.content) if response.ok else None
    return None if isinstance(content, list) and content else f"{url} returned {response.status_code} {response.reason}"
