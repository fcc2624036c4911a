from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON
from weatherglass.store.polls import (
    OK,
    Poll,
    PollKind,
    calls_since,
    last_id,
    last_poll,
    last_success,
    polls_after,
    save_poll,
)

HOUR = timedelta(hours=1)


def test_polls_of_guidance_share_the_budget_and_are_not_polls_of_observations(connection: Connection) -> None:
    observed = Poll(NOON, new=3, calls=20)
    for poll in (
        observed,
        Poll(NOON + HOUR, kind=PollKind.GUIDANCE, calls=300),
        Poll(NOON + 2 * HOUR, kind=PollKind.GUIDANCE, calls=4_000, outcome="ApiError"),
    ):
        save_poll(connection, poll)
    assert last_poll(connection) == observed
    assert polls_after(connection, 0) == ([observed], last_id(connection))
    assert last_success(connection) == NOON
    assert calls_since(connection, NOON) == 4_320
    assert calls_since(connection, NOON, PollKind.GUIDANCE) == 4_300
    assert calls_since(connection, NOON + HOUR, PollKind.OBSERVATIONS) == 0
    assert observed.outcome == OK
