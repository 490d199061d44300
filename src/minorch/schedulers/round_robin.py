"""Round-robin: each task goes to the next node. What PVM did, and the baseline to compare others with."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

from minorch.scheduling.index import NodeList
from minorch.scheduling.scheduler import Scheduler
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["RoundRobin"]

_index: Final = attrgetter("index")


class RoundRobin(Scheduler):
    """Strict rotation over the nodes by their index; a node that cannot take the task is passed over.

    The cost of a node is how many nodes come before it in the rotation, so the next one costs 0.
    Nodes that join or leave do not disturb it: it goes on behind the node that had the last task, or,
    if that one left, behind where it stood.
    """

    comparable = False

    def __init__(self) -> None:
        self._names: list[str] = []
        """The nodes of this plan, by index."""
        self._next = 0

    def begin(self, cluster: ClusterView) -> None:
        """Find the place in the rotation again."""
        names, last = self._names, self._next - 1
        if len(cluster.nodes) == len(names) and last >= 0 and cluster.nodes[last].name == names[last]:
            return  # which is where it was
        index = {node.name: node.index for node in cluster.nodes}
        done = reversed(self._names[: self._next])
        self._next = next((index[name] + 1 for name in done if name in index), 0)
        self._names = list(index)

    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        """The next node in the rotation, without a look at the others."""
        if isinstance(nodes, NodeList):
            at = nodes.from_index(self._next)
        else:
            at = bisect.bisect_left(nodes, self._next, key=_index)
        return [nodes[at if at < len(nodes) else 0]]

    def cost(self, task: TaskView, node: NodeView) -> float:
        """How many nodes come before *node*."""
        return (node.index - self._next) % max(1, len(self._names))

    def parts(self, task: TaskView, node: NodeView) -> Mapping[str, float]:
        """The cost by its name."""
        return {"nodes before it": self.cost(task, node)}

    def placed(self, task: TaskView, node: NodeView) -> None:
        """Go on behind *node*."""
        self._next = node.index + 1
