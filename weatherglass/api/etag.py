"""`ETag` and `If-None-Match`: an answer that has not changed is not sent again. Source: RFC 9110, 8.8.3 and 13.1.2."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("application/json", "text/csv")


class EntityTags:
    """Tags whole JSON and CSV answers; streams pass as they are, and so does what has a tag already."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        wanted = Headers(scope=scope).get("if-none-match", "")

        async def tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                if (
                    message["status"] == 200
                    and headers.get("content-type", "").startswith(KINDS)
                    and "etag" not in headers
                ):
                    start = message  # the tag is known once the body is
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
                    if tag in [given.strip() for given in wanted.split(",")]:
                        del headers["content-length"]
                        first, message = {**first, "status": 304}, {**message, "body": b""}
                    await send({**first, "headers": headers.raw})
            await send(message)

        await self.app(scope, receive, tagged)
