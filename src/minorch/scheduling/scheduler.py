"""The base class of every scheduling strategy: candidates, score, pick.

The scheduler proposes; the manager disposes.  A strategy sees frozen views, changes nothing, and is
asked once per task, for the nodes that passed the filters of :mod:`minorch.scheduling.filters`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["CostFunction", "FunctionScheduler", "Scheduler"]

CostFunction = Callable[[TaskView, NodeView], float]


class Scheduler:
    """Chooses a node for a task, in three phases that a subclass may override one by one.

    The shortest useful strategy overrides :meth:`cost` alone:

    >>> class FewestTasks(Scheduler):
    ...     def cost(self, task, node):
    ...         return node.tasks

    Costs are finite numbers, and the lowest wins.  A strategy keeps no reference to a view and draws
    randomness only from the :class:`~minorch.scheduling.view.ClusterView` given to :meth:`begin`.
    """

    depends_on: Literal["node", "job", "anything"] = "anything"
    """What the cost of a node depends on: the task's shape and that node's own state (``node``), the job's
    other placements too (``job``), or anything at all.  It is a promise that lets costs be kept between
    decisions; ``anything`` promises nothing and is always right.  Set it in the class, or in ``__init__``
    where an option decides it."""

    def begin(self, cluster: ClusterView) -> None:
        """Prepare for one plan, which may place many tasks. The default does nothing."""

    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        """Choose which of the feasible *nodes* to look at. The default: all of them."""
        return nodes

    def score(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[float]:
        """Return the cost of each of *nodes*, in their order. The default asks :meth:`cost`."""
        cost = self.cost
        return [cost(task, node) for node in nodes]

    def cost(self, task: TaskView, node: NodeView) -> float:
        """Return what it would cost to place *task* on *node*. The default: nothing, anywhere."""
        return 0.0

    def pick(self, task: TaskView, nodes: Sequence[NodeView], costs: Sequence[float]) -> NodeView:
        """Choose among *nodes* by their *costs*. The default: the lowest; ties go to the lower index."""
        best = min(range(len(nodes)), key=lambda at: (costs[at], nodes[at].index))
        return nodes[best]

    def placed(self, task: TaskView, node: NodeView) -> None:
        """Take note that *task* was placed on *node*, whose view includes it. The default does nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class FunctionScheduler(Scheduler):
    """A strategy made from a plain function ``cost(task, node) -> float``."""

    def __init__(self, function: CostFunction) -> None:
        self._function = function
        self.name: str = getattr(function, "__name__", None) or repr(function)
        """What the function is called."""

    def cost(self, task: TaskView, node: NodeView) -> float:
        """Ask the function."""
        return self._function(task, node)

    def __repr__(self) -> str:
        return f"FunctionScheduler({getattr(self._function, '__name__', self._function)!r})"
