"""`make status`: processes, components, consumer lag, models and the latest forecast, on one screen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.health import HealthState, pipeline_health
from weatherglass.formatting import format_duration
from weatherglass.launcher.consumer_lag import lags
from weatherglass.launcher.latest_forecast import describe_latest_forecast
from weatherglass.launcher.processes import launched_processes, launcher_is_running
from weatherglass.launcher.resource_usage import measure_usage, total
from weatherglass.registry.registry import KINDS, Registry
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store

LABELS = {HealthState.OK: "ok", HealthState.DEGRADED: "DEGRADED", HealthState.FAILING: "FAILING"}
NOT_HEALTHY = 1
NOT_RUNNING = 3


def show(settings: Settings) -> int:
    """Print the screen. Exit status: 0 if all components are ok, 1 if not, 3 if nothing is running."""
    launcher_running = launcher_is_running(settings)
    if not launcher_running and not launched_processes(settings):
        print(f"Weatherglass is not running (state folder {settings.state_dir}). Start it with: make up")
        return NOT_RUNNING
    now = datetime.now(UTC)
    store = open_store(settings.store_url)
    try:
        health = pipeline_health(settings, now, store)
    finally:
        store.dispose()
    healthy = health.state is HealthState.OK and launcher_running
    print(f"Weatherglass in {settings.state_dir}: {'all components ok' if healthy else 'NOT all components ok'}")
    if not launcher_running:
        print("The launcher is not running. End its processes with `make down`, then start again with `make up`.")
    sections = {
        "Resource usage": _resource_usage(settings, now),
        "Components": [f"{c.name:<20}{LABELS[c.state]:<10}{c.detail}" for c in health.components],
        "Consumer lag (messages)": _consumer_lag(settings),
        "Models": _models(settings),
        "Latest forecast": _latest_forecast(settings),
    }
    for title, lines in sections.items():
        print(f"\n{title}")
        for line in lines:
            print(f"  {line}")
    return 0 if healthy else NOT_HEALTHY


def _resource_usage(settings: Settings, now: datetime) -> list[str]:
    rows = measure_usage(settings)
    lines = [f"{'':<20}{'processes':>9}{'uptime':>9}{'memory MB':>11}{'cores':>8}"]
    for row in [*rows, total("total", rows)]:
        uptime = format_duration(timedelta(seconds=now.timestamp() - row.since))
        lines.append(f"{row.name:<20}{row.processes:>9}{uptime:>9}{row.memory / 1e6:>11.0f}{row.cpu:>8.2f}")
    return lines


def _consumer_lag(settings: Settings) -> list[str]:
    try:
        lag_of = lags(settings)
    except (KafkaError, OSError) as error:
        return [f"unknown: {type(error).__name__}: {error}"]
    return [
        f"{group:<26}{topic:<22}{'no offset yet' if lag is None else lag:>13}" for (group, topic), lag in lag_of.items()
    ]


def _models(settings: Settings) -> list[str]:
    lines = []
    for kind in KINDS:
        try:
            champion = Registry(settings).champion(kind)
            lines.append(f"{kind:<20}{f'version {champion.version}' if champion else 'none yet'}")
        except SQLAlchemyError as error:
            lines.append(f"{kind:<20}the registry cannot be read: {error}")
    return lines


def _latest_forecast(settings: Settings) -> list[str]:
    try:
        return [describe_latest_forecast(settings) or "none yet"]
    except SQLAlchemyError as error:
        return [f"the store cannot be read: {error}"]
