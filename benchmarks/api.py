"""How fast the API is alone, with a year of 100 stations in the store, measured by the load tool `hey`.

    python -m benchmarks.api fill <state folder>      makes the store (about 4 GB); needs some minutes
    python -m benchmarks.api load <state folder>      serves it and loads it; needs `hey` (Debian: apt install hey)

With WEATHERGLASS_DATABASE_URL the store is that database instead of the folder's SQLite file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

from sqlalchemy import Connection, func, select, text

from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.settings import Settings, load_settings
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.schema import observations, predictions

STATIONS = 100
DAYS = 365
WHOLE_DAYS = 35
STEP_MINUTES = 15
RATE = 200
SECONDS = 15
CLIENTS = 8
"""Loaders at once, each for a station of its own; together they make `RATE`."""
SIDEWAYS = 4


@dataclass(frozen=True)
class Document:
    """The documents of a prediction, as long as real ones."""

    predictions: str
    anomaly: str
    confidence: str


def document(end: datetime) -> Document:
    def path(shift: float) -> list[float]:
        return [round(1.234567 * lead + shift, 4) for lead in LEADS]

    values = {name: path(number) for number, name in enumerate(VARIABLES)}
    hours = [(end + timedelta(hours=lead)).strftime("%Y-%m-%dT%H:00:00Z") for lead in LEADS]
    checks = dict.fromkeys(("range", "step", "flat_line", "forecast_residual", "isolation_forest"), "ok")
    return Document(
        json.dumps({"valid_times": hours, **values, "model_version": "7", "method": Method.MODEL.value}),
        json.dumps({"is_anomaly": False, "score": 0.12, "checks": checks, "reasons": [], "model_version": "3"}),
        json.dumps({"level": 0.9, "lower": values, "upper": values, "history_hours": 72}),
    )


def fill(settings: Settings) -> None:
    """Every reading of a year, every issue of the last 35 days and one an hour before, as the sink would leave it."""
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    started = time.monotonic()
    for number in range(STATIONS):
        with store.begin() as connection:
            fill_station(connection, f"station-{number:03}", end)
        print(f"\r{number + 1} of {STATIONS} stations, {time.monotonic() - started:.0f} s", end="", flush=True)
    with store.begin() as connection:
        connection.execute(text("ANALYZE"))
        counts = [connection.execute(select(func.count()).select_from(t)).scalar() for t in (observations, predictions)]
    print(f"\n{counts[0]} observations, {counts[1]} predictions")


def fill_station(connection: Connection, station: str, end: datetime, days: int = DAYS) -> None:
    """A reading every quarter of an hour, up to `end`."""
    made = document(end)
    steps = days * 24 * 60 // STEP_MINUTES
    sqlite = connection.dialect.name == "sqlite"
    at = (
        "strftime('%Y-%m-%d %H:%M:%f000', :end, '-' || (k * 15) || ' minutes')"
        if sqlite
        else "CAST(:end AS timestamptz) - k * interval '15 minutes'"
    )
    numbers = f"WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < {steps - 1})"  # noqa: S608
    values = {"station": station, "end": end.strftime("%Y-%m-%d %H:%M:%S" + ("" if sqlite else "+00"))}
    connection.execute(
        text(
            f"{numbers} INSERT INTO observations (station_id, timestamp, temperature, humidity, pressure, wind_speed,"  # noqa: S608
            f" wind_direction, source, stored_at) SELECT :station, {at}, k % 30, 50 + k % 40, 1000 + k % 20, k % 9,"
            f" k % 360, 'simulated', {at} FROM n"
        ),
        values,
    )
    as_json = "" if sqlite else "::jsonb"
    connection.execute(
        text(
            f"{numbers} INSERT INTO predictions (station_id, timestamp, method, model_version, is_anomaly, score,"  # noqa: S608
            f" predictions, anomaly, confidence, source, stored_at) SELECT :station, {at}, 'model', '7', false, 0.12,"
            f" (:predictions){as_json}, (:anomaly){as_json}, (:confidence){as_json}, 'simulated', {at} FROM n"
            f" WHERE k < {WHOLE_DAYS * 96} OR k % 4 = 0"
        ),
        {**values, "predictions": made.predictions, "anomaly": made.anomaly, "confidence": made.confidence},
    )


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "plugins.api"],
        env={**os.environ, "WEATHERGLASS_STATE_DIR": str(settings.state_dir)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{settings.api_port}"
    try:
        while True:
            try:
                urlopen(f"{address}/openapi.json", timeout=5).close()  # noqa: S310
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("the API ended while starting; run `python -m plugins.api` to see why") from None
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def load(settings: Settings) -> None:
    end = datetime.now(UTC)
    far = {"from": end - timedelta(days=200), "to": end - timedelta(days=180)}
    far_range = "&".join(f"{name}={time:%Y-%m-%dT%H:%M:%SZ}" for name, time in far.items())
    with served(settings) as address:
        paths = [f"{address}/predictions/station-{number:03}" for number in range(0, STATIONS, STATIONS // SIDEWAYS)]
        _report(f"latest prediction, {RATE} requests/s", _loaded(paths, RATE / SIDEWAYS))
        for name, query in {
            "history, 50 issues": "?from={week}",
            "history, 50 issues of half a year ago": f"?{far_range}",
            "history, one lead and variable, 200 issues": "?from={week}&lead=6&variable=temperature&limit=200",
        }.items():
            asked = query.replace("{week}", f"{end - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}")
            _report(f"{name}, one after another", _loaded([f"{paths[1]}/history{asked}"], 5, clients=1))
        _report("stations, one after another", _loaded([f"{address}/stations"], 5, clients=1))


def _loaded(addresses: list[str], rate: float, clients: int = CLIENTS // SIDEWAYS) -> list[str]:
    """What `hey` says of each address, loaded all at once, each with `rate` requests a second."""
    command = ["hey", "-z", f"{SECONDS}s", "-c", str(clients), "-q", f"{rate / clients:g}"]
    processes = [subprocess.Popen([*command, one], stdout=subprocess.PIPE, text=True) for one in addresses]
    return [process.communicate()[0] for process in processes]


def _report(name: str, said: list[str]) -> None:
    def worst(pattern: str, of: type = float) -> float:
        found = [re.search(pattern, one) for one in said]
        return max((of(match.group(1)) for match in found if match), default=float("nan"))

    rate = sum(float(match.group(1)) for one in said if (match := re.search(r"Requests/sec:\s+([\d.]+)", one)))
    answered = sum(int(count) for one in said for count in re.findall(r"\[200]\s+(\d+) responses", one))
    others = sum(int(count) for one in said for count in re.findall(r"\[(?!200])\d+]\s+(\d+) responses", one))
    times = [1000 * worst(rf"{share}%+ in ([\d.]+) secs") for share in (50, 95, 99)]
    print(
        f"{name}: {rate:.0f}/s, p50 {times[0]:.1f} ms, p95 {times[1]:.1f} ms, p99 {times[2]:.1f} ms; "
        f"{answered} answers, {others} errors",
        flush=True,
    )


def main() -> None:
    what, folder = sys.argv[1:]
    settings = load_settings(state_dir=Path(folder))
    {"fill": fill, "load": load}[what](settings)


if __name__ == "__main__":
    main()
