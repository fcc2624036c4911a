"""Whether a server is there: the cheapest question, to be asked before a client that would wait for minutes."""

from __future__ import annotations

import socket

PATIENCE_SECONDS = 2.0


def refusal(address: str) -> str | None:
    """Why nothing takes a connection at `host:port` (an IPv6 host in brackets); None if something does."""
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    except (ValueError, OverflowError):
        return f"{address!r} is no host:port"
    return None


def answers(address: str) -> bool:
    """Whether something takes a connection at `host:port`."""
    return refusal(address) is None
