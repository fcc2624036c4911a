"""Placement of the actors: one per node as far as there are nodes.

Ray places an actor once. After the loss of a node, or of the head with all actors, the first node that comes back gets
every actor and keeps it, and the nodes that follow stay idle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def next_move(node_of: Mapping[str, str], nodes: set[str]) -> tuple[str, str] | None:
    """An actor that shares its node and a node without actors to move it to; None if nothing has to move.

    A node without actors has room for one whatever is trained there.

    Args:
        node_of: actor -> the node it runs on.
        nodes: all nodes that can run actors.
    """
    idle = nodes - set(node_of.values())
    actors_on = Counter(node_of.values())
    sharing = [name for name, node in node_of.items() if actors_on[node] > 1]
    return (max(sharing), min(idle)) if idle and sharing else None
