"""Which source of observations is used, and which stations it observes."""

from __future__ import annotations

import threading

import requests

from producer.open_meteo import OpenMeteo, open_meteo_of
from producer.replay.data import replay_stations
from weatherglass.records import Origin
from weatherglass.settings import Settings, Source, variable
from weatherglass.stations import Network, Station, network

PATIENCE_SECONDS = 3.0


def choose(settings: Settings) -> tuple[Source, str]:
    """Settle `auto`: Open-Meteo if it answers within three seconds, else the replay. Asks once.

    Returns:
        The source, never AUTO, and a sentence for the user that says which and why.
    """
    if settings.source is not Source.AUTO:
        return settings.source, f"observations: {_described(settings.source, settings)}, as WEATHERGLASS_SOURCE says"
    problem = _problem_of_open_meteo(str(settings.open_meteo_url).rstrip("/"))
    if problem is None:
        return Source.OPEN_METEO, f"observations: {_described(Source.OPEN_METEO, settings)}"
    return Source.REPLAY, (
        f"OPEN-METEO CANNOT BE USED ({problem}). Showing a REPLAY instead: {_described(Source.REPLAY, settings)}. "
        "These are not today's weather."
    )


def observed_stations(settings: Settings) -> tuple[Station, ...]:
    """The stations that the source observes; AUTO counts as Open-Meteo.

    Raises:
        SourceError: the data to replay cannot be read.
    """
    return replay_stations(settings) if settings.source is Source.REPLAY else network(Network.LIVE)


def client_of(settings: Settings) -> OpenMeteo:
    """The client of the source: Open-Meteo, or the replay that speaks its API."""
    if settings.source is Source.REPLAY:
        return OpenMeteo(settings.replay_url, settings.replay_url)
    return open_meteo_of(settings)


def origin_of(settings: Settings) -> Origin:
    return Origin.REPLAY if settings.source is Source.REPLAY else Origin.OPEN_METEO


def _described(source: Source, settings: Settings) -> str:
    if source is Source.OPEN_METEO:
        return f"live from {settings.open_meteo_url}"
    data = f"Kaggle's zip {settings.kaggle_zip}" if settings.kaggle_zip else "three New York airports in 2013"
    faults = ""
    if settings.replay_faults:
        faults = (
            f", WITH FAULTS INJECTED ON PURPOSE into {settings.replay_faults:.1%} of the values "
            f"({variable('replay_faults')})"
        )
    return f"real observations of the same days of an earlier year ({data}){faults}"


def _problem_of_open_meteo(url: str) -> str | None:
    """Why Open-Meteo cannot be used; None if it can. A thread, since nothing else bounds the look-up of a name."""
    found: list[str | None] = []

    def ask() -> None:
        query = {"latitude": "40.71", "longitude": "-74.01", "current": "temperature_2m"}
        try:
            response = requests.get(f"{url}/v1/forecast", params=query, timeout=PATIENCE_SECONDS)
            usable = response.ok and "current" in response.json()
            found.append(None if usable else f"it answered {response.status_code} {response.reason}")
        except requests.RequestException as error:
            found.append(f"{type(error).__name__} for {url}")

    thread = threading.Thread(target=ask, name="open-meteo-probe", daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return found[0] if found else f"no answer from {url} within {PATIENCE_SECONDS:g} s"
