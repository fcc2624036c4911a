"""A webhook and a mail server that record what they receive, over real connections."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast


@dataclass
class WebhookReceiver:
    """Requests received.

    Attributes:
        status: HTTP status of its responses.
    """

    url: str = ""
    status: int = 200
    posted: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    def received(self) -> list[tuple[str, str, str]]:
        """Status, rule and subject of each alert, in order of arrival."""
        return [(a["status"], a["rule"], a["subject"]) for body in self.posted for a in body.get("alerts", ())]

    def weather_alerts(self) -> list[tuple[str, str, str]]:
        """Status, rule and station of each weather alert, in order of arrival."""
        found = [alert for body in self.posted for alert in body.get("weather_alerts", ())]
        return [(alert["status"], alert["rule"], alert["station_id"]) for alert in found]


@contextmanager
def webhook() -> Iterator[WebhookReceiver]:
    hook = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.authorizations.append(self.headers["Authorization"])
            if hook.status < 300:
                hook.posted.append(json.loads(body))
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        hook.url = f"http://127.0.0.1:{port}/hook"
        yield hook


@contextmanager
def raw_server(response: bytes) -> Iterator[str]:
    """The URL of a server that reads a request, sends these bytes and closes the connection."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(response)

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


@dataclass
class Mailbox:
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    logins: int = 0
    refused: str = ""
    """A recipient that the server refuses."""


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """The subset of SMTP (RFC 5321) that a sender needs; accepts any `AUTH PLAIN`."""
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._reply("220 ready")
            while line := self.rfile.readline():
                command = line.strip().upper().split(b" ")[0]
                if command == b"EHLO":
                    self._reply("250-ready\r\n250 AUTH PLAIN")
                elif command == b"AUTH":
                    box.logins += 1
                    self._reply("235 welcome")
                elif command == b"DATA":
                    self._reply("354 continue")
                    self._receive()
                    self._reply("250 accepted")
                elif command == b"RCPT" and box.refused and f"<{box.refused}>".encode() in line:
                    self._reply("550 no such user")
                elif command == b"QUIT":
                    self._reply("221 bye")
                    return
                else:
                    self._reply("250 ok")

        def _receive(self) -> None:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
            box.messages.append(cast(EmailMessage, message))

        def _reply(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        box.port = port
        yield box


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
