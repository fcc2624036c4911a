"""Alerts are sent to a webhook and a mailbox over real connections, with the store and without it."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.monitor.receivers import Mailbox, WebhookReceiver, raw_server
from weatherglass.alerts import metrics as m
from weatherglass.alerts.notification import Links, Message
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES, RULES_BY_NAME
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor import notification_channels
from weatherglass.monitor.alert_dispatcher import RENEWAL_INTERVAL, AlertDispatcher
from weatherglass.monitor.notification_channels import ChannelError, Email, NotificationChannel, Webhook
from weatherglass.store import alerts
from weatherglass.store.alert_queries import list_alerts

LINKS = Links("http://airflow.example:8088")
JOB = "stream_features"


class Scenario:
    """Rule evaluator and dispatcher with samples written by a test."""

    def __init__(self, store: Engine, channels: Sequence[NotificationChannel], clock: Clock):
        self.dispatcher = AlertDispatcher(store, channels, LINKS)
        self.evaluator = RuleEvaluator(RULES, self.dispatcher.open_alerts())
        self.clock = clock

    def step(self, count: int = 1, **values: float) -> list[str]:
        """Evaluate so many samples and return the errors of the channels.

        Args:
            values: `JOB_UP` by job, `broker` for `KAFKA_UP`, `silence` for the heartbeat age of `JOB`.
        """
        errors = []
        for _ in range(count):
            sample = MetricSample(self.clock.advance())
            for name, value in values.items():
                if name == "broker":
                    sample.put(m.KAFKA_UP, value)
                elif name == "silence":
                    sample.put(m.JOB_SILENCE, value, JOB)
                else:
                    sample.put(m.JOB_UP, value, name)
            errors += self.dispatcher.dispatch(self.evaluator.evaluate(sample), sample.at)
        return errors


def test_an_alert_is_sent_once_to_every_channel_when_it_starts_and_when_it_is_resolved(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there", "b@there"), "me", "word", security="none")
    scenario = Scenario(store, [Webhook(hook.url, "a-token"), email], clock)
    scenario.step(10, stream_features=0)
    scenario.step(10, stream_features=1)
    assert hook.received() == [("firing", "job_not_running", JOB), ("resolved", "job_not_running", JOB)]
    assert set(hook.authorizations) == {"Bearer a-token"}
    started, resolved = mailbox.messages
    assert (started["To"], started["Subject"]) == (
        "a@there, b@there",
        f"[Weatherglass: critical] job not running: {JOB}",
    )
    body = started.get_content()
    rule = RULES_BY_NAME["job_not_running"]
    for part in (rule.impact, rule.unaffected, rule.runbook, f"/dags/{JOB}", "#job-not-running"):
        assert part in " ".join(body.split())
    assert resolved["Subject"] == f"[Weatherglass: resolved] job not running: {JOB}"
    assert mailbox.logins == 2
    with store.connect() as connection:
        (logged,) = list_alerts(connection, 10)
    assert None not in (logged.sent_at, logged.resolution_sent_at, logged.resolved_at)
    assert logged.details["unaffected"] == rule.unaffected
    scenario.step(10, stream_features=0)
    assert hook.received()[2:] == [("firing", "job_not_running", JOB)]


def test_after_a_restart_an_open_alert_is_not_sent_again_but_its_end_is(
    store: Engine, hook: WebhookReceiver, clock: Clock
) -> None:
    Scenario(store, [Webhook(hook.url)], clock).step(5, stream_features=0)
    later = Scenario(store, [Webhook(hook.url)], clock)
    later.step(5, stream_features=0)
    assert hook.received() == [("firing", "job_not_running", JOB)]
    later.step(5, stream_features=1)
    assert hook.received()[1:] == [("resolved", "job_not_running", JOB)]


def test_a_failed_channel_is_retried_and_the_other_channel_gets_the_alert_once(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    hook.status = 503
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    scenario = Scenario(store, [Webhook(hook.url), email], clock)
    errors = scenario.step(8, stream_features=0)
    assert errors
    assert "webhook" in errors[0]
    assert "503" in errors[0]
    assert (len(hook.posted), len(mailbox.messages)) == (0, 1)
    hook.status = 200
    scenario.step(30, stream_features=0)
    assert hook.received() == [("firing", "job_not_running", JOB)]
    assert len(mailbox.messages) == 1


def test_a_channel_that_sent_the_start_sends_the_end_although_another_one_fails(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    scenario = Scenario(store, [Webhook(hook.url), email], clock)
    hook.status = 503
    assert scenario.step(8, stream_features=0)
    scenario.step(10, stream_features=1)
    assert [mail["Subject"].partition("]")[0] for mail in mailbox.messages] == [
        "[Weatherglass: critical",
        "[Weatherglass: resolved",
    ]
    hook.status = 200
    scenario.step(30, stream_features=1)
    assert hook.received() == []  # it never sent the start
    with store.connect() as connection:
        (logged,) = list_alerts(connection, 10)
    assert (logged.sent_at, logged.resolution_sent_at is None) == (None, False)
    scenario.step(8, stream_features=0)
    assert hook.received() == [("firing", "job_not_running", JOB)]
    assert len(mailbox.messages) == 3


def test_an_unreachable_channel_is_reported_without_its_password(store: Engine, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    email = Email("127.0.0.1", port, "w@here", ("a@there",), "me", "a-secret", security="none")
    errors = Scenario(store, [Webhook(f"http://127.0.0.1:{port}/", "a-secret"), email], clock).step(
        4, stream_features=0
    )
    assert any("webhook" in error for error in errors)
    assert any(f"127.0.0.1:{port}" in error for error in errors)
    assert "a-secret" not in " ".join(errors)


NOT_HTTP = b"SSH-2.0-OpenSSH_9.6\r\n"
TRUNCATED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"


@pytest.mark.parametrize("response", [NOT_HTTP, TRUNCATED])
def test_an_invalid_response_of_the_webhook_does_not_stop_the_mail(
    store: Engine, mailbox: Mailbox, clock: Clock, response: bytes
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    with raw_server(response) as address:
        errors = Scenario(store, [Webhook(address), email], clock).step(8, stream_features=0)
    assert "webhook" in errors[0]
    assert len(mailbox.messages) == 1


@pytest.mark.parametrize(("path", "token"), [(":secret/", ""), ("/hook", "secret\n"), ("/hook", "secret€")])
def test_an_invalid_url_or_token_is_reported_without_it(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock, path: str, token: str
) -> None:
    webhook = Webhook(hook.url.removesuffix("/hook") + path, token)
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    errors = Scenario(store, [webhook, email], clock).step(4, stream_features=0)
    assert "webhook" in errors[0]
    assert "secret" not in " ".join(errors)
    assert len(mailbox.messages) == 1


def test_an_invalid_password_is_reported_without_it(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), "me", "a-sécret", security="none")
    errors = Scenario(store, [email, Webhook(hook.url)], clock).step(4, stream_features=0)
    assert "e-mail" in errors[0]
    assert not {"é", "\\xe9"} & set(" ".join(errors).replace("\\xe9", "é"))
    assert hook.received() == [("firing", "job_not_running", JOB)]


@pytest.mark.parametrize("name", ["e-mail", "webhook"])
def test_the_traceback_of_an_invalid_password_does_not_contain_it(mailbox: Mailbox, name: str) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), "me", "a-sécret", security="none")
    channel: NotificationChannel = email if name == "e-mail" else Webhook("http://127.0.0.1:a-sécret/")
    with pytest.raises(ChannelError) as raised:
        channel.send(Message("subject", "text", {}))
    text = "".join(traceback.format_exception(raised.value, limit=0)).replace("é", "\\xe9")
    assert not [part for part in ("cret", "\\xe9") if part in text]


def test_a_refused_recipient_is_named_and_the_others_receive_the_message_once(
    store: Engine, mailbox: Mailbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox.refused = "b@there"
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there", "b@there"), security="none")
    assert Scenario(store, [email], clock).step(8, stream_features=0) == []
    assert len(mailbox.messages) == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.name == notification_channels.__name__]
    assert "b@there" in warning
    assert "a@there" not in warning


class BrokenChannel:
    """A channel that raises an unexpected exception."""

    name = "broken"

    def send(self, message: Message) -> None:
        raise KeyError("a-secret")


def test_an_unexpected_exception_of_a_channel_does_not_stop_the_others(
    store: Engine, hook: WebhookReceiver, clock: Clock
) -> None:
    errors = Scenario(store, [BrokenChannel(), Webhook(hook.url)], clock).step(8, stream_features=0)
    assert ["KeyError" in error and "a-secret" not in error for error in errors] == [True, True]
    assert hook.received() == [("firing", "job_not_running", JOB)]


def test_the_store_shows_when_an_alert_was_last_seen_to_the_minute(store: Engine, clock: Clock) -> None:
    scenario = Scenario(store, [], clock)
    scenario.step(2, stream_features=0)
    seen = []
    for _ in range(12):
        scenario.step(stream_features=0)
        with store.connect() as connection:
            seen += [(alert.since, alert.seen_at) for alert in list_alerts(connection, 5)]
    ((since,), renewals) = {since for since, _ in seen}, sorted({seen_at for _, seen_at in seen})
    assert renewals[0] - since == RULES_BY_NAME["job_not_running"].for_
    assert {later - earlier for later, earlier in zip(renewals[2:], renewals[1:], strict=False)} == {RENEWAL_INTERVAL}
    assert timedelta(minutes=1) == RENEWAL_INTERVAL


@pytest.mark.parametrize("action", ["acknowledged", "silenced"])
def test_an_acknowledged_or_silenced_alert_is_not_sent(
    store: Engine, hook: WebhookReceiver, clock: Clock, action: str
) -> None:
    scenario = Scenario(store, [], clock)
    scenario.step(5, stream_features=0)
    with store.begin() as connection:
        (alert,) = list_alerts(connection, 1)
        if action == "acknowledged":
            alerts.acknowledge(connection, alert.id, "operator", clock.now)
        else:
            alerts.silence(connection, alert.id, clock.now + timedelta(hours=1))
    with_hook = Scenario(store, [Webhook(hook.url)], clock)
    with_hook.step(5, stream_features=0)
    with_hook.step(5, stream_features=1)
    with_hook.step(5, stream_features=0)  # a new alert: silenced too, but not acknowledged
    expected = [] if action == "silenced" else [("firing", "job_not_running", JOB)]
    assert hook.received() == expected
    if action == "silenced":
        clock.advance(3600)
        with_hook.step(2, stream_features=0)
        assert hook.received() == [("firing", "job_not_running", JOB)]


def test_an_inhibited_alert_is_recorded_but_not_sent(store: Engine, hook: WebhookReceiver, clock: Clock) -> None:
    scenario = Scenario(store, [Webhook(hook.url)], clock)
    scenario.step(10, broker=0, silence=120)
    assert hook.received() == [("firing", "broker_unreachable", "pipeline")]
    with store.connect() as connection:
        assert {alert.rule for alert in list_alerts(connection, 10)} == {"broker_unreachable", "job_silent"}
    scenario.step(10, broker=1, silence=120)  # the inhibiting alert is resolved, this one is not
    assert ("firing", "job_silent", JOB) in hook.received()


def test_without_the_store_alerts_are_sent_and_recorded_when_it_is_back(
    store: Engine, hook: WebhookReceiver, clock: Clock
) -> None:
    scenario = Scenario(store, [Webhook(hook.url)], clock)
    scenario.step(2, stream_features=1, store_predictions=1)
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE alerts RENAME TO away"))
    scenario.step(6, stream_features=0, store_predictions=0)
    scenario.step(6, stream_features=1, store_predictions=0)
    expected = [
        ("firing", "job_not_running", "store_predictions"),
        ("firing", "job_not_running", JOB),
        ("resolved", "job_not_running", JOB),
    ]
    assert hook.received() == expected
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO alerts"))
    scenario.step(2, stream_features=1, store_predictions=0)
    with store.connect() as connection:
        logged = {alert.subject: alert for alert in list_alerts(connection, 10)}
    assert logged["store_predictions"].resolved_at is None
    assert logged[JOB].resolved_at is not None
    assert hook.received() == expected
    scenario.step(6, stream_features=0, store_predictions=1)
    new = {("firing", "job_not_running", JOB), ("resolved", "job_not_running", "store_predictions")}
    assert set(hook.received()[3:]) == new


def test_an_alert_raised_by_another_job_is_sent_each_time_it_is_raised_and_resolved(
    store: Engine, hook: WebhookReceiver, clock: Clock
) -> None:
    scenario = Scenario(store, [Webhook(hook.url)], clock)
    for _ in range(2):
        with store.begin() as connection:
            alert = alerts.Alert("input_drift", "pressure", alerts.Severity.WARNING, "Input drift.")
            alerts.raise_alert(connection, alert, clock.now)
        scenario.step(2)
        with store.begin() as connection:
            alerts.resolve(connection, "input_drift", "pressure", clock.now)
        scenario.step(2)
    assert hook.received() == 2 * [("firing", "input_drift", "pressure"), ("resolved", "input_drift", "pressure")]
