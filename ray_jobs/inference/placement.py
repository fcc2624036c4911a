"""Where the actors run: as far as there are nodes, each on one of its own.

Ray places an actor once. After the loss of a node, or of the head with all of them, the first node to come back gets
every actor and keeps it, and those that follow stay idle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def move(places: Mapping[str, str], nodes: set[str]) -> tuple[str, str] | None:
    """An actor that shares its node, and a node without any, which has room for it whatever is trained there.

    Args:
        places: actor -> the node it runs on.
        nodes: all that take actors.
    """
    idle = nodes - set(places.values())
    shared = Counter(places.values())
    crowded = [name for name, node in places.items() if shared[node] > 1]
    return (max(crowded), min(idle)) if idle and crowded else None
