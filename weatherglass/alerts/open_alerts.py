"""Open alerts, and the overall state of the pipeline: of its components and its open alerts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.health import HealthState
from weatherglass.store.alert_queries import LoggedAlert, list_open_alerts
from weatherglass.store.alerts import Severity

MAX_ALERTS = 500

STATES = {Severity.CRITICAL: HealthState.FAILING, Severity.WARNING: HealthState.DEGRADED}
"""The state of the pipeline while an alert of this severity is open."""


def open_alerts(store: Engine) -> list[LoggedAlert]:
    """The open alerts: critical ones first, then the newest; at most `MAX_ALERTS`.

    Empty if the store cannot be read, which is a fault of a component; see `health.pipeline_health`.
    """
    try:
        with store.connect() as connection:
            return list_open_alerts(connection, MAX_ALERTS)
    except SQLAlchemyError:
        return []


def overall_state(components: HealthState, alerts: Sequence[LoggedAlert]) -> HealthState:
    """The worst of the state of the components and of the open alerts."""
    order = list(HealthState)
    return max((components, *(STATES[Severity(alert.severity)] for alert in alerts)), key=order.index)
