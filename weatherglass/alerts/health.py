"""Whether the pipeline works: each part with its state, its age and a sentence. For `make status` and `/health` alike.

Ages are about *arrival* (when a record came into the store), so that a replay that catches up with the present is
healthy though its observations are hours old; the observations' own time is in the sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.formatting import first_line, words
from weatherglass.jobs.folder import HOST_LOCK, JobFolder, held
from weatherglass.net import answers
from weatherglass.records import Method, iso
from weatherglass.settings import Settings
from weatherglass.store import observations, predictions
from weatherglass.store.observations import StoredObservation

JOBS = ("stream_features", "serve_predictions", "store_predictions")
"""The long-lived jobs without which no new prediction appears; each the name of its DAG and of its folder."""
WATCHER = "monitor_pipeline"
"""The long-lived job that tells of faults; all others work without it."""

STARTUP_GRACE = timedelta(minutes=2)
SILENCE = timedelta(seconds=30)
"""A job that has had time to start and says nothing for this long is not working."""

STEP = timedelta(minutes=15)
"""Stations renew their current observation in these steps. Source: open-meteo.com/en/docs."""
ANSWER = timedelta(minutes=1)
"""An observation that has waited longer for its prediction is unanswered."""


class HealthState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """Works, but not as it should, or has not begun to."""
    FAILING = "failing"


@dataclass(frozen=True)
class ComponentHealth:
    """One part of the pipeline. `age_seconds` is the time since its last sign of work; None where it has none."""

    name: str
    state: HealthState
    age_seconds: float | None
    detail: str


@dataclass(frozen=True)
class Health:
    """`state` is that of the worst part."""

    state: HealthState
    at: datetime
    parts: tuple[ComponentHealth, ...]


def pipeline_health(settings: Settings, now: datetime, store: Engine) -> Health:
    """Look at every part once; takes a second per server that does not answer. Raises nothing: failures are parts."""
    serving = JobFolder(settings.jobs_dir / "serve_predictions")
    parts = (
        _server("kafka", settings.bootstrap_servers, "the Kafka broker"),
        _server("ray", settings.ray_head, "the Ray head"),
        _host(settings.jobs_dir / HOST_LOCK),
        *(_job(JobFolder(settings.jobs_dir / name), now) for name in JOBS),
        *_watcher(JobFolder(settings.jobs_dir / WATCHER), now),
        *(inference(serving) if serving.alive() else ()),
        *_data(settings, now, store),
    )
    order = list(HealthState)
    return Health(max((part.state for part in parts), key=order.index), now, parts)


def _server(name: str, addresses: str, what: str) -> ComponentHealth:
    """A server is there if one of its addresses (`host:port,…`) takes a connection."""
    for address in addresses.split(","):
        if answers(address):
            return ComponentHealth(name, HealthState.OK, None, f"{what} answers at {address.strip()}")
    return ComponentHealth(name, HealthState.FAILING, None, f"{what} does not answer at {addresses}")


def _host(lock: Path) -> ComponentHealth:
    if held(lock):
        return ComponentHealth("job_host", HealthState.OK, None, "the job host runs")
    why = "the job host does not run: no job can be started; docs/troubleshooting.md, Logs, says where its log is"
    return ComponentHealth("job_host", HealthState.FAILING, None, why)


def _job(folder: JobFolder, now: datetime) -> ComponentHealth:
    silence = folder.silence(now)
    if not folder.alive():
        started = folder.started()
        why = folder.outcome().why if started else "was never started"
        return ComponentHealth(folder.name, HealthState.FAILING, silence, f"does not run: {why}")
    said = (folder.last_progress() or {}).get("said", "no progress yet")
    age = _seconds_since(folder.started().get("at"), now)
    starting = age is not None and age < STARTUP_GRACE.total_seconds()
    if silence is not None and silence > SILENCE.total_seconds() and not starting:
        return ComponentHealth(
            folder.name, HealthState.FAILING, silence, f"silent for {silence:.0f} s; its last words: {said}"
        )
    if said_since_start(folder) is None:
        return ComponentHealth(folder.name, HealthState.DEGRADED, silence, "starts, and has not said anything yet")
    return ComponentHealth(folder.name, HealthState.OK, silence, str(said))


def said_since_start(folder: JobFolder) -> dict[str, Any] | None:
    """The newest line of progress, if it is of the job's present start and not of one before."""
    line = folder.last_progress()
    started = folder.started().get("at")
    if line is None or (started is not None and datetime.fromisoformat(line["at"]) < datetime.fromisoformat(started)):
        return None
    return line


def _watcher(folder: JobFolder, now: datetime) -> tuple[ComponentHealth, ...]:
    """Degraded where it does not work: then nobody is told of faults. None before its first start."""
    if not folder.started():
        return ()
    part = _job(folder, now)
    return (replace(part, state=HealthState.DEGRADED) if part.state is HealthState.FAILING else part,)


