"""Bin packing: fill one node before the next, so that whole nodes stay free for large tasks."""

from __future__ import annotations

from collections.abc import Mapping

from minorch.scheduling.scheduler import Scheduler
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["BinPack"]


class BinPack(Scheduler):
    """The node that is fullest once the task is there.

    How full it is, is the mean of its reserved shares in each dimension of its capacity that is not
    zero and in its task slots (``max_tasks``); the cost is what is left, from 0 to 1.  A node with a
    resource that the task does not ask for, such as a GPU, therefore looks emptier and is kept for
    those that do.  Measurements are not looked at: what is packed are reservations.
    """

    depends_on = "node"

    def cost(self, task: TaskView, node: NodeView) -> float:
        """The mean share that is left after placement."""
        shares = node.shares(task.task.resources)
        if node.node.max_tasks:
            shares.append((node.tasks + 1) / node.node.max_tasks)
        return 1.0 - sum(shares) / len(shares) if shares else 1.0

    def parts(self, task: TaskView, node: NodeView) -> Mapping[str, float]:
        """What is left in each dimension and in its slots, each by its weight in the mean."""
        shares = node.share(task.resources)
        if node.node.max_tasks:
            shares["slots"] = (node.tasks + 1) / node.node.max_tasks
        return {name: (1.0 - share) / len(shares) for name, share in shares.items()} or {
            "nothing to fill": 1.0
        }
