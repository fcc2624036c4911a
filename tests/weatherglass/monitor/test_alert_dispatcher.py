"""Alerts from the rules to a webhook and a mailbox, over real connections, through the store and without it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.monitor.receivers import Hook, Mailbox, garbled
from weatherglass.alerts import metrics as m
from weatherglass.alerts.notification import Links, Notification
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import LOOK_SECONDS, RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.alert_dispatcher import AlertDispatcher
from weatherglass.monitor.notification_channels import Email, NotificationChannel, Webhook
from weatherglass.store import alerts
from weatherglass.store.alert_log import listed

LINKS = Links("http://airflow.example:8088")
JOB = "stream_features"


class Scene:
    """A watch and a desk whose samples a test writes."""

    def __init__(self, store: Engine, channels: Sequence[NotificationChannel], clock: Clock):
        self.desk = AlertDispatcher(store, channels, LINKS)
        self.watch = RuleEvaluator(RULES, self.desk.known())
        self.clock = clock

    def go(self, looks: int = 1, **values: float) -> list[str]:
        """So many looks, with these jobs up or down, and `broker`."""
        said = []
        for _ in range(looks):
            sample = MetricSample(self.clock.go())
            for name, value in values.items():
                if name == "broker":
                    sample.put(m.KAFKA_UP, value)
                elif name == "silence":
                    sample.put(m.JOB_SILENCE, value, JOB)
                else:
                    sample.put(m.JOB_UP, value, name)
            said += self.desk.take(self.watch.look(sample), sample.at)
        return said


def test_both_are_told_once_and_told_when_it_is_over(store: Engine, hook: Hook, mailbox: Mailbox, clock: Clock) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there", "b@there"), "me", "word", security="none")
    scene = Scene(store, [Webhook(hook.url, "a-token"), email], clock)
    scene.go(10, stream_features=0)
    scene.go(10, stream_features=1)
    assert hook.told() == [("begun", "job_not_running", JOB), ("over", "job_not_running", JOB)]
    assert set(hook.authorizations) == {"Bearer a-token"}
    begun, over = mailbox.messages
    assert (begun["To"], begun["Subject"]) == ("a@there, b@there", f"[Weatherglass: critical] job not running: {JOB}")
    body = begun.get_content()
    for wanted in (
        "does not run",
        "Still works:",
        "somebody stopped it, clear the task",
        f"/dags/{JOB}",
        "#job-not-running",
    ):
        assert wanted in body
    assert "over" in over["Subject"]
    assert mailbox.logins == 2
    with store.connect() as connection:
        (kept,) = listed(connection, 10)
    assert None not in (kept.sent_at, kept.end_sent_at, kept.resolved_at)
    assert kept.figures["still_works"]
    # And again, for it may come again.
    scene.go(10, stream_features=0)
    assert hook.told()[2:] == [("begun", "job_not_running", JOB)]


def test_a_new_watcher_does_not_tell_again_but_tells_the_end(store: Engine, hook: Hook, clock: Clock) -> None:
    Scene(store, [Webhook(hook.url)], clock).go(5, stream_features=0)
    later = Scene(store, [Webhook(hook.url)], clock)
    later.go(5, stream_features=0)
    assert hook.told() == [("begun", "job_not_running", JOB)]
    later.go(5, stream_features=1)
    assert hook.told()[1:] == [("over", "job_not_running", JOB)]


def test_a_channel_that_refuses_gets_it_later_and_the_other_only_once(
    store: Engine, hook: Hook, mailbox: Mailbox, clock: Clock
) -> None:
    hook.status = 503
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    scene = Scene(store, [Webhook(hook.url), email], clock)
    said = scene.go(8, stream_features=0)
    assert said
    assert "webhook answered 503" in said[0]
    assert (len(hook.posted), len(mailbox.messages)) == (0, 1)
    hook.status = 200
    scene.go(30, stream_features=0)
    assert hook.told() == [("begun", "job_not_running", JOB)]
    assert len(mailbox.messages) == 1


def test_who_does_not_answer_is_named_without_a_password(store: Engine, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    email = Email("127.0.0.1", port, "w@here", ("a@there",), "me", "a-secret", security="none")
    said = Scene(store, [Webhook(f"http://127.0.0.1:{port}/", "a-secret"), email], clock).go(4, stream_features=0)
    assert any("webhook" in words for words in said)
    assert any(f"127.0.0.1:{port}" in words for words in said)
    assert "a-secret" not in " ".join(said)


NO_HTTP = b"SSH-2.0-OpenSSH_9.6\r\n"
CUT_OFF = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"


@pytest.mark.parametrize("answer", [NO_HTTP, CUT_OFF])
def test_a_webhook_that_answers_garbage_keeps_no_mail_back(
    store: Engine, mailbox: Mailbox, clock: Clock, answer: bytes
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    with garbled(answer) as address:
        said = Scene(store, [Webhook(address), email], clock).go(8, stream_features=0)
    assert "by webhook, trying again" in said[0]
    assert len(mailbox.messages) == 1


@pytest.mark.parametrize(("path", "token"), [(":secret/", ""), ("/hook", "secret\n"), ("/hook", "secret€")])
def test_an_address_or_token_that_cannot_be_sent_is_said_without_it(
    store: Engine, hook: Hook, mailbox: Mailbox, clock: Clock, path: str, token: str
) -> None:
    webhook = Webhook(hook.url.removesuffix("/hook") + path, token)
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    said = Scene(store, [webhook, email], clock).go(4, stream_features=0)
    assert "webhook" in said[0]
    assert "secret" not in " ".join(said)
    assert len(mailbox.messages) == 1


def test_a_password_that_cannot_be_sent_is_said_without_it(
    store: Engine, hook: Hook, mailbox: Mailbox, clock: Clock
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), "me", "a-sécret", security="none")
    said = Scene(store, [email, Webhook(hook.url)], clock).go(4, stream_features=0)
    assert "e-mail" in said[0]
    assert not {"é", "\\xe9"} & set(" ".join(said).replace("\\xe9", "é"))
    assert hook.told() == [("begun", "job_not_running", JOB)]


class Faulty:
    """A channel with a fault that nobody has thought of."""

    name = "faulty"

    def send(self, notices: Sequence[Notification]) -> None:
        raise KeyError("a-secret")


def test_a_channel_with_an_unknown_fault_keeps_no_other_back(store: Engine, hook: Hook, clock: Clock) -> None:
    said = Scene(store, [Faulty(), Webhook(hook.url)], clock).go(8, stream_features=0)
    assert ["KeyError" in words and "a-secret" not in words for words in said] == [True, True]  # the pause grows
    assert hook.told() == [("begun", "job_not_running", JOB)]


def test_a_channel_that_refuses_for_hours_is_tried_every_five_minutes(store: Engine, clock: Clock) -> None:
    scene = Scene(store, [Faulty()], clock)
    said = scene.go(5 * 3600 // int(LOOK_SECONDS), stream_features=0)
    assert 55 < len(said) < 65


@pytest.mark.parametrize("how", ["acknowledged", "silenced"])
def test_what_somebody_has_seen_to_is_not_sent(store: Engine, hook: Hook, clock: Clock, how: str) -> None:
    scene = Scene(store, [], clock)
    scene.go(5, stream_features=0)
    with store.begin() as connection:
        (alert,) = listed(connection, 1)
        if how == "acknowledged":
            alerts.acknowledge(connection, alert.id, "somebody", clock.now)
        else:
            alerts.silence(connection, alert.id, clock.now + timedelta(hours=1))
    with_hook = Scene(store, [Webhook(hook.url)], clock)
    with_hook.go(5, stream_features=0)
    with_hook.go(5, stream_features=1)
    with_hook.go(5, stream_features=0)  # a new one: the silence holds for it too, the acknowledgement does not
    told = [] if how == "silenced" else [("begun", "job_not_running", JOB)]
    assert hook.told() == told
    if how == "silenced":
        clock.go(3600)
        with_hook.go(2, stream_features=0)
        assert hook.told() == [("begun", "job_not_running", JOB)]


def test_what_has_a_reason_is_kept_but_not_sent(store: Engine, hook: Hook, clock: Clock) -> None:
    scene = Scene(store, [Webhook(hook.url)], clock)
    scene.go(10, broker=0, silence=120)
    assert hook.told() == [("begun", "broker_unreachable", "pipeline")]
    with store.connect() as connection:
        assert {alert.rule for alert in listed(connection, 10)} == {"broker_unreachable", "job_silent"}
    scene.go(10, broker=1, silence=120)  # the reason is gone, it is not
    assert ("begun", "job_silent", JOB) in hook.told()


def test_without_the_store_alerts_are_sent_and_kept_when_it_is_back(store: Engine, hook: Hook, clock: Clock) -> None:
    scene = Scene(store, [Webhook(hook.url)], clock)
    scene.go(2, stream_features=1, store_predictions=1)
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE alerts RENAME TO away"))
    scene.go(6, stream_features=0, store_predictions=0)
    scene.go(6, stream_features=1, store_predictions=0)
    expected = [
        ("begun", "job_not_running", "store_predictions"),
        ("begun", "job_not_running", JOB),
        ("over", "job_not_running", JOB),
    ]
    assert hook.told() == expected
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO alerts"))
    scene.go(2, stream_features=1, store_predictions=0)
    with store.connect() as connection:
        kept = {alert.subject: alert for alert in listed(connection, 10)}
    assert kept["store_predictions"].resolved_at is None
    assert kept[JOB].resolved_at is not None
    assert hook.told() == expected
    scene.go(6, stream_features=0, store_predictions=1)
    new = {("begun", "job_not_running", JOB), ("over", "job_not_running", "store_predictions")}
    assert set(hook.told()[3:]) == new


def test_what_others_raise_is_sent_too(store: Engine, hook: Hook, clock: Clock) -> None:
    with store.begin() as connection:
        found = alerts.Alert("input_drift", "pressure", alerts.Severity.WARNING, "The inputs have moved.")
        alerts.report(connection, found, clock.now)
    scene = Scene(store, [Webhook(hook.url)], clock)
    scene.go(2)
    with store.begin() as connection:
        alerts.resolve(connection, "input_drift", "pressure", clock.now)
    scene.go(2)
    assert hook.told() == [("begun", "input_drift", "pressure"), ("over", "input_drift", "pressure")]
