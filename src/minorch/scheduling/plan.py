"""Planning: from a read-only view and the waiting tasks to placements and reasons. Nothing is changed.

The placement is a full scan of the nodes for each task; :class:`Board` is the seam where an index
that gives the same answers can take its place.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from minorch.errors import PluginError
from minorch.scheduling.explain import Blocked, count_refusals
from minorch.scheduling.filters import refusal
from minorch.scheduling.scheduler import FunctionScheduler, Scheduler
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["Board", "Placement", "Plan", "ask", "blame", "make_plan"]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: this task on this node, at this cost."""

    task: TaskView
    node: str
    cost: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scheduler proposes. The manager checks it again before it commits to it."""

    placements: Sequence[Placement] = ()
    blocked: Mapping[str, Blocked] = {}
    """By the id of the first task of each shape that fits nowhere now: why."""
    broken: Mapping[str, str] = {}
    """By task id: what the strategy did wrong for it."""


class Board:
    """The nodes while a plan is made: asked for the best one, told what was placed."""

    def __init__(self, nodes: Sequence[NodeView]) -> None:
        self.nodes = list(nodes)

    def feasible(self, task: TaskView) -> list[NodeView]:
        """The nodes that could take *task* now; those it failed on only if there are no others."""
        nodes = [node for node in self.nodes if refusal(task, node) is None]
        if task.avoid:
            return [node for node in nodes if node.name not in task.avoid] or nodes
        return nodes

    def update(self, node: NodeView) -> None:
        """Take *node* as it is now that something was placed on it."""
        self.nodes[node.index] = node


class _Heads:
    """The first waiting task of each group, so that the groups can be merged without being read."""

    def __init__(self, groups: Iterable[Iterable[TaskView]]) -> None:
        self._heap: list[tuple[int, int, TaskView, Iterator[TaskView]]] = []
        for at, group in enumerate(groups):
            rest = iter(group)
            for task in rest:
                self._heap.append((task.order, at, task, rest))
                break
        heapq.heapify(self._heap)

    def first(self) -> TaskView | None:
        """The task whose turn it is."""
        return self._heap[0][2] if self._heap else None

    def advance(self) -> None:
        """Go on behind the first task."""
        _, at, _, rest = self._heap[0]
        for task in rest:
            heapq.heapreplace(self._heap, (task.order, at, task, rest))
            return
        heapq.heappop(self._heap)

    def drop_group(self) -> None:
        """Leave out the first task and the rest of its group."""
        heapq.heappop(self._heap)


def make_plan(cluster: ClusterView, groups: Iterable[Iterable[TaskView]], scheduler: Scheduler) -> Plan:
    """Place waiting tasks.

    Args:
        cluster: the nodes; their indices are their positions.
        groups: the waiting tasks, those of one shape together and in ascending order. They are
            taken in ascending order over all groups; when one fits nowhere, the rest of its group
            is not tried.
        scheduler: the strategy.

    A strategy that breaks its contract spoils only the task it was asked about.
    """
    board = Board(cluster.nodes)
    placements: list[Placement] = []
    blocked: dict[str, Blocked] = {}
    broken: dict[str, str] = {}
    begun = False
    waiting = _Heads(groups)
    while (task := waiting.first()) is not None:
        nodes = board.feasible(task)
        if not nodes:
            blocked[task.id] = count_refusals(task, board.nodes)
            waiting.drop_group()
            continue
        waiting.advance()
        try:
            if not begun:
                scheduler.begin(cluster)
                begun = True
            node, cost = ask(scheduler, task, nodes)
            updated = node.with_task(task)
            scheduler.placed(task, updated)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it is told
            broken[task.id] = blame(scheduler, task, error)
            continue
        board.update(updated)  # only now: a task that was spoilt takes no room
        placements.append(Placement(task=task, node=node.name, cost=cost))
    return Plan(placements=placements, blocked=blocked, broken=broken)


def ask(scheduler: Scheduler, task: TaskView, nodes: Sequence[NodeView]) -> tuple[NodeView, float]:
    """Put *task* to the three phases of a strategy and check what it answers.

    Raises:
        PluginError: it chose what was not offered, or a cost is not a finite number.
    """
    candidates = scheduler.candidates(task, nodes)
    known = {id(node) for node in nodes}
    if not candidates or any(id(node) not in known for node in candidates):
        raise PluginError("candidates() returned none of the nodes it was given, or others")
    costs = scheduler.score(task, candidates)
    if len(costs) != len(candidates):
        raise PluginError(f"score() returned {len(costs)} costs for {len(candidates)} nodes")
    for node, cost in zip(candidates, costs, strict=True):
        if not _is_cost(cost):
            raise PluginError(f"the cost of node {node.name} is {cost!r:.40}, not a finite number")
    chosen = scheduler.pick(task, candidates, costs)
    for node, cost in zip(candidates, costs, strict=True):
        if node is chosen:
            return node, float(cost)
    raise PluginError("pick() returned a node that was no candidate")


def _is_cost(cost: object) -> bool:
    return isinstance(cost, int | float) and not isinstance(cost, bool) and math.isfinite(cost)


def blame(scheduler: Scheduler, task: TaskView, error: BaseException) -> str:
    """What a strategy did wrong, in words that name it and the task."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  a plugin's exception may be broken as well
        words = "(its message cannot be read)"
    detail = words if isinstance(error, PluginError) else f"{type(error).__name__}: {words}{_place(error)}"
    return f"scheduler {_name(scheduler)} failed on task {task.job}/{task.name}: {detail}"[:2000]


def _name(scheduler: Scheduler) -> str:
    return scheduler.name if isinstance(scheduler, FunctionScheduler) else type(scheduler).__name__


def _place(error: BaseException) -> str:
    """Where an exception was raised: the file's name alone, without the path to it."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f" (in {code.co_name}, {file}, line {trace.tb_lineno})"
