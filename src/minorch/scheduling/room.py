"""Which node to keep for a task that fits nowhere: the one that lacks the least. No decision whether to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minorch.errors import PluginError
from minorch.scheduling.filters import Filters, Refusal
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["nearest"]


def nearest(
    task: TaskView,
    nodes: Sequence[NodeView],
    filters: Filters,
    *,
    around: Callable[[NodeView], Refusal | None] = lambda node: None,
    staying: Callable[[NodeView], NodeView] = lambda node: NodeView(index=node.index, node=node.node),
) -> NodeView | None:
    """The node on which *task* will probably fit first; None: there is none to wait for.

    Of the ready nodes that are kept for nobody and could take it once all tasks have ended that will, the one
    where the least must be given back: by the largest share of its capacity that is short in any dimension,
    then by the lower index.

    Args:
        task: the task.
        nodes: all nodes.
        filters: what decides whether a node can take it.
        around: why it cannot go to a node because of tasks on other nodes; None: it can.
        staying: a node with only those of its tasks that do not end by themselves; if not given, all do.
    """

    def able(node: NodeView) -> bool:
        if not node.ready or node.cordoned or node.held_for or not filters.could_ever_hold(task, node):
            return False
        try:
            return around(node) is None and filters.refusal(task, staying(node)) is None
        except PluginError:  # a filter of one's own failed, which is told when it decides about a placement
            return False

    return min(filter(able, nodes), key=lambda node: (_shortage(task, node), node.index), default=None)


def _shortage(task: TaskView, node: NodeView) -> float:
    """The largest share of its capacity that *node* lacks for *task* in any dimension, or in task slots."""
    capacity = dict(node.capacity.amounts())
    lacking = task.resources.shortfall(node.free).amounts()
    shares = [amount / capacity[name] for name, amount in lacking if amount]
    if node.tasks >= node.node.max_tasks:
        shares.append((node.tasks + 1 - node.node.max_tasks) / node.node.max_tasks)
    return max(shares, default=0.0)
