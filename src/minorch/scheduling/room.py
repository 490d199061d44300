"""Which node to keep for a task that fits nowhere: the one that lacks the least. No decision whether to."""

from __future__ import annotations

from collections.abc import Sequence

from minorch.scheduling.filters import Filters
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["nearest"]


def nearest(task: TaskView, nodes: Sequence[NodeView], filters: Filters) -> NodeView | None:
    """The node on which *task* will probably fit first; None: there is none to wait for.

    Of the ready nodes that could hold it when empty and are kept for nobody, the one where the least must
    be given back: by the largest share of its capacity that is short in any dimension, then by the lower
    index.
    """
    open_nodes = (node for node in nodes if node.ready and not node.cordoned and not node.held_for)
    able = [node for node in open_nodes if filters.could_ever_hold(task, node)]
    return min(able, key=lambda node: (_shortage(task, node), node.index), default=None)


def _shortage(task: TaskView, node: NodeView) -> float:
    """The largest share of its capacity that *node* lacks for *task* in any dimension, or in task slots."""
    capacity = dict(node.capacity.amounts())
    lacking = task.resources.shortfall(node.free).amounts()
    shares = [amount / capacity[name] for name, amount in lacking if amount]
    if node.tasks >= node.node.max_tasks:
        shares.append((node.tasks + 1 - node.node.max_tasks) / node.node.max_tasks)
    return max(shares, default=0.0)
