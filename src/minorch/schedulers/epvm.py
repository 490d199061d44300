"""E-PVM: the node where the task costs the least more, where cost grows exponentially with use.

Amir, Awerbuch, Barak, Borgstrom, Keren: "An Opportunity Cost Approach for Job Assignment in a Scalable
Computing Cluster", IEEE TPDS 11(7), 2000, section 4.  There a machine costs
``n^(used memory / memory) + n^(load / L)``, and a job goes where this sum rises least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import exp, expm1
from operator import attrgetter
from typing import Final, Literal, get_args

from minorch.errors import UsageError, did_you_mean
from minorch.scheduling.scheduler import Sample, Scheduler
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["EPVM", "Terms"]

Terms = Literal["requests", "paper"]

_tasks: Final = attrgetter("tasks")
_STEEPEST: Final = 16.0
"""Exponents are cut off here. On a node that is not overcommitted they are at most 1; the sum of two of them
keeps ``n^x`` below the largest float for any n up to 10**9."""


class EPVM(Scheduler):
    """Lowest marginal cost, summed over terms ``n^(use after) - n^(use before)``; n is the number of nodes.

    Args:
        terms: which terms are summed.

            ``"requests"`` (the default), the generalisation to tasks that say what they need: a term
            for each resource that the task asks for, with use = reserved / capacity, and one for the
            slot that it takes, with use = tasks / ``max_tasks``.  Every term depends on that node alone.

            ``"paper"``, section 4 of the paper to the letter, for tasks whose need of CPU is not known:
            one term for memory, with use = reserved / capacity, and one for load, with use = tasks / L.
            L is the smallest power of two above the largest number of tasks seen on any node: 1 at
            first, doubled when it is reached, never lowered.

        sample: see :attr:`Scheduler.sample <minorch.Scheduler.sample>`.

    Raises:
        UsageError: *terms* is neither, or *sample* no number of nodes.

    n is the number of nodes when it was last taken: at the beginning of a plan, if it has changed by an
    eighth since, so that what is known of all nodes need not be thrown away whenever one joins.  That, and
    a doubling of L, raises ``generation``.

    n is at least 2 here.  The paper's cost does not depend on use where n is 1, but then there is no
    choice either.  All known nodes count, ready or not.  A dimension of which a node has nothing has no term.
    The paper promises at most O(log n) times the best possible maximum load, and nothing about slowdown.

    >>> EPVM(terms="paper")
    EPVM(terms='paper')
    """

    depends_on = "node"

    def __init__(self, *, terms: Terms = "requests", sample: Sample = None) -> None:
        super().__init__(sample=sample)
        if terms not in get_args(Terms):
            hint = did_you_mean(str(terms), get_args(Terms))
            raise UsageError(f"{terms!r:.40} is none of {', '.join(get_args(Terms))}{hint}")
        self._terms = terms
        self._nodes = 2
        self._log_n = math.log(2)
        self._load_limit = 1

    @property
    def load_limit(self) -> int:
        """L, for the paper's terms."""
        return self._load_limit

    def begin(self, cluster: ClusterView) -> None:
        """Take n, and for the paper's terms L, from the cluster."""
        count = max(2, len(cluster.nodes))
        if 8 * abs(count - self._nodes) >= self._nodes:
            self._nodes, self._log_n = count, math.log(count)
            self.generation += 1
        if self._terms == "paper":
            self._see_load(max(map(_tasks, cluster.nodes), default=0))

    def cost(self, task: TaskView, node: NodeView) -> float:
        """By how much the cost of *node* rises if it takes *task*."""
        log_n, used, wanted, capacity = self._log_n, node.reserved, task.task.resources, node.node.capacity
        if self._terms == "paper":
            memory = _rise(log_n, used.memory, wanted.memory, capacity.memory)
            return memory + _rise(log_n, node.tasks, 1, self._load_limit)
        cost = _rise(log_n, node.tasks, 1, node.node.max_tasks)
        cost += _rise(log_n, used.cpu_millis, wanted.cpu_millis, capacity.cpu_millis)
        cost += _rise(log_n, used.memory, wanted.memory, capacity.memory)
        cost += _rise(log_n, used.disk, wanted.disk, capacity.disk)
        for name, amount in wanted.custom_millis.items():
            before, most = used.custom_millis.get(name, 0), capacity.custom_millis.get(name, 0)
            cost += _rise(log_n, before, amount, most)
        return cost

    def parts(self, task: TaskView, node: NodeView) -> Mapping[str, float]:
        """The terms, each by what it is the use of."""
        log_n, used, wanted, most = self._log_n, node.reserved, task.resources, node.capacity
        memory = _rise(log_n, used.memory, wanted.memory, most.memory)
        if self._terms == "paper":
            return {"memory": memory, "load": _rise(log_n, node.tasks, 1, self._load_limit)}
        terms = {"slots": _rise(log_n, node.tasks, 1, node.node.max_tasks)}
        before, capacity = dict(used.amounts()), dict(most.amounts())
        for name, amount in wanted.amounts():
            if amount:
                terms[name] = _rise(log_n, before.get(name, 0), amount, capacity.get(name, 0))
        return terms

    def placed(self, task: TaskView, node: NodeView) -> None:
        """Double L when *node* has reached it."""
        if self._terms == "paper":
            self._see_load(node.tasks)

    def _see_load(self, tasks: int) -> None:
        if tasks >= self._load_limit:
            self._load_limit = 1 << tasks.bit_length()
            self.generation += 1

    def __repr__(self) -> str:
        return f"EPVM(terms={self._terms!r})"


def _rise(log_n: float, used: int, more: int, most: int) -> float:
    """``n^((used + more) / most) - n^(used / most)``, without cancellation or overflow."""
    if not more or not most:
        return 0.0
    before, by = used / most, more / most
    if before > _STEEPEST:
        before = _STEEPEST
    if by > _STEEPEST:
        by = _STEEPEST
    return exp(before * log_n) * expm1(by * log_n)
