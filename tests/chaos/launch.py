"""`python -m tests.chaos.launch <internal port> <proxy port>`: `make up` with the broker behind the proxy."""

from __future__ import annotations

import sys
from functools import partial

from tests.chaos.proxied_broker import ProxiedBroker
from weatherglass.launcher import phases
from weatherglass.launcher.__main__ import main


def run(internal: int, proxy: int) -> int:
    """Run the launcher until it is stopped; its exit status.

    Args:
        internal: port of the broker's own listener.
        proxy: port of the proxy.
    """
    phases.Broker = partial(ProxiedBroker, internal=internal, proxy=proxy)  # type: ignore[misc, assignment]
    return main(["up"])


if __name__ == "__main__":
    sys.exit(run(*map(int, sys.argv[1:])))
