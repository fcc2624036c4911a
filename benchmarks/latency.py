"""Latency from an observation on `weather-raw` to its prediction in the API, in a running pipeline.

    python -m benchmarks.latency [--stations 20] [--rounds 60] [--pause 2]

Pauses ingestion, then publishes simulated observations of the first stations of the API, one per station and round, a
minute of event time apart, and polls the API (inside Airflow, with login) for the predictions. Use a separate state
folder: the simulated observations remain in the topics and the store.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from producer.publish import open_producer, publish
from weatherglass.launcher import airflow
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.launcher.credentials import Credentials
from weatherglass.launcher.pipeline import INGEST
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import Settings, load_settings

POLL_SECONDS = 0.05
TIMEOUT_SECONDS = 60.0


class StationsClient:
    """Client of `/stations` of the API."""

    def __init__(self, settings: Settings):
        base = airflow.url(settings)
        login = {"username": "admin", "password": Credentials(settings).password}
        token = requests.post(f"{base}/auth/token", json=login, timeout=20).json()["access_token"]
        self._url = f"{base}/weatherglass/stations"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def newest(self) -> dict[str, dict[str, Any]]:
        response = self._session.get(self._url, timeout=20)
        response.raise_for_status()
        return {item["station"]["station_id"]: item for item in response.json()["stations"]}


def pause_ingestion(api: AirflowApi, stations: StationsClient) -> None:
    """Pause ingestion, and wait until all published observations have predictions."""
    api.pause(INGEST)
    while api.runs(INGEST, "running") or any(
        item["forecast_of"] != item["newest"]["timestamp"] for item in stations.newest().values() if item["newest"]
    ):
        time.sleep(1)


def measure_round(stations: StationsClient, settings: Settings, observations: list[Observation]) -> list[float]:
    """Seconds from the acknowledgement of the broker to the prediction in the API, for each observation."""
    expected = {o.station_id: o.timestamp for o in observations}
    with open_producer(settings) as producer:
        origins = {observation.station_id: Origin.SIMULATED for observation in observations}
        for _ in publish(producer, settings.topics.raw, observations, origins, datetime.now(UTC)):
            pass
        published = time.monotonic()
        seconds: dict[str, float] = {}
        while len(seconds) < len(expected):
            for name, item in stations.newest().items():
                predicted = item["forecast_of"]
                if name in expected and name not in seconds and predicted and _time(predicted) >= expected[name]:
                    seconds[name] = time.monotonic() - published
            if time.monotonic() - published > TIMEOUT_SECONDS:
                raise SystemExit(
                    f"No prediction within {TIMEOUT_SECONDS:g} s for {sorted(set(expected) - set(seconds))}"
                )
            time.sleep(POLL_SECONDS)
    return list(seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stations", type=int, default=20, help="number of stations")
    parser.add_argument("--rounds", type=int, default=60, help="number of rounds")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two rounds")
    options = parser.parse_args()
    settings = load_settings()
    stations = StationsClient(settings)
    pause_ingestion(AirflowApi(airflow.url(settings), Credentials(settings).password), stations)
    known = {name: item for name, item in stations.newest().items() if item["newest"]}
    names = sorted(known)[: options.stations]
    start = max(_time(item["newest"]["timestamp"]) for item in known.values()) + timedelta(minutes=1)
    noise = random.Random(1)  # noqa: S311
    seconds: list[float] = []
    for number in range(options.rounds):
        at = start + timedelta(minutes=number)
        seconds += measure_round(
            stations, settings, [_reading(name, known[name]["newest"], at, noise) for name in names]
        )
        time.sleep(options.pause)
    cuts = statistics.quantiles(seconds, n=100)
    print(
        f"{len(names)} stations, {len(seconds)} observations: p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, "
        f"longest {max(seconds):.2f} s"
    )


def _reading(name: str, last: dict[str, Any], at: datetime, noise: random.Random) -> Observation:
    """An observation close to the last one of the station."""
    return Observation(
        station_id=name,
        timestamp=at,
        temperature=(last["temperature"] or 10.0) + noise.gauss(0, 0.1),
        humidity=last["humidity"],
        pressure=last["pressure"],
        wind_speed=last["wind_speed"],
        wind_direction=last["wind_direction"],
        wind_gust=None,
        temperature_resolution=None,
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    main()
