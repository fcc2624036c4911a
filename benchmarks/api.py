"""Performance of the standalone API with one year of 100 stations in the store, measured with the load generator `hey`.

    python -m benchmarks.api fill <state folder> [days]   creates the store (a year: several GB, some minutes)
    python -m benchmarks.api load <state folder>          load test; needs `hey` (Debian: apt install hey)
    python -m benchmarks.api cpu <state folder>           CPU time of single requests, without HTTP

With WEATHERGLASS_DATABASE_URL, that database is used instead of the SQLite file in the folder.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from fastapi import FastAPI
from sqlalchemy import Connection, Engine, create_engine, func, select, text
from starlette.types import Message

from weatherglass.api.app import create_app
from weatherglass.record_headers import Origin
from weatherglass.records import (
    LEADS,
    VARIABLES,
    Anomaly,
    Bounds,
    Confidence,
    Interval,
    Method,
    Predictions,
    Quality,
)
from weatherglass.settings import Settings, load_settings
from weatherglass.store.migrate import migrate
from weatherglass.store.schema import observations, predictions

STATIONS = 100
DAYS = 365
ALL_ISSUES_DAYS = 35
"""Predictions of every observation are stored for this time, before that one per hour."""
STEP_MINUTES = 15
RATE = 200
"""Requests per second of all load generators together."""
SECONDS = 15
CLIENTS = 8
GENERATORS = 4
"""Concurrent processes of `hey`, each for one station."""
WARM_UP, MEASURED = 5, 31


@cache
def documents(hour: datetime) -> dict[str, str]:
    """The JSON documents of a prediction for an observation in this hour, of realistic length."""
    values: dict[str, Any] = {
        name: [round(1.234567 * lead + number, 4) for lead in LEADS] for number, name in enumerate(VARIABLES)
    }
    checks = dict.fromkeys(("range", "step", "flat_line", "forecast_residual", "isolation_forest"), Quality.OK)
    bounds = {"lower": Bounds(**values), "upper": Bounds(**values)}
    models = {
        "predictions": Predictions(
            valid_times=[hour + timedelta(hours=lead) for lead in LEADS],
            **values,
            model_version="7",
            method=Method.MODEL,
        ),
        "anomaly": Anomaly(is_anomaly=False, score=0.12, checks=checks, reasons=[], flags=[], model_version="3"),
        "confidence": Confidence(level=0.9, **bounds, history_hours=72, others=[Interval(level=0.8, **bounds)]),
    }
    return {name: model.model_dump_json() for name, model in models.items()}


def open_to_fill(settings: Settings) -> Engine:
    """The store for `fill_station`, which passes documents as JSON text so that they are serialized only once."""
    return create_engine(settings.store_url, json_serializer=str)


def fill(settings: Settings, days: int = DAYS) -> None:
    """Create the store in the state that the sink would leave it in."""
    migrate(settings.store_url)
    store = open_to_fill(settings)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    started = time.monotonic()
    for number in range(STATIONS):
        with store.begin() as connection:
            fill_station(connection, f"station-{number:03}", end, days)
        print(f"\r{number + 1} of {STATIONS} stations, {time.monotonic() - started:.0f} s", end="", flush=True)
    with store.begin() as connection:
        connection.execute(text("ANALYZE"))
        counts = [connection.execute(select(func.count()).select_from(t)).scalar() for t in (observations, predictions)]
    print(f"\n{counts[0]} observations, {counts[1]} predictions")


def fill_station(connection: Connection, station: str, end: datetime, days: int = DAYS) -> None:
    """Save observations every 15 minutes up to `end`, and their predictions."""
    steps = [(k, end - timedelta(minutes=STEP_MINUTES * k)) for k in range(days * 24 * 60 // STEP_MINUTES)]
    readings = [
        {
            "station_id": station,
            "timestamp": time,
            "temperature": k % 30,
            "humidity": 50 + k % 40,
            "pressure": 1000 + k % 20,
            "wind_speed": k % 9,
            "wind_direction": k % 360,
            "source": Origin.SIMULATED.value,
            "stored_at": time,
        }
        for k, time in steps
    ]
    issues = [
        {
            "station_id": station,
            "timestamp": time,
            "method": Method.MODEL.value,
            "model_version": "7",
            "is_anomaly": False,
            "score": 0.12,
            **documents(time.replace(minute=0)),
            "source": Origin.SIMULATED.value,
            "stored_at": time,
        }
        for k, time in steps
        if k < ALL_ISSUES_DAYS * 24 * 60 // STEP_MINUTES or time.minute == 0
    ]
    connection.execute(observations.insert(), readings)
    connection.execute(predictions.insert(), issues)


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Run the standalone API; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weatherglass.api"],
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
                    raise SystemExit(
                        "the API exited during startup; run `python -m weatherglass.api` to see the reason"
                    ) from None
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
        paths = [f"{address}/predictions/station-{number:03}" for number in range(0, STATIONS, STATIONS // GENERATORS)]
        _report(f"latest prediction, {RATE} requests/s", _run_hey(paths, RATE / GENERATORS))
        for name, query in {
            "history, 50 issues": "?from={week}",
            "history, 50 issues half a year ago": f"?{far_range}",
            "history, one lead and variable, 200 issues": "?from={week}&lead=6&variable=temperature&limit=200",
        }.items():
            parameters = query.replace("{week}", f"{end - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}")
            _report(f"{name}, one client", _run_hey([f"{paths[1]}/history{parameters}"], 5, clients=1))
        _report("stations, one client", _run_hey([f"{address}/stations"], 5, clients=1))


def _run_hey(urls: list[str], rate: float, clients: int = CLIENTS // GENERATORS) -> list[str]:
    """Load all URLs concurrently, each with `rate` requests per second; returns the reports of `hey`."""
    command = ["hey", "-z", f"{SECONDS}s", "-c", str(clients), "-q", f"{rate / clients:g}"]
    processes = [subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True) for url in urls]
    return [process.communicate()[0] for process in processes]


def _report(name: str, reports: list[str]) -> None:
    """Print the total rate and the percentiles of the slowest generator."""

    def largest(pattern: str) -> float:
        matches = [re.search(pattern, report) for report in reports]
        return max((float(match.group(1)) for match in matches if match), default=float("nan"))

    rate = sum(float(match.group(1)) for report in reports if (match := re.search(r"Requests/sec:\s+([\d.]+)", report)))
    successes = sum(int(count) for report in reports for count in re.findall(r"\[200]\s+(\d+) responses", report))
    errors = sum(int(count) for report in reports for count in re.findall(r"\[(?!200])\d+]\s+(\d+) responses", report))
    times = [1000 * largest(rf"{percentile}%+ in ([\d.]+) secs") for percentile in (50, 95, 99)]
    print(
        f"{name}: {rate:.0f}/s, p50 {times[0]:.1f} ms, p95 {times[1]:.1f} ms, p99 {times[2]:.1f} ms; "
        f"{successes} responses, {errors} errors",
        flush=True,
    )


def cpu(settings: Settings) -> None:
    """CPU time from the ASGI request to the last byte of the response, which excludes parsing and writing HTTP."""
    week = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"
    requests = {
        "latest prediction": ("/predictions/station-025", ""),
        "history, 50 issues": ("/predictions/station-025/history", f"from={week}"),
        "history, one lead and variable, 200 issues": (
            "/predictions/station-025/history",
            f"from={week}&lead=6&variable=temperature&limit=200",
        ),
        "observations, 7 days": ("/observations/station-025", f"from={week}"),
        "observations, all stations": ("/observations", ""),
        "anomalies, 50": ("/anomalies", ""),
        "stations": ("/stations", ""),
    }

    async def measure() -> None:
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            for name, (path, query) in requests.items():
                times, body_bytes = [], 0
                for _ in range(WARM_UP + MEASURED):
                    before = time.process_time()
                    body_bytes = await _request(app, path, query)
                    times.append(1000 * (time.process_time() - before))
                print(f"{name}: {median(times[WARM_UP:]):.2f} ms, {body_bytes} bytes compressed", flush=True)

    asyncio.run(measure())


async def _request(app: FastAPI, path: str, query: str) -> int:
    """Send an ASGI request; returns the length of the response body in bytes."""
    body_bytes = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal body_bytes
        assert message.get("status", 200) == 200, (path, message)
        body_bytes += len(message.get("body", b""))

    headers = [(b"host", b"localhost"), (b"accept", b"application/json"), (b"accept-encoding", b"gzip")]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": ""}
    scope |= {"query_string": query.encode(), "headers": headers, "scheme": "http", "http_version": "1.1"}
    await app({**scope, "server": ("localhost", 80), "client": ("127.0.0.1", 1)}, receive, send)
    return body_bytes


def main() -> None:
    command, folder, *days = sys.argv[1:]
    settings = load_settings(state_dir=Path(folder))
    if command == "fill":
        fill(settings, *map(int, days))
    else:
        {"load": load, "cpu": cpu}[command](settings)


if __name__ == "__main__":
    main()
