"""Weather alerts are sent to a webhook and a mailbox over real connections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.monitor.receivers import Mailbox, WebhookReceiver
from tests.weatherglass.store.samples import NOON, a_prediction
from tests.weatherglass.weather_alerts.rules import FAULT, FROST, a_normal_prediction, dip
from weatherglass.alerts.notification import Links
from weatherglass.monitor.delivery_queue import MAX_ITEMS
from weatherglass.monitor.notification_channels import Email, NotificationChannel, Webhook
from weatherglass.monitor.weather_alert_sender import WeatherAlertSender
from weatherglass.monitor.weather_alerts import WeatherAlertRun
from weatherglass.record_headers import Origin
from weatherglass.store import predictions, weather_alerts
from weatherglass.store.schema import weather_alerts as table

NAMES = {"new-york": "New York"}
STARTED, ENDED = ("started", "Frost", "new-york"), ("ended", "Frost", "new-york")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON + timedelta(minutes=1))


class Scenario:
    """Evaluations a minute apart, each followed by sending."""

    def __init__(self, store: Engine, clock: Clock, *channels: NotificationChannel):
        self.store, self.clock = store, clock
        self.evaluation = WeatherAlertRun(store, lambda: None)
        self.sender = WeatherAlertSender(store, channels, Links("http://airflow.example:8088"), lambda: NAMES)

    def add_rule(self, **fields: Any) -> int:
        with self.store.begin() as connection:
            usual = FAULT if fields.get("kind") == "fault" else FROST
            return weather_alerts.add_rule(connection, usual | fields, "ann", self.clock.now)

    def step(self, temperature: float | None = None, source: Origin = Origin.METAR) -> list[str]:
        """Evaluate and send a minute later; with a new forecast if a temperature is given, else with the last one."""
        self.clock.advance(60)
        if temperature is not None:
            forecast = a_normal_prediction({"temperature": dip(23, temperature, 15.0)})
            with self.store.begin() as connection:
                predictions.save(connection, [forecast], self.clock.now, source)
        self.evaluation.run(self.clock.now)
        return self.sender.send(self.clock.now)


def test_the_start_and_the_end_are_sent_once_to_every_channel(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    scenario = Scenario(store, clock, Webhook(hook.url), email)
    rule_id = scenario.add_rule(threshold=32, unit="°F")
    for temperature in (15, -1.5, -1.5, None, 15, None):
        assert scenario.step(temperature) == []
    assert hook.weather_alerts() == [STARTED, ENDED]
    assert hook.received() == []
    (started,) = hook.posted[0]["weather_alerts"]
    assert (started["rule_id"], started["details"]["unit"], started["ended_at"]) == (rule_id, "°F", None)
    assert started["details"]["value"] == pytest.approx(29.3)
    first, second = mailbox.messages
    assert first["Subject"] == "[Weatherglass: weather alert] Frost: New York"
    assert second["Subject"] == "[Weatherglass: weather alert ended] Frost: New York"
    body = first.get_content()
    for part in ("32 °F", "93 %", "2026-01-06T11:00:00Z", "29.3 °F", "station?id=new-york"):
        assert part in body
    assert "source" not in body
    with store.connect() as connection:
        (logged,) = weather_alerts.list_alerts(connection, 5)
        assert weather_alerts.pending_messages(connection) == []
    assert logged.sent_at is not None


@pytest.mark.parametrize("source", [Origin.REPLAY, Origin.SIMULATED])
def test_a_message_says_that_the_weather_is_not_live(
    store: Engine, hook: WebhookReceiver, clock: Clock, source: Origin
) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    scenario.add_rule()
    scenario.step(-5, source)
    assert f"source {source.value}" in hook.posted[0]["text"]
    assert hook.posted[0]["weather_alerts"][0]["details"]["source"] == source.value


def test_messages_wait_for_the_end_of_the_quiet_hours(store: Engine, hook: WebhookReceiver, clock: Clock) -> None:
    """In New York, 12:16 UTC is 07:16."""
    scenario = Scenario(store, clock, Webhook(hook.url))
    quiet = {"quiet_hours": {"start": "07:00", "end": "07:30", "time_zone": "America/New_York"}}
    scenario.add_rule(**quiet)
    scenario.add_rule(name="Loud")
    scenario.add_rule(name="Short", threshold=-3, **quiet)
    scenario.step(-5)
    assert hook.weather_alerts() == [("started", "Loud", "new-york")]
    scenario.step(-1.5)  # the third one ends before it was sent, so it is never sent
    clock.now = datetime(2026, 1, 5, 12, 28, 59, tzinfo=UTC)
    scenario.step()
    assert len(hook.weather_alerts()) == 1
    scenario.step()
    assert hook.weather_alerts()[1:] == [STARTED]
    clock.now = datetime(2026, 1, 6, 10, 0, tzinfo=UTC)
    scenario.step()
    assert len(hook.weather_alerts()) == 2


def test_the_end_waits_for_the_end_of_the_quiet_hours(store: Engine, hook: WebhookReceiver, clock: Clock) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    scenario.add_rule(quiet_hours={"start": "12:18", "end": "12:20", "time_zone": "UTC"})
    for temperature in (-5, 15, None):
        scenario.step(temperature)
    assert hook.weather_alerts() == [STARTED]
    scenario.step()
    assert hook.weather_alerts() == [STARTED, ENDED]


def test_a_failed_channel_is_retried_and_the_other_gets_each_message_once(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    hook.status = 503
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    scenario = Scenario(store, clock, Webhook(hook.url), email)
    scenario.add_rule()
    errors = scenario.step(-5)
    assert len(errors) == 1
    assert "webhook" in errors[0]
    hook.status = 200
    for _ in range(10):
        scenario.step()
    assert (hook.weather_alerts(), len(mailbox.messages)) == ([STARTED], 1)


def test_the_end_is_sent_to_the_channels_that_got_the_start(
    store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock
) -> None:
    """The other channel fails from the start to the end, and then gets neither."""
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="starttls")
    scenario = Scenario(store, clock, Webhook(hook.url), email)
    scenario.add_rule()
    assert scenario.step(-5)
    scenario.step(15)
    assert hook.weather_alerts() == [STARTED, ENDED]
    with store.connect() as connection:
        assert weather_alerts.pending_messages(connection) == []
    scenario.sender = WeatherAlertSender(store, (Webhook(hook.url),), Links("http://airflow.example"), lambda: NAMES)
    scenario.step()
    assert len(hook.weather_alerts()) == 2


def test_many_alerts_are_sent_in_several_messages(store: Engine, hook: WebhookReceiver, clock: Clock) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    rule_id = scenario.add_rule()
    with store.begin() as connection:
        for number in range(MAX_ITEMS + 1):
            weather_alerts.open_alert(connection, rule_id, "Frost", f"s{number}", {}, clock.now)
    for _ in range(3):
        scenario.sender.send(clock.now)
    assert [len(body["weather_alerts"]) for body in hook.posted] == [MAX_ITEMS, 1]


def test_after_a_restart_an_open_alert_is_not_sent_again_but_its_end_is(
    store: Engine, hook: WebhookReceiver, clock: Clock
) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    scenario.add_rule()
    scenario.step(-5)
    restarted = Scenario(store, clock, Webhook(hook.url))
    restarted.step()
    assert hook.weather_alerts() == [STARTED]
    restarted.step(15)
    assert hook.weather_alerts() == [STARTED, ENDED]


def test_the_end_of_a_deleted_rule_is_not_sent(store: Engine, hook: WebhookReceiver, clock: Clock) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    rule_id = scenario.add_rule()
    scenario.step(-5)
    with store.begin() as connection:
        weather_alerts.delete_rule(connection, rule_id, clock.now)
    scenario.step()
    assert hook.weather_alerts() == [STARTED]


def test_details_that_cannot_be_read_do_not_affect_the_other_alerts(
    store: Engine, hook: WebhookReceiver, clock: Clock
) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    scenario.add_rule()
    scenario.add_rule(name="Other")
    Scenario(store, clock).step(-5)
    with store.begin() as connection:
        connection.execute(update(table).where(table.c.rule_name == "Frost").values(details={"kind": "forecast"}))
    assert scenario.sender.send(clock.now) == []
    assert hook.weather_alerts() == [STARTED, ("started", "Other", "new-york")]


def test_a_fault_is_sent_with_its_reasons(store: Engine, hook: WebhookReceiver, mailbox: Mailbox, clock: Clock) -> None:
    email = Email("127.0.0.1", mailbox.port, "w@here", ("a@there",), security="none")
    scenario = Scenario(store, clock, Webhook(hook.url), email)
    scenario.add_rule(kind="fault")
    readings = [a_prediction(timestamp=NOON - timedelta(minutes=5 * n), failed=("flat_line",)) for n in range(3)]
    with store.begin() as connection:
        predictions.save(connection, readings, clock.now, Origin.OWN)
    scenario.step()
    assert hook.weather_alerts() == [("started", "Faults", "new-york")]
    assert "flat_line failed" in hook.posted[0]["text"]
    assert mailbox.messages[0]["Subject"] == "[Weatherglass: station fault] Faults: New York"


def test_while_the_store_is_unavailable_nothing_is_sent(store: Engine, hook: WebhookReceiver, clock: Clock) -> None:
    scenario = Scenario(store, clock, Webhook(hook.url))
    scenario.add_rule()
    Scenario(store, clock).step(-5)
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE weather_alerts RENAME TO away"))
    assert scenario.step() == []
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO weather_alerts"))
    scenario.step()
    assert hook.weather_alerts() == [STARTED]
