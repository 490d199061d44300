"""The base class of every scheduling strategy: candidates, score, pick.

The scheduler proposes; the manager disposes.  A strategy sees frozen views, changes nothing, and is
asked once per task, for the nodes that passed the filters of :mod:`minorch.scheduling.filters`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Literal, get_args

from minorch.errors import PluginError, UsageError, did_you_mean
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = [
    "CostFunction",
    "FunctionScheduler",
    "NodeFault",
    "Scheduler",
    "check_strategy",
    "checked",
    "cost_of",
]

Sample = int | Literal["log2"] | None
DependsOn = Literal["node", "job", "anything"]
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

    depends_on: DependsOn = "anything"
    """What the cost of a node depends on.

    ``node``: the shape of the task and that node's own state.  ``job``: how many tasks of the same job are
    there, too.  With either, an index keeps costs between decisions and answers in place of ``candidates``
    and ``pick``, so these stay the default.  ``anything`` promises nothing, is always right, and is asked
    about every node each time.  Set it in the class, or in ``__init__`` where an option
    decides it.

    The shape is what a task asks of its node: resources, image, platform, runtime, labels, constraints,
    tolerations, host ports; not its name, its command or its environment.  A node's state is all that its
    view shows but for its name, its index and the jobs that its tasks belong to."""

    generation: int = 0
    """To be raised by a strategy when costs that it gave before do not hold any more, as when an option is
    changed or something that all costs depend on.  The index is built anew then, so let it be rare."""

    sample: Sample = None
    """Look at so many feasible nodes only, drawn at random (``log2``: the logarithm of the number of nodes to
    the base 2, at least 2); None: at all. Faster on many nodes than no index, and nearly as good."""

    comparable: bool = True
    """Whether costs tell how good a placement is, so that a task on a node may be told to be better off on
    another.  False for a strategy whose costs are only a turn or a chance, such as round-robin."""

    def __init__(self, *, sample: Sample = None) -> None:
        """Options that every strategy has; one that overrides this and calls it not has the defaults.

        Raises:
            UsageError: *sample* is neither a number from 1 on nor ``"log2"``.
        """
        if sample is not None:
            _check_sample(sample)
            self.sample = sample

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

    def parts(self, task: TaskView, node: NodeView) -> Mapping[str, float]:
        """Return what the cost is made of, by name, for explanations; the parts add up to it.

        The default: the cost alone.
        """
        return {"cost": self.score(task, [node])[0]}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def check_strategy(scheduler: Scheduler) -> None:
    """See that a strategy says of itself only what there is; a class may say anything.

    Raises:
        UsageError: its ``depends_on``, ``sample`` or ``generation`` is none.
    """
    name = getattr(scheduler, "name", None) or type(scheduler).__name__
    depends_on: object = scheduler.depends_on
    if depends_on not in get_args(DependsOn):
        known = [str(word) for word in get_args(DependsOn)]
        hint = did_you_mean(str(depends_on), known) or f"; write one of {', '.join(known)}"
        raise UsageError(f"scheduler {name}: depends_on={depends_on!r:.40} says nothing{hint}")
    generation: object = scheduler.generation
    if not isinstance(generation, int):
        raise UsageError(f"scheduler {name}: generation={generation!r:.40} is no whole number")
    if scheduler.sample is not None:
        _check_sample(scheduler.sample, f"scheduler {name}: ")


def _check_sample(sample: object, where: str = "") -> None:
    count = isinstance(sample, int) and not isinstance(sample, bool) and sample > 0
    if not count and sample != "log2":
        raise UsageError(f'{where}sample={sample!r:.40} is neither a number of nodes from 1 on nor "log2"')


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


class NodeFault(Exception):
    """A strategy failed on one node; the cause is its own error."""

    def __init__(self, node: str, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.node = node
        self.cause = cause


def checked(cost: object, node: NodeView) -> float:
    """Return *cost* if it is one.

    Raises:
        PluginError: it is not a finite number.
    """
    if not isinstance(cost, bool) and isinstance(cost, Real):  # numpy's are Real, too
        with contextlib.suppress(OverflowError):  # a whole number may be larger than any float
            number = float(cost)
            if math.isfinite(number):
                return number
    raise PluginError(f"the cost of node {node.name} is {cost!r:.40}, not a finite number")


def cost_of(scheduler: Scheduler) -> CostFunction:
    """Return what gives the cost of a single node, checked.

    It raises :class:`NodeFault` for what the strategy raises, and :class:`PluginError` for what is no cost.
    """
    one_by_one = type(scheduler).score is Scheduler.score
    cost, score = scheduler.cost, scheduler.score

    def cost_there(task: TaskView, node: NodeView) -> float:
        try:
            if one_by_one:
                found: object = cost(task, node)
            else:
                (found,) = score(task, [node])
        except Exception as error:
            raise NodeFault(node.name, error) from error
        if type(found) is float and isfinite(found):  # the shortest way for what is nearly always so
            return found
        return checked(found, node)

    return cost_there
