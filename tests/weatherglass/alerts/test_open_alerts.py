from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.weatherglass.store.samples import NOON
from weatherglass.alerts import open_alerts as module
from weatherglass.alerts.health import HealthState
from weatherglass.alerts.open_alerts import open_alerts, overall_state
from weatherglass.store import alerts
from weatherglass.store.alerts import Severity
from weatherglass.store.engine import open_store


def raise_alerts(store: Engine, *severities: Severity) -> None:
    with store.begin() as connection:
        for number, severity in enumerate(severities):
            alert = alerts.Alert("rule", str(number), severity, "")
            alerts.raise_alert(connection, alert, NOON + timedelta(minutes=number))


@pytest.mark.parametrize(
    ("components", "severities", "expected"),
    [
        (HealthState.OK, (), HealthState.OK),
        (HealthState.OK, (Severity.WARNING,), HealthState.DEGRADED),
        (HealthState.OK, (Severity.WARNING, Severity.CRITICAL, Severity.WARNING), HealthState.FAILING),
        (HealthState.DEGRADED, (), HealthState.DEGRADED),
        (HealthState.DEGRADED, (Severity.CRITICAL,), HealthState.FAILING),
        (HealthState.FAILING, (Severity.WARNING,), HealthState.FAILING),
    ],
)
def test_the_overall_state_is_the_worst_of_components_and_open_alerts(
    store: Engine, components: HealthState, severities: tuple[Severity, ...], expected: HealthState
) -> None:
    raise_alerts(store, *severities)
    assert overall_state(components, open_alerts(store)) is expected


def test_critical_alerts_come_first_and_resolved_ones_are_omitted(store: Engine) -> None:
    raise_alerts(store, Severity.CRITICAL, Severity.WARNING, Severity.CRITICAL, Severity.WARNING)
    with store.begin() as connection:
        alerts.resolve(connection, "rule", "1", NOON)
    assert [alert.subject for alert in open_alerts(store)] == ["2", "0", "3"]


def test_a_critical_alert_is_not_lost_among_many_newer_warnings(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ALERTS", 2)
    raise_alerts(store, Severity.CRITICAL, Severity.WARNING, Severity.WARNING)
    assert [alert.subject for alert in open_alerts(store)] == ["0", "2"]
    assert overall_state(HealthState.OK, open_alerts(store)) is HealthState.FAILING


def test_a_store_that_cannot_be_read_has_no_alerts() -> None:
    engine = open_store("sqlite://")  # without tables
    assert open_alerts(engine) == []
    engine.dispose()
