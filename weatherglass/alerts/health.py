"""Health of the pipeline: every component with its state, age and reason, for `make status` and `GET /health`.

Ages of observations and predictions are measured from their arrival in the store. A replay that is catching up is
therefore healthy although its observations are hours old; the detail text contains the time of observation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.formatting import first_line, format_duration
from weatherglass.jobs.folder import HOST_LOCK, JobFolder, is_locked
from weatherglass.net import accepts_connections
from weatherglass.qc.station_status import REPORT_INTERVAL
from weatherglass.record_headers import POLLED_ORIGINS, Origin
from weatherglass.records import Method, iso
from weatherglass.settings import Settings, Source
from weatherglass.store import observations, predictions
from weatherglass.store.observations import StoredObservation

JOBS = ("stream_features", "serve_predictions", "store_predictions")
"""The long-lived jobs that predictions depend on. Each is the name of a DAG and of a job folder."""
SIMULATION = "simulate_observations"
"""The long-lived job that publishes observations if the stations are simulated."""
MQTT = "receive_mqtt"
"""The long-lived job that publishes the MQTT messages of own stations if there is an MQTT broker."""
CONNECTED = "connected"
"""The field `connection` in the progress of a job that has what it receives from."""
MONITOR = "monitor_pipeline"
"""The long-lived job that raises alerts. No other job depends on it."""

STARTUP_GRACE = timedelta(minutes=2)
"""Time after its start in which a job may be without a heartbeat."""
HEARTBEAT_TIMEOUT = timedelta(seconds=30)
"""A job whose last heartbeat is older is failing."""

OBSERVATION_INTERVAL = timedelta(minutes=15)
"""Interval of new current observations. Source: open-meteo.com/en/docs."""
PREDICTION_DEADLINE = timedelta(minutes=1)
"""An observation without a prediction after this time is overdue."""


class HealthState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """Works with limitations, or is starting."""
    FAILING = "failing"


class HealthReason(StrEnum):
    """Machine-readable reason for a component's state."""

    WORKING = "working"
    UNREACHABLE = "unreachable"
    NOT_RUNNING = "not_running"
    NEVER_STARTED = "never_started"
    STARTING = "starting"
    NO_HEARTBEAT = "no_heartbeat"
    REPORTED = "reported"
    """The inference service reported the state itself."""
    UNREADABLE = "unreadable"
    NO_DATA = "no_data"
    LATE = "late"
    FALLBACK = "fallback"


@dataclass(frozen=True)
class ComponentHealth:
    """State of one component.

    Attributes:
        age_seconds: seconds since its last heartbeat or newest record; None if it has neither.
        detail: explanation for people.
    """

    name: str
    state: HealthState
    reason: HealthReason
    age_seconds: float | None
    detail: str


@dataclass(frozen=True)
class PipelineHealth:
    """State of all components; `state` is the worst of them."""

    state: HealthState
    at: datetime
    components: tuple[ComponentHealth, ...]


def required_jobs(settings: Settings) -> tuple[str, ...]:
    """The long-lived jobs that must run, in the order of the data."""
    simulation = (SIMULATION,) if settings.source is Source.SIMULATE else ()
    mqtt = (MQTT,) if settings.mqtt_url else ()
    return (*simulation, *mqtt, *JOBS)


def pipeline_health(settings: Settings, now: datetime, store: Engine) -> PipelineHealth:
    """Check every component once.

    Takes a second for each server that does not respond. Faults are returned as states and raise no exception.
    """
    serving = JobFolder(settings.jobs_dir / "serve_predictions")
    components = (
        _server("kafka", settings.bootstrap_servers, "Kafka broker"),
        _server("ray", settings.ray_head, "Ray head"),
        _host(settings.jobs_dir / HOST_LOCK),
        *(_job(JobFolder(settings.jobs_dir / name), now) for name in required_jobs(settings)),
        *_monitor(JobFolder(settings.jobs_dir / MONITOR), now),
        *(inference_components(serving) if serving.alive() else ()),
        *_data(settings, now, store),
    )
    order = list(HealthState)
    return PipelineHealth(max((component.state for component in components), key=order.index), now, components)


def _ok(name: str, age_seconds: float | None, detail: str) -> ComponentHealth:
    return ComponentHealth(name, HealthState.OK, HealthReason.WORKING, age_seconds, detail)


