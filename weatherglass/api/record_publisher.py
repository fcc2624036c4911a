"""Publishes the records that own stations send to a server: limits, checks, publication."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import anyio
import anyio.to_thread

from producer.own_stations import CheckedRecords, OwnStationPublisher, check_records
from producer.publish import PublishError
from weatherglass.api.problems import BROKER_UNAVAILABLE, TOO_LARGE, TOO_MANY_REQUESTS, Problem
from weatherglass.api.rate_limit import RateLimit
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationToken

MAX_RECORDS = 1_000
"""Records of a batch."""
BURST, PER_SECOND = 10_000, 200.0
"""Records of a token at once, and per second in the long run; 500 stations that send each minute are 8 per second."""
CONCURRENT = 8
"""Batches that are published at the same time, in threads of their own: those of the server would all wait with them
if the broker does not respond."""
MAX_WAITING = 64
"""Batches that wait for that; further ones are refused."""
RETRY_SECONDS = 5


class RecordPublisher:
    """The records of own stations in one server. To be created and closed in its event loop."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]):
        self._settings, self._clock = settings, clock
        self._publisher = OwnStationPublisher(settings)
        self._threads = anyio.CapacityLimiter(CONCURRENT)
        self._rate = RateLimit(BURST, PER_SECOND)

    async def publish(self, token: StationToken, records: Sequence[Any]) -> CheckedRecords:
        """Check records and publish the accepted ones; returns after the broker has acknowledged all of them.

        Args:
            records: decoded JSON values.

        Raises:
            Problem: there are too many records, or the broker is not available.
            StationsError: the station table cannot be used.
        """
        if len(records) > MAX_RECORDS:
            raise Problem(TOO_LARGE, f"{len(records)} records; allowed: at most {MAX_RECORDS} in a request.")
        if wait := self._rate.take(token.name, max(len(records), 1)):
            detail = f"Too many records with the token {token.name}. Try again in {wait} s."
            raise Problem(TOO_MANY_REQUESTS, detail, {"Retry-After": str(wait)})
        if self._threads.statistics().tasks_waiting >= MAX_WAITING:
            raise _unavailable("Too many requests are waiting for the Kafka broker.")
        try:
            return await anyio.to_thread.run_sync(self._publish, token, records, limiter=self._threads)
        except PublishError as error:
            raise _unavailable(f"Nothing is lost if you send all records again. {error}") from error

    def _publish(self, token: StationToken, records: Sequence[Any]) -> CheckedRecords:
        now = self._clock()
        checked = check_records(records, self._settings, now, token.permits)
        self._publisher.publish(checked.accepted, now)
        return checked

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._publisher.close)


def _unavailable(detail: str) -> Problem:
    return Problem(BROKER_UNAVAILABLE, detail, {"Retry-After": str(RETRY_SECONDS)})
