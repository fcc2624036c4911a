"""Connections to servers on this machine and in its network."""

from __future__ import annotations

import socket

import requests

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


def direct_session() -> requests.Session:
    """An HTTP session for servers on this machine or in its network: no proxy and no .netrc."""
    session = requests.Session()
    session.trust_env = False
    return session
