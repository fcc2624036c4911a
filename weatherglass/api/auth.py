"""Who may ask, when the API runs alone: anybody on this machine, or whoever has the token.

A browser cannot send a token of its own accord, so it gives it once, at `/login`, and then carries it as a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from weatherglass.api.problems import Problem

COOKIE = "weatherglass_token"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def with_token(token: str) -> Callable[[Request], Awaitable[None]]:
    """A guard that wants `Authorization: Bearer <token>`."""

    async def guard(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = request.cookies.get(COOKIE, "")
        if not same(given.strip(), token):
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                raise HTTPException(303, "log in first", {"Location": "/login"})
            detail = "send the header «Authorization: Bearer …» with the token of WEATHERGLASS_API_TOKEN"
            raise Problem(401, "Unauthorized", detail, {"WWW-Authenticate": "Bearer"})

    return guard


def same(given: str, token: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode(), token.encode())


async def local_only(request: Request) -> None:
    """A guard that refuses names other than this machine's own.

    A page of a foreign site whose name was made to point at 127.0.0.1 could read the answers otherwise.
    """
    if request.url.hostname not in LOCAL_NAMES:
        detail = f"asked for as {request.url.hostname!r}; without a token only localhost, 127.0.0.1 and ::1 answer"
        raise Problem(421, "Misdirected request", detail)


def current_user(request: Request) -> str:
    """The name under which a change is kept where there are no users."""
    from_own_pages(request)
    return "somebody on this machine" if request.url.hostname in LOCAL_NAMES else "the holder of the token"


def from_own_pages(request: Request) -> None:
    """Refuses a change that a page of another site asks for with the user's cookie."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(403, "Forbidden", f"a page of {origin} may not change anything here")
