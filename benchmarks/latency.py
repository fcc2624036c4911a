"""How long an observation takes from `weather-raw` to its prediction in the API, in a running stack.

    python -m benchmarks.latency [--stations 20] [--rounds 60] [--pause 2]

Pauses ingestion, then publishes simulated observations of the first stations that the API knows, one of each a round,
a minute of event time apart, and asks the API (inside Airflow, with the login) for what it has answered. Use a stack
of its own for it: the simulated observations stay in its topics and its store.
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
from weatherglass.records import Observation, Origin
from weatherglass.settings import Settings, load_settings

ASK_SECONDS = 0.05
GIVE_UP_SECONDS = 60.0


class Stations:
    """The stations as the API shows them."""

    def __init__(self, settings: Settings):
        base = airflow.url(settings)
        login = {"username": "admin", "password": Credentials(settings).password}
        token = requests.post(f"{base}/auth/token", json=login, timeout=20).json()["access_token"]
        self._url = f"{base}/weatherglass/stations"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def newest(self) -> dict[str, dict[str, Any]]:
        answer = self._session.get(self._url, timeout=20)
        answer.raise_for_status()
        return {item["station"]["station_id"]: item for item in answer.json()["stations"]}


def quiet(api: AirflowApi, stations: Stations) -> None:
    """Stop ingestion, and wait until every reading that it published is answered."""
    api.pause(INGEST)
    while api.runs(INGEST, "running") or any(
        item["forecast_of"] != item["newest"]["timestamp"] for item in stations.newest().values() if item["newest"]
    ):
        time.sleep(1)


def one_round(stations: Stations, settings: Settings, observations: list[Observation]) -> list[float]:
    """Seconds from the broker's acknowledgement to the answer in the API, for each observation."""
    wanted = {o.station_id: o.timestamp for o in observations}
    with open_producer(settings.bootstrap_servers) as producer:
        for _ in publish(producer, observations, Origin.SIMULATED, datetime.now(UTC)):
            pass
        published = time.monotonic()
        seconds: dict[str, float] = {}
        while len(seconds) < len(wanted):
            for name, item in stations.newest().items():
                answered = item["forecast_of"]
                if name in wanted and name not in seconds and answered and _time(answered) >= wanted[name]:
                    seconds[name] = time.monotonic() - published
            if time.monotonic() - published > GIVE_UP_SECONDS:
                raise SystemExit(f"no answer within {GIVE_UP_SECONDS:g} s for {sorted(set(wanted) - set(seconds))}")
            time.sleep(ASK_SECONDS)
    return list(seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two rounds")
    chosen = parser.parse_args()
    settings = load_settings()
    stations = Stations(settings)
    quiet(AirflowApi(airflow.url(settings), Credentials(settings).password), stations)
    known = {name: item for name, item in stations.newest().items() if item["newest"]}
    names = sorted(known)[: chosen.stations]
    start = max(_time(item["newest"]["timestamp"]) for item in known.values()) + timedelta(minutes=1)
    noise = random.Random(1)  # noqa: S311
    seconds: list[float] = []
    for number in range(chosen.rounds):
        at = start + timedelta(minutes=number)
        seconds += one_round(stations, settings, [_reading(name, known[name]["newest"], at, noise) for name in names])
        time.sleep(chosen.pause)
    cuts = statistics.quantiles(seconds, n=100)
    print(
        f"{len(names)} stations, {len(seconds)} observations: p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, "
        f"longest {max(seconds):.2f} s"
    )


def _reading(name: str, last: dict[str, Any], at: datetime, noise: random.Random) -> Observation:
    """Near the station's last reading."""
    return Observation(
        station_id=name,
        timestamp=at,
        temperature=(last["temperature"] or 10.0) + noise.gauss(0, 0.1),
        humidity=last["humidity"],
        pressure=last["pressure"],
        wind_speed=last["wind_speed"],
        wind_direction=last["wind_direction"],
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    main()