def inference(folder: JobFolder) -> tuple[ComponentHealth, ...]:
    """The actors and the models in service, as the watcher of this job folder last saw them."""
    seen = said_since_start(folder) or {}
    parts = [
        (f"{what} {name}", HealthState(one["state"]), f"since {one['since']}: {one['why']}")
        for what, kind in (("actor", "actors"), ("model", "models"))
        for name, one in seen.get(kind, {}).items()
    ]
    # A challenger serves nobody, so its failing is no failure of the pipeline.
    return tuple(
        ComponentHealth(
            name,
            HealthState.DEGRADED if name == "model challenger" and state is HealthState.FAILING else state,
            None,
            detail,
        )
        for name, state, detail in parts
    )


def _seconds_since(time: object, now: datetime) -> float | None:
    try:
        return (now - datetime.fromisoformat(str(time))).total_seconds()
    except (ValueError, TypeError):
        return None


def _data(settings: Settings, now: datetime, store: Engine) -> tuple[ComponentHealth, ...]:
    """The store, and the newest of what it holds."""
    try:
        with store.connect() as connection:
            observed = observations.latest_all(connection)
            columns = ("station_id", "timestamp", "stored_at", "method", "model_version")
            predicted = {row.station_id: row for row in predictions.newest_of_all(connection, *columns)}
    except SQLAlchemyError as error:
        reason = first_line(error)
        return (
            ComponentHealth("store", HealthState.FAILING, None, f"the store at {store.url!r} cannot be read: {reason}"),
        )
    return (
        ComponentHealth(
            "store", HealthState.OK, None, f"{len(observed)} stations observed, {len(predicted)} with a forecast"
        ),
        _observation(observed, now, timedelta(minutes=settings.poll_minutes)),
        _prediction(observed, predicted, now),
        _model(predicted),
    )


def _observation(observed: Mapping[str, StoredObservation], now: datetime, poll: timedelta) -> ComponentHealth:
    """Late beyond two polls after a step was due; failing after an hour without any."""
    if not observed:
        return ComponentHealth("observations", HealthState.DEGRADED, None, "none yet; see the DAG ingest_observations")
    age = now - max(row.stored_at for row in observed.values())
    newest = max(row.observation.timestamp for row in observed.values())
    due = STEP + 2 * poll
    state = HealthState.OK if age <= due else HealthState.DEGRADED if age <= 4 * STEP else HealthState.FAILING
    detail = f"the last arrived {words(age)} ago, the newest is of {iso(newest)} ({words(now - newest)} ago)"
    if state is not HealthState.OK:
        detail += f"; one is due every {words(due)}: see the DAG ingest_observations"
    return ComponentHealth("observations", state, age.total_seconds(), detail)


def _prediction(
    observed: Mapping[str, StoredObservation], predicted: Mapping[str, Row[Any]], now: datetime
) -> ComponentHealth:
    """Degraded while a station's newest observation waits longer than `ANSWER` for its prediction."""
    if not predicted:
        return ComponentHealth(
            "predictions", HealthState.DEGRADED, None, "none yet; the first follows the first new observation"
        )
    age = now - max(row.stored_at for row in predicted.values())
    newest = max(row.timestamp for row in predicted.values())
    detail = f"the last arrived {words(age)} ago, for the observation of {iso(newest)}"
    unanswered = [
        station
        for station, row in observed.items()
        if now - row.stored_at > ANSWER
        and (station not in predicted or predicted[station].timestamp < row.observation.timestamp)
    ]
    if unanswered:
        named = ", ".join(unanswered[:3]) + (", …" if len(unanswered) > 3 else "")
        detail += f"; {len(unanswered)} of {len(observed)} stations wait for the answer to their newest: {named}"
    return ComponentHealth(
        "predictions", HealthState.DEGRADED if unanswered else HealthState.OK, age.total_seconds(), detail
    )


def _model(predicted: Mapping[str, Row[Any]]) -> ComponentHealth:
    """The model that made the newest predictions; degraded while most are made without one.

    A few always may be: a station whose sensor fails, or one that has just been added.
    """
    if not predicted:
        return ComponentHealth("model", HealthState.DEGRADED, None, "unknown before the first prediction")
    latest = max(predicted.values(), key=lambda row: row.stored_at)
    without = [s for s, row in predicted.items() if row.method != Method.MODEL]
    detail = f"version {latest.model_version} forecasts"
    if without:
        detail += f"; {len(without)} of {len(predicted)} stations are forecast by a fallback method"
    return ComponentHealth(
        "model", HealthState.DEGRADED if 2 * len(without) > len(predicted) else HealthState.OK, None, detail
    )
