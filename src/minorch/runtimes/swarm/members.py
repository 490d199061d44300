"""A Swarm's nodes as minorch's: what they are called, and whether they can be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from minorch.errors import EngineUnavailable
from minorch.model import Node
from minorch.runtimes.swarm.snapshot import Snapshot, SwarmNode

__all__ = ["Names", "answering", "as_node"]

_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.\-]")
_SHORT: Final = 8
_LONGEST: Final = 63
_MOST_LABELS: Final = 64


def answering(snapshot: Snapshot, node_id: str) -> SwarmNode:
    """Return a node whose tasks can be known.

    Raises:
        EngineUnavailable: it has left the Swarm, or does not answer it.
    """
    node = snapshot.nodes.get(node_id)
    if node is None:
        raise EngineUnavailable(
            f"the node {node_id} is not in the Swarm any more: it has left, or was removed (docker node rm)"
        )
    if not node.answers:
        words = f": {node.message}" if node.message else ""
        raise EngineUnavailable(f"the Swarm says that its node {node.hostname} is {node.state}{words}")
    return node


class Names:
    """What nodes are called: by their hosts, and the later ones of one name by their ids as well.

    A name stays as long as its node is there.  A new process finds the same ones as long as the oldest node
    of a doubled name is there.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}

    def name(self, nodes: Mapping[str, SwarmNode]) -> Mapping[str, str]:
        """Return the name of each node, by its id; the names of nodes that have left are free again."""
        self._by_id = {node_id: name for node_id, name in self._by_id.items() if node_id in nodes}
        taken = set(self._by_id.values())
        for node in sorted(nodes.values(), key=lambda node: (node.created_at, node.id)):
            if node.id not in self._by_id:
                name = _plain(node.hostname) or f"node-{node.id[:_SHORT]}"
                if name in taken:
                    name = f"{name[: _LONGEST - _SHORT - 1]}-{node.id[:_SHORT]}"
                if name in taken:
                    name = node.id
                self._by_id[node.id] = name
                taken.add(name)
        return {node_id: self._by_id[node_id] for node_id in nodes}


def _plain(hostname: str) -> str:
    return _FOREIGN.sub("-", hostname).lstrip("-_.")[:_LONGEST]


def as_node(node: SwarmNode, name: str) -> Node:
    """Return what a node offers, as minorch's scheduler sees it.

    Labels of the node win over those of its engine.  ``swarm.id``, ``swarm.hostname`` and ``swarm.role`` are
    added.
    """
    own = {"swarm.id": node.id, "swarm.hostname": node.hostname, "swarm.role": node.role}
    labels = {**node.engine_labels, **node.labels}
    fitting = {
        label: value
        for label, value in labels.items()
        if label
        and not label.startswith(("minorch.", "node.", "swarm."))
        and len(label) <= 256
        and len(value) <= 4096
    }
    kept = dict(list(fitting.items())[: _MOST_LABELS - len(own)])
    return Node(
        name,
        capacity=node.capacity,
        runtime="swarm",
        labels={**kept, **own},
        platform=node.platform,
        address=node.address,
    )
