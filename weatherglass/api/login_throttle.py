"""Slows down the guessing of passwords and tokens: failed logins are limited for each client address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import deque
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weatherglass.api.problems import TOO_MANY_REQUESTS, Problem, problem_response

MAX_FAILURES = 10
"""Failed logins of an address within `WINDOW_SECONDS`, after which its logins are refused."""
WINDOW_SECONDS = 300.0
MAX_ADDRESSES = 10_000
"""Addresses whose failures are remembered; beyond it, the address that failed first is forgotten."""
FAILED = frozenset({400, 401, 403, 415, 422})
"""Statuses of a failed login. A form may also redirect to itself."""


class FailedLogins:
    """The times of the failed logins of each client network.

    Args:
        clock: returns a time in seconds that never decreases.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def retry_after(self, address: str) -> float:
        """Seconds until the address may log in again; 0 if it may now."""
        failures = self._failures.get(client_network(address))
        if failures is None or len(failures) < MAX_FAILURES:
            return 0.0
        return max(0.0, failures[0] + WINDOW_SECONDS - self._clock())

    def record(self, address: str) -> None:
        """Record a failed login. A successful one clears nothing: users could guess the passwords of others."""
        key = client_network(address)
        failures = self._failures.pop(key, deque(maxlen=MAX_FAILURES))
        failures.append(self._clock())
        while len(self._failures) >= MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = failures


class LoginThrottleMiddleware:
    """Answers a login with 429 if too many logins from its address failed before.

    Args:
        paths: the paths to which logins are posted.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str], failed_logins: FailedLogins | None = None):
        self.app, self.paths = app, frozenset(paths)
        self.failed_logins = failed_logins or FailedLogins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Mounted apps change the root path of the scope, which is the prefix of the public address until then.
        prefix = scope.get("root_path", "").rstrip("/")
        is_login = scope["type"] == "http" and scope["method"] == "POST" and self._is_login(scope["path"], prefix)
        if not is_login or not scope.get("client"):
            await self.app(scope, receive, send)
            return
        address = scope["client"][0]
        if wait := self.failed_logins.retry_after(address):
            problem = Problem(
                TOO_MANY_REQUESTS,
                f"Too many failed logins. Try again in {math.ceil(wait)} s.",
                {"Retry-After": str(math.ceil(wait))},
            )
            await problem_response(Request(scope), problem)(scope, receive, send)
            return

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start" and self._failed(message, prefix):
                self.failed_logins.record(address)
            await send(message)

        await self.app(scope, receive, send_and_record)

    def _failed(self, response: Message, prefix: str) -> bool:
        target = urlsplit(Headers(raw=response["headers"]).get("location", "")).path
        return response["status"] in FAILED or self._is_login(target, prefix)

    def _is_login(self, path: str, prefix: str) -> bool:
        return path in self.paths or path.removeprefix(prefix) in self.paths


def client_network(address: str) -> str:
    """The network that one client controls: the IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return address