def _degraded(name: str, reason: HealthReason, age_seconds: float | None, detail: str) -> ComponentHealth:
    return ComponentHealth(name, HealthState.DEGRADED, reason, age_seconds, detail)


def _failing(name: str, reason: HealthReason, age_seconds: float | None, detail: str) -> ComponentHealth:
    return ComponentHealth(name, HealthState.FAILING, reason, age_seconds, detail)


def _server(name: str, addresses: str, label: str) -> ComponentHealth:
    """A server is up if one of its addresses (`host:port,…`) accepts a connection."""
    for address in addresses.split(","):
        if accepts_connections(address):
            return _ok(name, None, f"{label} responds at {address.strip()}")
    return _failing(name, HealthReason.UNREACHABLE, None, f"{label} does not respond at {addresses}")


def _host(lock: Path) -> ComponentHealth:
    if is_locked(lock):
        return _ok("job_host", None, "job host is running")
    detail = "job host is not running, so no job can be started; for its log see docs/troubleshooting.md, Logs"
    return _failing("job_host", HealthReason.NOT_RUNNING, None, detail)


def _job(folder: JobFolder, now: datetime) -> ComponentHealth:
    heartbeat_age = folder.heartbeat_age(now)
    started = folder.started()
    if not folder.alive():
        if not started:
            return _failing(folder.name, HealthReason.NEVER_STARTED, heartbeat_age, "was never started")
        detail = f"not running: {folder.outcome().reason}"
        return _failing(folder.name, HealthReason.NOT_RUNNING, heartbeat_age, detail)
    message = (folder.last_progress() or {}).get("message", "no progress yet")
    age = _seconds_since(started.get("at"), now)
    starting = age is not None and age < STARTUP_GRACE.total_seconds()
    if heartbeat_age is not None and heartbeat_age > HEARTBEAT_TIMEOUT.total_seconds() and not starting:
        detail = f"no heartbeat for {heartbeat_age:.0f} s; last progress: {message}"
        return _failing(folder.name, HealthReason.NO_HEARTBEAT, heartbeat_age, detail)
    progress = progress_since_start(folder)
    if progress is None:
        return _degraded(folder.name, HealthReason.STARTING, heartbeat_age, "starting, no progress yet")
    if progress.get("connection", CONNECTED) != CONNECTED:
        return _degraded(folder.name, HealthReason.UNREACHABLE, heartbeat_age, str(message))
    return _ok(folder.name, heartbeat_age, str(message))


def progress_since_start(folder: JobFolder) -> dict[str, Any] | None:
    """The newest line of progress; None if it was written before the job's last start."""
    line = folder.last_progress()
    started = folder.started().get("at")
    if line is None or (started is not None and datetime.fromisoformat(line["at"]) < datetime.fromisoformat(started)):
        return None
    return line


def _monitor(folder: JobFolder, now: datetime) -> tuple[ComponentHealth, ...]:
    """At worst degraded, because predictions do not depend on it. Empty before its first start."""
    if not folder.started():
        return ()
    component = _job(folder, now)
    failing = component.state is HealthState.FAILING
    return (replace(component, state=HealthState.DEGRADED) if failing else component,)


def inference_components(folder: JobFolder) -> tuple[ComponentHealth, ...]:
    """The inference actors and the models in service, as the job last reported them."""
    progress = progress_since_start(folder) or {}
    components = []
    for label, key in (("actor", "actors"), ("model", "models")):
        for name, status in progress.get(key, {}).items():
            state = HealthState(status["state"])
            # Neither is needed for predictions: those of the challenger are not published, and guidance is optional.
            if label == "model" and name in ("challenger", "guidance") and state is HealthState.FAILING:
                state = HealthState.DEGRADED
            reason = HealthReason.WORKING if state is HealthState.OK else HealthReason.REPORTED
            detail = f"since {status['since']}: {status['reason']}"
            components.append(ComponentHealth(f"{label} {name}", state, reason, None, detail))
    return tuple(components)


def _seconds_since(time: object, now: datetime) -> float | None:
    try:
        return (now - datetime.fromisoformat(str(time))).total_seconds()
    except (ValueError, TypeError):
        return None


