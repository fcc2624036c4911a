"""Connections without a complete request are closed; others are not affected."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from tests.weatherglass.api.serving import serving
from weatherglass.api.request_deadline import DeadlineProtocol

pytestmark = pytest.mark.timeout(120)


class ShortDeadline(DeadlineProtocol):
    seconds = 0.5


def an_app() -> FastAPI:
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.get("/slow")
    async def slow() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first "
            await asyncio.sleep(3 * ShortDeadline.seconds)  # what is tested: the deadline passes meanwhile
            yield b"second"

        return StreamingResponse(parts())

    return app


@pytest.fixture
def address() -> Iterator[str]:
    with serving(an_app(), http=ShortDeadline) as address:
        yield address


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /length HTTP/1.1\r\nHost: localhost\r\nX-Header: ",
        b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n0123456789",
        b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n0" * 2 + b"POST /len",
    ],
)
def test_a_connection_without_a_complete_request_is_closed(address: str, sent: bytes) -> None:
    target = urlsplit(address)
    with socket.create_connection((target.hostname, target.port), timeout=60) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while part := connection.recv(4096):
                received += part
        except ConnectionResetError:
            pass
    assert received.count(b" 200 OK") == sent.count(b"Length: 1\r\n")


def test_complete_requests_and_long_responses_are_not_affected(address: str) -> None:
    with httpx.Client(base_url=address, timeout=60) as client:
        assert client.post("/length", content=b"x" * 100_000).json() == 100_000
        assert client.get("/slow").text == "first second"
        assert client.post("/length", content=b"y").json() == 1
