"""Access control when the API runs standalone: local requests only, or a bearer token.

A browser cannot add a token to its requests, so the user enters it once at `/login`, which starts a session.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from weatherglass.api.problems import FORBIDDEN, MISDIRECTED_REQUEST, UNAUTHORIZED, Problem
from weatherglass.api.sessions import Sessions

COOKIE_NAME = "weatherglass_session"
SECURE_COOKIE_NAME = f"__Host-{COOKIE_NAME}"
"""With TLS: browsers accept the prefix only for a cookie that was set by this host over TLS."""
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def require_token(token: str, sessions: Sessions) -> Callable[[Request], Awaitable[None]]:
    """A dependency that requires `Authorization: Bearer <token>` or the cookie of a session."""

    async def check_token(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            session_id, allowed = "", tokens_match(given.strip(), token)
        else:
            session_id = request.cookies.get(cookie_name(request), "")
            allowed = sessions.use(session_id)
        request.state.user = session_id or "token"
        if not allowed:
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                raise HTTPException(303, "Login required", {"Location": "/login"})
            detail = "Send the header 'Authorization: Bearer …' with the value of WEATHERGLASS_API_TOKEN."
            raise Problem(UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})

    return check_token


def cookie_name(request: Request) -> str:
    """The name of the session's cookie for the scheme of a request."""
    return SECURE_COOKIE_NAME if request.url.scheme == "https" else COOKIE_NAME


def tokens_match(given: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), token.encode())


async def local_only(request: Request) -> None:
    """A dependency that rejects requests whose host name is not a name of the local machine.

    This prevents DNS rebinding: a page of another site could otherwise point its own name to 127.0.0.1 and read the
    responses.
    """
    if request.url.hostname not in LOCAL_NAMES:
        detail = (
            f"Host {request.url.hostname!r} is not allowed. Without a token, the API accepts only localhost, "
            "127.0.0.1 and ::1."
        )
        raise Problem(MISDIRECTED_REQUEST, detail)


def current_user(request: Request) -> str:
    """The user name recorded with a change when the API runs standalone, where there are no user accounts."""
    require_same_origin(request)
    return "local user" if request.url.hostname in LOCAL_NAMES else "token holder"


def require_same_origin(request: Request) -> None:
    """Reject a change requested by a page of another site with the user's cookie (CSRF)."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(FORBIDDEN, f"Requests from pages of {origin} cannot change anything.")
