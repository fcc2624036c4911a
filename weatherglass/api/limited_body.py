"""Reads the body of a request up to a limit."""

from __future__ import annotations

from starlette.requests import Request

from weatherglass.api.problems import TOO_LARGE, Problem


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        Problem: it has more bytes than `limit`; the rest is not read.
    """
    length = request.headers.get("content-length", "")
    body = bytearray()
    if not (length.isdigit() and int(length) > limit):
        async for part in request.stream():
            body += part
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise Problem(TOO_LARGE, f"The body is too large; allowed: at most {limit:,} bytes.")
