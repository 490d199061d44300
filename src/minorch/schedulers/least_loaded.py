"""Least loaded: the node that is furthest from being full in whatever it is fullest in."""

from __future__ import annotations

from collections.abc import Mapping

from minorch.model import NodeStats
from minorch.scheduling.scheduler import Scheduler
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["LeastLoaded"]

_TIE_BREAK = 1e-3


class LeastLoaded(Scheduler):
    """The node whose largest share is lowest once the task is there.

    A node has a share in each dimension of its capacity that is not zero, and in its task slots
    (``max_tasks``).  The share is what is reserved or what was measured, whichever is more, plus what
    the task asks for.  So a measurement can only make a node look busier: a node without any counts
    by its reservations, never as idle.  Measured are processor, memory and disk, on the whole machine.

    Of nodes with the same largest share, the one with the lower mean of all shares wins: the mean is
    added to the cost, divided by a thousand.  Then the lower index wins.

    Measurements need no age limit of their own: a worker sends them with its heartbeat, and a node that
    is not heard of is no candidate.
    """

    depends_on = "node"

    def cost(self, task: TaskView, node: NodeView) -> float:
        """The largest share after placement, and a thousandth of the mean."""
        if node.stats is None:
            every = node.shares(task.task.resources)
            if node.node.max_tasks:
                every.append((node.tasks + 1) / node.node.max_tasks)
        else:
            every = list(_shares(task, node).values())
        return max(every) + _TIE_BREAK * sum(every) / len(every) if every else 0.0

    def parts(self, task: TaskView, node: NodeView) -> Mapping[str, float]:
        """The largest share, by what it is a share of, and the thousandth of the mean."""
        shares = _shares(task, node)
        if not shares:
            return {"nothing to fill": 0.0}
        fullest = max(shares, key=shares.__getitem__)
        mean = _TIE_BREAK * sum(shares.values()) / len(shares)
        return {f"largest share ({fullest})": shares[fullest], "mean share / 1000": mean}


def _shares(task: TaskView, node: NodeView) -> dict[str, float]:
    """How full the node is in each dimension, and in its slots, once the task is there."""
    shares = node.share(task.resources)
    if node.stats is not None:
        reserved = node.share()
        for name, measured in _measured(node.stats).items():
            if measured > reserved.get(name, measured):
                shares[name] += measured - reserved[name]
    if node.node.max_tasks:
        shares["slots"] = (node.tasks + 1) / node.node.max_tasks
    return shares


def _measured(stats: NodeStats) -> dict[str, float]:
    """The measured shares, from 0 to 1, of the dimensions that were measured."""
    shares = {"cpu": stats.cpu_percent / 100}
    if stats.memory_total > 0:
        shares["memory"] = stats.memory_used / stats.memory_total
    if stats.disk_total > 0:
        shares["disk"] = stats.disk_used / stats.disk_total
    return {name: min(1.0, share) for name, share in shares.items()}
