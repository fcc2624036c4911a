"""Sends each message once to a channel, and again later if the channel fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from weatherglass.alerts.notification import Message
from weatherglass.monitor.notification_channels import ChannelError, NotificationChannel

FIRST_RETRY_DELAY, MAX_RETRY_DELAY = timedelta(seconds=30), timedelta(minutes=5)
"""Delay before a channel is retried after an error; doubles with every error up to the maximum."""

MAX_ITEMS = 50
"""Items in one message; servers refuse large ones. The others follow in the next messages. After an error a message has
half as many, and one that fails alone is tried again after the others: what a server refuses stops no other alert."""


class Deliverable(Protocol):
    @property
    def key(self) -> tuple[Hashable, ...]:
        """What is delivered once with the same key is not delivered again.

        Keys that differ only in the last element are of the start and the end of one alert.
        """


Item = TypeVar("Item", bound=Deliverable)


class DeliveryQueue(Generic[Item]):
    """A channel with the items delivered to it and the time of the next try after an error.

    Args:
        compose: the message about some items.
    """

    def __init__(self, channel: NotificationChannel, compose: Callable[[Sequence[Item]], Message]):
        self.channel = channel
        self.delivered: set[tuple[Hashable, ...]] = set()
        self._compose = compose
        self._max_items = MAX_ITEMS
        self._refused: dict[Hashable, None] = {}
        """Keys, without the last element, of items that failed alone, the last one last. What follows about the same
        alert waits as well: its start must not be sent before the end of an earlier one."""
        self._retry_delay = FIRST_RETRY_DELAY
        self._retry_at: datetime | None = None

    def deliver(self, items: Sequence[Item], now: datetime) -> str | None:
        """Send some of the items that were not delivered yet. Returns an error message, or None."""
        places = {key: place for place, key in enumerate(self._refused, 1)}
        due = [item for item in items if item.key not in self.delivered]
        due = sorted(due, key=lambda item: places.get(item.key[:-1], 0))[: self._max_items]
        if not due or (self._retry_at and now < self._retry_at):
            return None
        try:
            self.channel.send(self._compose(due))
        except ChannelError as error:
            return self._failed(due, now, str(error))
        except Exception as error:  # an unexpected error must stop neither the other channels nor the monitor
            frame = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            return self._failed(due, now, reason)  # without the error's message, which may contain a password
        self._retry_delay, self._retry_at = FIRST_RETRY_DELAY, None
        self._max_items = min(2 * self._max_items, MAX_ITEMS)
        for item in due:
            self.delivered.add(item.key)
            self._refused.pop(item.key[:-1], None)
        return None

    def _failed(self, due: Sequence[Item], now: datetime, reason: str) -> str:
        if len(due) == 1:
            self._refused.pop(due[0].key[:-1], None)
            self._refused[due[0].key[:-1]] = None
        self._max_items = max(len(due) // 2, 1)
        self._retry_at = now + self._retry_delay
        delay, self._retry_delay = self._retry_delay, min(2 * self._retry_delay, MAX_RETRY_DELAY)
        return (
            f"Sending {len(due)} alerts by {self.channel.name} failed, retry in {delay.total_seconds():g} s: {reason}"
        )

    def forget(self, keys: Iterable[tuple[Hashable, ...]]) -> None:
        """Allow items to be sent again."""
        for key in keys:
            self.delivered.discard(key)
            self._refused.pop(key[:-1], None)
