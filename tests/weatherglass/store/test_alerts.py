from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON
from weatherglass.store import alert_queries, alerts
from weatherglass.store.alerts import Alert, Severity

HOUR = timedelta(hours=1)


def an_alert(subject: str = "boston", message: str = "silent", rule: str = "station_silent") -> Alert:
    return Alert(rule, subject, Severity.WARNING, message, {"hours": 3})


def test_an_open_alert_is_updated_and_a_resolved_one_is_raised_again(connection: Connection) -> None:
    assert alerts.raise_alert(connection, an_alert(), NOON, since=NOON - HOUR)
    assert not alerts.raise_alert(connection, an_alert(message="still silent"), NOON + HOUR)
    [alert] = alert_queries.list_alerts(connection, 10)
    assert (alert.since, alert.seen_at, alert.message) == (NOON - HOUR, NOON + HOUR, "still silent")
    assert alert.details == {"hours": 3}
    assert alerts.resolve(connection, "station_silent", "boston", NOON + 2 * HOUR)
    assert not alerts.resolve(connection, "station_silent", "boston", NOON + 3 * HOUR)
    assert alerts.raise_alert(connection, an_alert(), NOON + 4 * HOUR)
    newest, oldest = alert_queries.list_alerts(connection, 10)
    assert (newest.resolved_at, oldest.resolved_at) == (None, NOON + 2 * HOUR)
    assert alert_queries.list_alerts(connection, 10, is_open=True) == [newest]
    assert alert_queries.list_alerts(connection, 10, is_open=False) == [oldest]
    assert alert_queries.list_alerts(connection, 10, before_id=newest.id) == [oldest]
    assert alert_queries.get_alert(connection, oldest.id) == oldest
    assert alert_queries.get_alert(connection, newest.id + 1) is None


def test_setting_the_open_alerts_of_a_rule_resolves_its_others_only(connection: Connection) -> None:
    for subject in ("boston", "denver"):
        alerts.raise_alert(connection, an_alert(subject), NOON)
    alerts.raise_alert(connection, an_alert(rule="input_drift"), NOON)
    alerts.set_open_alerts(connection, "station_silent", [an_alert("denver"), an_alert("miami")], NOON + HOUR)
    rules = ["station_silent", "input_drift"]
    assert {(row.rule, row.subject) for row in alerts.open_alerts(connection, rules)} == {
        ("station_silent", "denver"),
        ("station_silent", "miami"),
        ("input_drift", "boston"),
    }


def test_an_alert_is_deleted_after_its_retention_unless_it_is_open(connection: Connection) -> None:
    since, end = NOON - 2 * alerts.RETENTION, NOON - alerts.RETENTION
    for subject, resolved_at in (("boston", end - HOUR), ("denver", end + HOUR), ("miami", None)):
        alerts.raise_alert(connection, an_alert(subject), since)
        if resolved_at:
            alerts.resolve(connection, "station_silent", subject, resolved_at)
    assert alerts.thin(connection, NOON) == 1
    assert {alert.subject for alert in alert_queries.list_alerts(connection, 10)} == {"denver", "miami"}


def test_the_start_of_an_alert_and_its_resolution_are_pending_until_sent(connection: Connection) -> None:
    for subject in ("boston", "denver"):
        alerts.raise_alert(connection, an_alert(subject), NOON)
    boston, denver = (row.id for row in alerts.pending_notifications(connection))
    alerts.mark_notified(connection, boston, False, NOON)
    assert [row.id for row in alerts.pending_notifications(connection)] == [denver]
    for subject in ("boston", "denver"):
        alerts.resolve(connection, "station_silent", subject, NOON + HOUR)
    assert [row.id for row in alerts.pending_notifications(connection)] == [boston], "the other start was never sent"
    alerts.mark_notified(connection, boston, True, NOON + HOUR)
    assert alerts.pending_notifications(connection) == []
    alert = alert_queries.get_alert(connection, boston)
    assert alert is not None
    assert (alert.sent_at, alert.resolution_sent_at) == (NOON, NOON + HOUR)


def test_the_first_acknowledgement_is_kept_and_a_silence_covers_later_alerts(connection: Connection) -> None:
    alerts.raise_alert(connection, an_alert(), NOON)
    [alert] = alert_queries.list_alerts(connection, 10)
    assert alerts.acknowledge(connection, alert.id, "ann", NOON)
    assert alerts.acknowledge(connection, alert.id, "bob", NOON + HOUR)
    assert not alerts.acknowledge(connection, alert.id + 1, "bob", NOON)
    assert alerts.silence(connection, alert.id, NOON + HOUR)
    assert not alerts.silence(connection, alert.id + 1, None)
    alerts.resolve(connection, "station_silent", "boston", NOON)
    alerts.raise_alert(connection, an_alert(), NOON)
    assert alerts.silenced(connection, NOON) == {("station_silent", "boston")}
    assert alerts.silenced(connection, NOON + HOUR) == set()
    stored = alert_queries.get_alert(connection, alert.id)
    assert stored is not None
    assert (stored.acknowledged_by, stored.acknowledged_at) == ("ann", NOON)
