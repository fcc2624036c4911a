"""Free ports for servers that a benchmark starts."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from weatherglass.settings import LOOPBACK


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens; another program can take them before they are used."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]
