"""Random choice: any node that could take the task. The other baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minorch.scheduling.scheduler import Scheduler
from minorch.scheduling.view import ClusterView, NodeView, TaskView

if TYPE_CHECKING:
    from random import Random

__all__ = ["RandomChoice"]


class RandomChoice(Scheduler):
    """Any of the feasible nodes, each as likely as the others; every node costs 0.

    The randomness is the cluster view's, so the same seed gives the same plan.
    """

    comparable = False

    def __init__(self) -> None:
        self._random: Random | None = None

    def begin(self, cluster: ClusterView) -> None:
        """Take the source of randomness of this plan."""
        self._random = cluster.random

    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        """Draw one of *nodes*; before any plan has begun, the first."""
        return [nodes[0] if self._random is None else self._random.choice(nodes)]
