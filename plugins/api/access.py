"""Who may ask, when the API runs alone: anybody on this machine, or whoever has the token."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from fastapi import Request

from plugins.api.problems import Problem

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def with_token(token: str) -> Callable[[Request], None]:
    """A guard that wants `Authorization: Bearer <token>`."""

    def guard(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            detail = "send the header «Authorization: Bearer …» with the token of WEATHERGLASS_API_TOKEN"
            raise Problem(401, "Unauthorized", detail, {"WWW-Authenticate": "Bearer"})

    return guard


def from_here(request: Request) -> None:
    """A guard that refuses names other than this machine's own.

    A page of a foreign site whose name was made to point at 127.0.0.1 could read the answers otherwise.
    """
    if request.url.hostname not in LOCAL_NAMES:
        detail = f"asked for as {request.url.hostname!r}; without a token the API answers as localhost only"
        raise Problem(421, "Misdirected request", detail)