def _data(settings: Settings, now: datetime, store: Engine) -> tuple[ComponentHealth, ...]:
    """The store, and the newest observations and predictions in it."""
    try:
        with store.connect() as connection:
            observed = observations.latest_all(connection)
            columns = ("station_id", "timestamp", "stored_at", "method", "model_version")
            predicted = {row.station_id: row for row in predictions.latest_columns(connection, *columns)}
    except SQLAlchemyError as error:
        detail = f"store at {store.url!r} cannot be read: {first_line(error)}"
        return (_failing("store", HealthReason.UNREADABLE, None, detail),)
    return (
        _ok("store", None, f"observations of {len(observed)} stations, forecasts for {len(predicted)}"),
        _observations(observed, now, timedelta(minutes=settings.poll_minutes), settings.source),
        _predictions(observed, predicted, now),
        _model(predicted),
    )


def observation_interval(source: Source, origins: Collection[str | None]) -> timedelta:
    """The interval of new observations; with AUTO, that of most polled stations.

    Args:
        origins: the source of each station's newest observation.
    """
    polled = [origin for origin in origins if origin in POLLED_ORIGINS]
    by_airports = source is Source.METAR or (source is Source.AUTO and 2 * polled.count(Origin.METAR) > len(polled))
    return REPORT_INTERVAL if by_airports else OBSERVATION_INTERVAL


def _observations(
    observed: Mapping[str, StoredObservation], now: datetime, poll: timedelta, source: Source
) -> ComponentHealth:
    """Degraded two polls after an observation was due; failing after four intervals without any."""
    name = "observations"
    if not observed:
        return _degraded(name, HealthReason.NO_DATA, None, "none yet; see the DAG ingest_observations")
    age = now - max(row.stored_at for row in observed.values())
    newest = max(row.observation.timestamp for row in observed.values())
    interval = observation_interval(source, [row.source for row in observed.values()])
    due = interval + 2 * poll
    observed_ago = format_duration(now - newest)
    detail = f"last arrival {format_duration(age)} ago, newest observation at {iso(newest)} ({observed_ago} ago)"
    sources = Counter(row.source or "unknown source" for row in observed.values())
    detail += f"; stations: {', '.join(f'{count} {name}' for name, count in sorted(sources.items()))}"
    if age <= due:
        return _ok(name, age.total_seconds(), detail)
    detail += f"; expected every {format_duration(due)}: see the DAG ingest_observations"
    late = _degraded if age <= 4 * interval else _failing
    return late(name, HealthReason.LATE, age.total_seconds(), detail)


def _predictions(
    observed: Mapping[str, StoredObservation], predicted: Mapping[str, Row[Any]], now: datetime
) -> ComponentHealth:
    """Degraded while a station's newest observation has had no prediction for `PREDICTION_DEADLINE`."""
    name = "predictions"
    if not predicted:
        detail = "none yet; the first one follows the first new observation"
        return _degraded(name, HealthReason.NO_DATA, None, detail)
    age = now - max(row.stored_at for row in predicted.values())
    newest = max(row.timestamp for row in predicted.values())
    detail = f"last arrival {format_duration(age)} ago, for the observation at {iso(newest)}"
    overdue = [
        station
        for station, row in observed.items()
        if now - row.stored_at > PREDICTION_DEADLINE
        and (station not in predicted or predicted[station].timestamp < row.observation.timestamp)
    ]
    if not overdue:
        return _ok(name, age.total_seconds(), detail)
    stations = ", ".join(overdue[:3]) + (", …" if len(overdue) > 3 else "")
    detail += f"; overdue for {len(overdue)} of {len(observed)} stations: {stations}"
    return _degraded(name, HealthReason.LATE, age.total_seconds(), detail)


def _model(predicted: Mapping[str, Row[Any]]) -> ComponentHealth:
    """The model that made the newest predictions; degraded if more than half of them were made without it.

    A few stations may always be on fallback: one with a failed sensor, or one that was just added.
    """
    if not predicted:
        return _degraded("model", HealthReason.NO_DATA, None, "unknown before the first prediction")
    latest = max(predicted.values(), key=lambda row: row.stored_at)
    fallback = [station for station, row in predicted.items() if row.method != Method.MODEL]
    detail = f"version {latest.model_version} in service"
    if fallback:
        detail += f"; {len(fallback)} of {len(predicted)} stations are forecast by a fallback method"
    if 2 * len(fallback) > len(predicted):
        return _degraded("model", HealthReason.FALLBACK, None, detail)
    return _ok("model", None, detail)
