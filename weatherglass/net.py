"""Connections to servers on this machine and in its network."""

from __future__ import annotations

import socket

import requests

TIMEOUT_SECONDS = 2.0
RECONNECT_MS = 1_000
"""Longest pause of a Kafka client between two attempts to connect. By default the pauses are doubled up to 30 s, so a
client notices only after up to twice the time of an outage that the broker is back."""


def connection_error(address: str) -> str | None:
    """Why a TCP connection to `host:port` (an IPv6 host in brackets) fails; None if it succeeds."""
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    except (ValueError, OverflowError):
        return f"{address!r} is not host:port"
    return None


def accepts_connections(address: str) -> bool:
    """Whether a TCP connection to `host:port` succeeds."""
    return connection_error(address) is None


def direct_session() -> requests.Session:
    """An HTTP session for servers on this machine or in its network: no proxy and no .netrc."""
    session = requests.Session()
    session.trust_env = False
    return session
