"""Sessions of the standalone API, with a clock that the tests move."""

from __future__ import annotations

import base64

import pytest

from tests.clock import Clock
from weatherglass.api.sessions import IDLE_SECONDS, LIFETIME_SECONDS, MAX_SESSIONS, Sessions


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def test_a_session_ends_when_it_is_idle(sessions: Sessions, clock: Clock) -> None:
    session_id = sessions.create()
    clock.now += IDLE_SECONDS - 1
    assert sessions.use(session_id)
    clock.now += IDLE_SECONDS - 1
    assert sessions.use(session_id)
    clock.now += IDLE_SECONDS
    assert not sessions.use(session_id)


def test_a_session_in_use_ends_at_its_lifetime(sessions: Sessions, clock: Clock) -> None:
    session_id, end = sessions.create(), clock.now + LIFETIME_SECONDS
    while clock.now + IDLE_SECONDS / 2 < end:
        clock.now += IDLE_SECONDS / 2
        assert sessions.use(session_id)
    clock.now = end
    assert not sessions.use(session_id)


def test_a_session_that_ended_is_not_accepted(sessions: Sessions) -> None:
    first, second = sessions.create(), sessions.create()
    sessions.end(first)
    assert (sessions.use(first), sessions.use(second)) == (False, True)


def test_ids_are_random(sessions: Sessions) -> None:
    ids = {sessions.create() for _ in range(100)}
    assert len(ids) == 100
    assert {len(base64.urlsafe_b64decode(f"{session_id}=")) for session_id in ids} == {32}


@pytest.mark.parametrize("unknown", ["", "x" * 43])
def test_unknown_ids_are_not_accepted(sessions: Sessions, unknown: str) -> None:
    sessions.create()
    assert not sessions.use(unknown)
    sessions.end(unknown)


def test_the_session_that_was_idle_longest_makes_room(sessions: Sessions) -> None:
    ids = [sessions.create() for _ in range(MAX_SESSIONS)]
    assert sessions.use(ids[0])
    newest = sessions.create()
    assert [sessions.use(session_id) for session_id in (ids[0], ids[1], ids[2], newest)] == [True, False, True, True]
