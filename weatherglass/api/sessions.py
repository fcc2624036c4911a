"""Sessions of the standalone API: a login exchanges the API token for a random session id, kept in a cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

LIFETIME_SECONDS = 7 * 86_400.0
IDLE_SECONDS = 86_400.0
"""A session ends after this time without a request."""
MAX_SESSIONS = 1_000
"""Beyond it, the session that was idle longest ends."""


@dataclass
class Session:
    """Times of the clock in seconds."""

    created: float
    used: float


class Sessions:
    """The sessions of this process; they end with it.

    Args:
        clock: returns a time in seconds that never decreases.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        """Session by id; the one that was used last is at the end."""

    def create(self) -> str:
        """Start a session; its id has 256 random bits."""
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session_id, now = secrets.token_urlsafe(32), self._clock()
        self._sessions[session_id] = Session(now, now)
        return session_id

    def use(self, session_id: str) -> bool:
        """Whether a session exists and has not expired; if so, it is no longer idle."""
        session, now = self._sessions.pop(session_id, None), self._clock()
        if session is None or now - session.created >= LIFETIME_SECONDS or now - session.used >= IDLE_SECONDS:
            return False
        session.used = now
        self._sessions[session_id] = session
        return True

    def end(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)
