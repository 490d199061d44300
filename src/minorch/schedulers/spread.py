"""Spread: keep the tasks of one job apart, so that a lost node takes as few of them as possible."""

from __future__ import annotations

from collections.abc import Mapping

from minorch.scheduling.scheduler import Scheduler
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["Spread"]

_MOST_TASKS = 2**20
"""More than any node may hold (``Node.max_tasks``), so that one task of the job outweighs them all."""


class Spread(Scheduler):
    """The node with the fewest tasks of the same job; then with the fewest tasks; then the least reserved.

    Least reserved means the lowest mean of the reserved shares.  The cost is the three in one number:
    tasks of the job x 2**20, plus tasks, plus half the mean share.
    """

    depends_on = "job"

    def cost(self, task: TaskView, node: NodeView) -> float:
        """Tasks of the same job, tasks, and reserved share, in this order of weight."""
        shares = node.shares()
        reserved = min(1.0, sum(shares) / len(shares)) if shares else 0.0
        return node.job_tasks.get(task.job_id, 0) * _MOST_TASKS + node.tasks + reserved / 2

    def parts(self, task: TaskView, node: NodeView) -> Mapping[str, float]:
        """The three, each by its weight."""
        own, tasks = node.job_tasks.get(task.job_id, 0) * _MOST_TASKS, node.tasks
        return {"tasks of the job": own, "tasks": tasks, "reserved": self.cost(task, node) - own - tasks}
