"""`ETag` and `If-None-Match`: 304 for unchanged responses. Source: RFC 9110, sections 8.8.3 and 13.1.2."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weatherglass.api.table_response import TableFormat

TAGGED_MEDIA_TYPES = ("application/json", *(table.value for table in TableFormat))


class ETagMiddleware:
    """Adds an ETag to JSON and tables with a single body message; streams and tagged responses are unchanged."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        if_none_match = Headers(scope=scope).get("if-none-match", "")

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                if (
                    message["status"] == 200
                    and headers.get("content-type", "").startswith(TAGGED_MEDIA_TYPES)
                    and "etag" not in headers
                ):
                    start = message  # sent with the body, from which the tag is computed
                    return
            elif start is not None and message["type"] == "http.response.body":
                first, start = start, None
                if message.get("more_body"):
                    await send(first)
                else:
                    tag = f'W/"{hashlib.blake2b(message.get("body", b""), digest_size=12).hexdigest()}"'
                    headers = MutableHeaders(raw=list(first["headers"]))
                    headers["ETag"] = tag
                    headers.setdefault("Cache-Control", "private, no-cache")
                    if tag in [candidate.strip() for candidate in if_none_match.split(",")]:
                        del headers["content-length"]
                        first, message = {**first, "status": 304}, {**message, "body": b""}
                    await send({**first, "headers": headers.raw})
            await send(message)

        await self.app(scope, receive, send_tagged)
