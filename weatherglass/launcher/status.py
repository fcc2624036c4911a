"""`make status`: open alerts, processes, components, consumer lag, models and the latest forecast, on one screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.health import HealthState, pipeline_health
from weatherglass.alerts.notification import Links
from weatherglass.alerts.open_alerts import STATES, open_alerts, overall_state
from weatherglass.formatting import count_noun, format_duration
from weatherglass.launcher import airflow
from weatherglass.launcher.consumer_lag import lags
from weatherglass.launcher.latest_forecast import describe_latest_forecast
from weatherglass.launcher.processes import launched_processes, launcher_is_running
from weatherglass.launcher.resource_usage import measure_usage, total
from weatherglass.registry.registry import KINDS, Registry
from weatherglass.settings import Settings
from weatherglass.store.alert_queries import LoggedAlert
from weatherglass.store.alerts import Severity
from weatherglass.store.engine import open_store

LABELS = {HealthState.OK: "ok", HealthState.DEGRADED: "DEGRADED", HealthState.FAILING: "FAILING"}
COLORS = {HealthState.OK: 32, HealthState.DEGRADED: 33, HealthState.FAILING: 31}
"""ANSI codes: green, yellow, red."""
NOT_HEALTHY = 1
NOT_RUNNING = 3


def show(settings: Settings) -> int:
    """Print the screen. Exit status: 0 if all components are ok, 1 if not, 3 if nothing is running.

    Open alerts do not change it, because they outlast a fault, and some are about the machine, such as a full disk.
    """
    launcher_running = launcher_is_running(settings)
    if not launcher_running and not launched_processes(settings):
        print(f"Weatherglass is not running (state folder {settings.state_dir}). Start it with: make up")
        return NOT_RUNNING
    now = datetime.now(UTC)
    store = open_store(settings.store_url)
    try:
        health = pipeline_health(settings, now, store)
        alerts = open_alerts(store)
    finally:
        store.dispose()
    components_ok = health.state is HealthState.OK and launcher_running
    state = overall_state(health.state if launcher_running else HealthState.FAILING, alerts)
    summary = f"{'all components ok' if components_ok else 'NOT all components ok'}{_count_alerts(alerts)}"
    print(f"Weatherglass in {settings.state_dir}: {_colored(summary, state)}")
    if not launcher_running:
        print("The launcher is not running. End its processes with `make down`, then start again with `make up`.")
    sections = {
        **({"Open alerts": [line for alert in alerts for line in _alert_lines(alert, settings)]} if alerts else {}),
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
    return 0 if components_ok else NOT_HEALTHY


def _colored(text: str, state: HealthState) -> str:
    """The text in the colour of the state, in a terminal."""
    return f"\033[{COLORS[state]}m{text}\033[0m" if sys.stdout.isatty() else text


def _count_alerts(alerts: Sequence[LoggedAlert]) -> str:
    critical = sum(alert.severity == Severity.CRITICAL for alert in alerts)
    return f", {count_noun(len(alerts), 'open alert')} ({critical} critical)" if alerts else ""


def _alert_lines(alert: LoggedAlert, settings: Settings) -> tuple[str, str]:
    link = f"{Links(airflow.url(settings)).page('system')}#alert-{alert.id}"
    title = _colored(f"{alert.severity:<10}{alert.rule}, {alert.subject}", STATES[Severity(alert.severity)])
    return f"{title}: {alert.details.get('summary', alert.message)}", f"{'':<10}{link}"


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
    role = settings.topics.role
    return [
        f"{role(group):<26}{role(topic):<22}{'no offset yet' if lag is None else lag:>13}"
        for (group, topic), lag in lag_of.items()
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
