"""Planning: from a read-only view and the waiting tasks to placements and reasons. Nothing is changed.

Which nodes could take a task, and which is the cheapest, is asked of the
:class:`~minorch.scheduling.board.Board`; here is the order in which tasks are placed, and how a strategy
is asked.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from minorch.errors import PluginError
from minorch.scheduling.board import Board
from minorch.scheduling.explain import Blocked
from minorch.scheduling.filters import FilterFault
from minorch.scheduling.index import NodeList
from minorch.scheduling.preemption import Preemption, Resident, preempt
from minorch.scheduling.scheduler import FunctionScheduler, NodeFault, Scheduler, checked, cost_of
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["Placement", "Plan", "ask", "blame", "find_node", "make_plan", "name_of"]

_index: Final = attrgetter("index")
_MOST_PREEMPTING: Final = 16
"""How many tasks of one group may preempt in one plan."""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: this task on this node, at this cost."""

    task: TaskView
    node: str
    cost: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scheduler proposes. The manager checks it again before it commits to it."""

    placements: Sequence[Placement] = ()
    waiting: Sequence[TaskView] = ()
    """The first task of each group that fits nowhere now."""
    preemptions: Sequence[Preemption] = ()
    """For tasks that fit nowhere now: whose room they would take. Their nodes are kept for them."""
    broken: Mapping[str, str] = {}
    """By task id: what the strategy did wrong for it."""
    board: Board
    """The nodes once everything was placed."""

    @property
    def blocked(self) -> Mapping[str, Blocked]:
        """By the id of the first task of each group that fits nowhere now: why.

        It is counted when you ask, and holds as long as the board does not change.
        """
        return {task.id: self.board.why_blocked(task) for task in self.waiting}


class _Heads:
    """The first waiting task of each group, so that the groups can be merged without being read."""

    def __init__(self, groups: Iterable[Iterable[TaskView]], ageing_s: float | None) -> None:
        self._ageing_s = ageing_s
        self._heap: list[tuple[float, int, int, TaskView, Iterator[TaskView]]] = []
        for at, group in enumerate(groups):
            rest = iter(group)
            for task in rest:
                self._heap.append((self._turn(task), task.order, at, task, rest))
                break
        heapq.heapify(self._heap)

    def _turn(self, task: TaskView) -> float:
        # All wait equally long from now on, so whose turn it is does not depend on the time.
        if self._ageing_s is None:
            return -float(task.priority)
        return task.submitted_at - task.priority * self._ageing_s

    def first(self) -> TaskView | None:
        """The task whose turn it is."""
        return self._heap[0][3] if self._heap else None

    def advance(self) -> None:
        """Go on behind the first task."""
        _, _, at, _, rest = self._heap[0]
        for task in rest:
            heapq.heapreplace(self._heap, (self._turn(task), task.order, at, task, rest))
            return
        heapq.heappop(self._heap)

    def take_group(self, most: int | None = None) -> list[TaskView]:
        """Take out the first task and the rest of its group, and return at most so many of them."""
        *_, first, rest = heapq.heappop(self._heap)
        return [first, *itertools.islice(rest, None if most is None else most - 1)]

    def drop_group(self) -> None:
        """Leave out the first task and the rest of its group."""
        heapq.heappop(self._heap)


class _Planning:
    """One plan in the making."""

    def __init__(self, cluster: ClusterView, scheduler: Scheduler, board: Board) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self.board = board
        self.placements: list[Placement] = []
        self.waiting: list[TaskView] = []
        self.preemptions: list[Preemption] = []
        self.broken: dict[str, str] = {}
        self._begun = False

    def place(self, task: TaskView) -> bool:
        """Place one task; False: it fits nowhere."""
        placed = self._try(task)
        if placed is None:
            self.waiting.append(task)
        return placed is not None

    def _try(self, task: TaskView) -> bool | None:
        """Whether it was placed or the strategy failed on it; None: it fits nowhere."""
        scheduler, board = self._scheduler, self.board
        try:
            if not self._begun:
                scheduler.begin(self._cluster)
                self._begun = True
            found = find_node(scheduler, task, board, self._cluster)
            if found is None:
                return None
            node, cost = found
            updated = node.with_task(task)
            scheduler.placed(task, updated)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it is told
            self.broken[task.id] = blame(scheduler, task, error)
            return False
        board.update(updated)  # only now: a task that was spoilt takes no room
        self.placements.append(Placement(task=task, node=node.name, cost=cost))
        return True

    def preempt(self, group: Sequence[TaskView], residents: Callable[[NodeView], Sequence[Resident]]) -> None:
        """Find out whose room the first tasks of a group that fits nowhere would take."""
        board = self.board
        for task in group:
            if task.kept_node >= 0:  # room is being made for it
                continue
            nodes: Sequence[NodeView] = board.nodes
            if task.avoid:
                nodes = [node for node in nodes if node.name not in task.avoid] or nodes
            found = preempt(task, task.priority, nodes, residents, board.filters)
            if found is None:
                return
            self.preemptions.append(found)
            board.update(msgspec.structs.replace(board.named(found.node), held_for=task.id))

    def place_all(self, gang: Sequence[TaskView]) -> None:
        """Place all tasks of a group, or none of them."""
        kept, drawn = dict(vars(self._scheduler)), self._cluster.random.getstate()
        improved, before, placed = self.board.improved, len(self.placements), 0
        for task in gang:
            outcome = self._try(task)
            if outcome:
                placed += 1
                continue
            # What the strategy noted of tasks that are taken back, and the chances it took, are forgotten.
            for placement in reversed(self.placements[before:]):
                node = self.board.named(placement.node)
                self.board.update(node.without_task(placement.task))
            del self.placements[before:]
            self.board.improved = improved  # what was never committed helps nobody
            vars(self._scheduler).clear()
            vars(self._scheduler).update(kept)
            self._cluster.random.setstate(drawn)
            if outcome is None:
                self.waiting.append(msgspec.structs.replace(task, gang=f"{placed} of {len(gang)}"))
            return


def make_plan(
    cluster: ClusterView,
    groups: Iterable[Iterable[TaskView]],
    scheduler: Scheduler,
    *,
    board: Board | None = None,
    ageing_s: float | None = None,
    residents: Callable[[NodeView], Sequence[Resident]] | None = None,
) -> Plan:
    """Place waiting tasks.

    Args:
        cluster: the nodes; their indices are their positions.
        groups: the waiting tasks, those of one shape and priority together and in ascending order. Whose
            turn it is over all groups is decided by priority, then order. When one fits nowhere, the rest
            of its group is not tried. A group of tasks that name a gang is placed as a whole or not at all.
        scheduler: the strategy.
        board: these nodes with what is known of them from earlier plans; None: a new one. What is placed
            is placed on it.
        ageing_s: how many seconds of waiting outweigh a step of priority, so that nothing starves; None:
            none do.
        residents: what says which tasks are on a node and may be moved aside for one of higher priority;
            None: nothing is preempted.

    A strategy that breaks its contract spoils only the task it was asked about.
    """
    planning = _Planning(cluster, scheduler, Board(cluster.nodes) if board is None else board)
    waiting = _Heads(groups, ageing_s)
    while (task := waiting.first()) is not None:
        if task.gang:
            planning.place_all(waiting.take_group())
        elif planning.place(task):
            waiting.advance()
        elif residents is None or not planning.board.is_local(task):
            waiting.drop_group()
        else:
            planning.preempt(waiting.take_group(_MOST_PREEMPTING), residents)
    return Plan(
        placements=planning.placements,
        waiting=planning.waiting,
        preemptions=planning.preemptions,
        broken=planning.broken,
        board=planning.board,
    )


def find_node(
    scheduler: Scheduler, task: TaskView, board: Board, cluster: ClusterView
) -> tuple[NodeView, float] | None:
    """The node that the strategy chooses for a task, and its cost; None: the task fits nowhere.

    Raises:
        NodeFault: the strategy raised when it was asked about one node.
        PluginError: it chose what was not offered, or a cost is not a finite number.
    """
    if task.kept_node >= 0:  # room was kept for it, so it goes there and nowhere else is looked at
        node = board.nodes[task.kept_node]
        if board.filters.admit(task, node):
            return ask(scheduler, task, [node])
    if scheduler.sample is not None:
        nodes = _sample(scheduler.sample, task, board, cluster)
        if nodes:
            return ask(scheduler, task, nodes)
    if board.indexes(task, scheduler):
        return board.cheapest(task, scheduler)
    offered = board.feasible(task)
    return ask(scheduler, task, offered) if offered else None


def _sample(size: int | str, task: TaskView, board: Board, cluster: ClusterView) -> Sequence[NodeView]:
    """Some feasible nodes drawn at random, by index; none: too few of those drawn are feasible."""
    count = len(board.nodes)
    wanted = size if isinstance(size, int) else max(2, math.ceil(math.log2(max(2, count))))
    drawn: dict[int, NodeView] = {}
    if wanted < count:
        for _ in range(4 * wanted):
            node = board.nodes[cluster.random.randrange(count)]
            if node.name not in task.avoid and board.filters.admit(task, node):
                drawn[node.index] = node
                if len(drawn) == wanted:
                    break
    return [drawn[index] for index in sorted(drawn)]


def ask(scheduler: Scheduler, task: TaskView, nodes: Sequence[NodeView]) -> tuple[NodeView, float]:
    """Put *task* to the three phases of a strategy and check what it answers.

    Raises:
        NodeFault: it raised when it was asked about one node.
        PluginError: it chose what was not offered, or a cost is not a finite number.
    """
    candidates = scheduler.candidates(task, nodes)
    if candidates is not nodes and not (candidates and _all_among(candidates, nodes)):
        raise PluginError("candidates() returned none of the nodes it was given, or others")
    if type(scheduler).score is Scheduler.score:
        cost_there = cost_of(scheduler)
        costs: Sequence[float] = [cost_there(task, node) for node in candidates]
    else:
        costs = scheduler.score(task, candidates)
        if len(costs) != len(candidates):
            raise PluginError(f"score() returned {len(costs)} costs for {len(candidates)} nodes")
        costs = [checked(cost, node) for node, cost in zip(candidates, costs, strict=True)]
    chosen = scheduler.pick(task, candidates, costs)
    for node, cost in zip(candidates, costs, strict=True):
        if node is chosen:
            return node, cost
    raise PluginError("pick() returned a node that was no candidate")


def _all_among(candidates: Sequence[NodeView], nodes: Sequence[NodeView]) -> bool:
    """Whether these are some of *nodes*, which are in ascending order of their index."""
    if isinstance(nodes, NodeList):
        return all(node in nodes for node in candidates)
    for node in candidates:
        at = bisect.bisect_left(nodes, node.index, key=_index)
        if at == len(nodes) or nodes[at] is not node:
            return False
    return True


def blame(scheduler: Scheduler, task: TaskView, error: BaseException, node: str = "") -> str:
    """What a strategy did wrong, in words that name it, the task, and the node if it was about one."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  a plugin's exception may be broken as well
        words = "(its message cannot be read)"
    if isinstance(error, NodeFault):
        return blame(scheduler, task, error.cause, error.node)
    if isinstance(error, FilterFault):
        return f"{words} (asked about task {task.job}/{task.name})"[:2000]
    detail = words if isinstance(error, PluginError) else f"{type(error).__name__}: {words}{_place(error)}"
    on = f" and node {node}" if node else ""
    return f"scheduler {name_of(scheduler)} failed on task {task.job}/{task.name}{on}: {detail}"[:2000]


def name_of(scheduler: Scheduler) -> str:
    """What a strategy is called where it is spoken of."""
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
