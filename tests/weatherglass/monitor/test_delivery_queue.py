"""A channel gets each message once, in order, whatever it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.waiting import until
from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.monitor.receivers import WebhookReceiver
from weatherglass.alerts.notification import Message, Notification, message
from weatherglass.monitor.delivery_queue import DeliveryQueue
from weatherglass.monitor.notification_channels import ChannelError, Webhook


def test_the_retry_delay_of_a_failing_channel_grows_to_five_minutes_and_starts_again_after_a_success(
    hook: WebhookReceiver, clock: Clock
) -> None:
    """Retries follow after 30, 60, 120, 240 and then 300 s."""
    queue = DeliveryQueue(Webhook(hook.url), message)
    start = clock.now

    def tries(rule: str, seconds: range) -> list[int]:
        """The seconds at which sending fails."""
        alert = Notification(rule, "stream_features", "critical", start, "Message.", {}, None)
        return [second for second in seconds if queue.deliver([alert], start + timedelta(seconds=second))]

    hook.status = 503
    assert tries("first", range(0, 1200, 5)) == [0, 30, 90, 210, 450, 750, 1050]
    hook.status = 200
    assert tries("first", range(1200, 1500, 5)) == []
    assert len(hook.posted) == 1
    hook.status = 503
    assert tries("second", range(1500, 1600, 5)) == [1500, 1530, 1590]


class StrictChannel:
    """Refuses messages with a certain text."""

    name = "strict channel"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def send(self, message: Message) -> None:
        if "refused" in message.text:
            raise ChannelError("400")
        self.texts.append(message.text)


def test_an_alert_that_a_channel_refuses_stops_no_other(clock: Clock) -> None:
    channel = StrictChannel()
    queue = DeliveryQueue(channel, message)
    subjects = ["refused", *(f"station-{number}" for number in range(70))]
    items = [
        Notification("station_silent", subject, "warning", clock.now, f"{subject} is silent.") for subject in subjects
    ]
    until(
        "the delivery of all others",
        lambda: queue.deliver(items, clock.advance(600)) is None and len(queue.delivered) == 70,
        interval=0,
    )
    assert sum(text.count("is silent.") for text in channel.texts) == 70
    assert queue.deliver(items, clock.advance(600)) is not None, "it is still tried"
    later = Notification("broker_unreachable", "pipeline", "critical", clock.now, "Kafka is down.")
    assert queue.deliver([*items, later], clock.advance(600)) is None
    assert "Kafka is down." in channel.texts[-1]


class RepairedChannel:
    """Fails so many times, then works."""

    name = "repaired channel"

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def send(self, message: Message) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise ChannelError("down")


@pytest.mark.parametrize("failures", range(8))
def test_the_end_of_an_alert_is_sent_before_its_next_start(clock: Clock, failures: int) -> None:
    """However often the messages were tried alone while the channel was down."""
    sent: list[tuple[str, bool]] = []
    channel = RepairedChannel(failures)

    def compose(items: Sequence[Notification]) -> Message:
        if channel.failures <= 0:
            sent.extend((item.subject, item.resolved_at is not None) for item in items)
        return message(items)

    queue = DeliveryQueue(channel, compose)
    items = [
        Notification("station_silent", subject, "warning", clock.now, "", resolved_at=resolved_at)
        for subject, resolved_at in (("boston", clock.now), ("boston", None), ("denver", None))
    ]
    until(
        "the delivery",
        lambda: queue.deliver(items, clock.advance(600)) is None and len(queue.delivered) == len(items),
        interval=0,
    )
    assert sorted(sent) == [("boston", False), ("boston", True), ("denver", False)]
    assert sent.index(("boston", True)) < sent.index(("boston", False))
