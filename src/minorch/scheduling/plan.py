"""Planning: from a read-only view and the waiting tasks to placements and reasons. Nothing is changed.

Which nodes could take a task, and which is the cheapest, is asked of the
:class:`~minorch.scheduling.board.Board`; here is the order in which tasks are placed, and how a strategy
is asked.
"""

from __future__ import annotations

import bisect
import copy
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from minorch.errors import PluginError
from minorch.scheduling.board import Board
from minorch.scheduling.explain import Blocked
from minorch.scheduling.filters import FilterFault
from minorch.scheduling.index import NodeList
from minorch.scheduling.neighbours import prefers
from minorch.scheduling.preemption import Preemption, Resident, preempt
from minorch.scheduling.scheduler import FunctionScheduler, NodeFault, Scheduler, checked, cost_of
from minorch.scheduling.view import ClusterView, NodeView, TaskView
from minorch.state.shape import TaskGroup

__all__ = ["Placement", "Plan", "ask", "blame", "find_node", "make_plan", "name_of"]

_index: Final = attrgetter("index")
_MOST_PREEMPTING: Final = 16
"""How many tasks of one group may preempt in one plan."""
_MOST_PASSED: Final = 1000
"""How many tasks that others must be apart from are passed over in one plan to get at those behind them."""
_MOST_ROUNDS: Final = 16
_MOST_SHAPES: Final = 32

_Container = dict[object, object] | list[object] | set[object] | deque[object]
_MUTABLE: Final = (dict, list, set, deque)
_CONTAINERS: Final = (*_MUTABLE, tuple)


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
    tried: Mapping[str, int] = {}
    """For each of them, by id, a number of the board's when it was tried, which is another one when to try
    again may help: :attr:`Board.improved`, or :attr:`Board.changes`, negative, where any change may."""
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
        self.tried: dict[str, int] = {}
        self.passed: dict[TaskGroup, None] = {}
        """Groups of tasks that others must be apart from, of which one fits nowhere."""
        self._begun = False

    def place(self, task: TaskView) -> bool:
        """Place one task; False: it fits nowhere."""
        placed = self._try(task)
        if placed is None:
            self._wait(task, self.board.is_local(task))
        return placed is not None

    def _wait(self, task: TaskView, local: bool) -> None:
        self.waiting.append(task)
        self.tried[task.id] = self.board.improved if local else -self.board.changes

    def _begin(self) -> None:
        if not self._begun:
            self._scheduler.begin(self._cluster)
            self._begun = True

    def _try(self, task: TaskView) -> bool | None:
        """Whether it was placed or the strategy failed on it; None: it fits nowhere."""
        scheduler, board = self._scheduler, self.board
        try:
            self._begin()
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
            try:
                found = preempt(task, task.priority, nodes, residents, board.filters)
            except (Exception, SystemExit) as error:  # noqa: BLE001  as above: a filter of one's own
                self.broken[task.id] = blame(self._scheduler, task, error)
                continue
            if found is None:
                return
            self.preemptions.append(found)
            board.update(msgspec.structs.replace(board.named(found.node), held_for=task.id))

    def place_all(self, gang: Sequence[TaskView]) -> None:
        """Place all tasks of a group, or none of them: as they come or, if that fails, the hardest first."""
        try:
            self._begin()
        except (Exception, SystemExit) as error:  # noqa: BLE001  as above
            self.broken |= {task.id: blame(self._scheduler, task, error) for task in gang}
            return
        before, broken = len(self.placements), len(self.broken)
        missed: tuple[TaskView, int] | None = None
        for tasks in (gang, self._hardest_first(gang)):
            if not tasks:
                continue
            memory = _Memory(self._scheduler, self._cluster, self.board)
            left = self._place_each(tasks)
            if left is None:
                return
            missed = missed or (left, len(self.placements) - before)
            for placement in reversed(self.placements[before:]):
                node = self.board.named(placement.node)
                self.board.update(node.without_task(placement.task))
            del self.placements[before:]
            memory.restore()
            if len(self.broken) > broken:  # it will never be complete
                self.broken |= dict.fromkeys((task.id for task in gang), self.broken[left.id])
                return
        assert missed is not None
        task, placed = missed
        self._wait(
            msgspec.structs.replace(task, gang=f"{placed} of {len(gang)}"),
            all(map(self.board.is_local, gang)),
        )

    def _place_each(self, tasks: Sequence[TaskView]) -> TaskView | None:
        """Place all tasks, as far as it goes, and return the first that could not be; None: all were.

        One that looks at others than those on its node may have to wait for one that comes behind it.
        """
        for _ in range(_MOST_ROUNDS):
            missed: list[TaskView] = []
            for task in tasks:
                outcome = self._try(task)
                if outcome is False or (outcome is None and self.board.is_local(task)):
                    return task
                if not outcome:
                    missed.append(task)
            if not missed:
                return None
            if len(missed) == len(tasks):
                break
            tasks = missed
        return tasks[0]

    def _hardest_first(self, gang: Sequence[TaskView]) -> Sequence[TaskView]:
        """The tasks, those first that the fewest nodes could take now; none: all orders are the same."""
        examples = {task.shape: task for task in gang}
        if not 1 < len(examples) <= _MOST_SHAPES:
            return ()
        sums: dict[str, int] = {}
        for task in gang:
            for name, amount in task.resources.amounts():
                sums[name] = sums.get(name, 0) + amount
        try:
            able = {shape: len(self.board.feasible(task)) for shape, task in examples.items()}
        except PluginError:  # a filter of one's own failed, on a node that had not been looked at
            return ()

        def ease(task: TaskView) -> tuple[int, float]:
            amounts = [amount / sums[name] for name, amount in task.resources.amounts() if amount]
            return able[task.shape], -max(amounts, default=0.0)

        return sorted(gang, key=ease)


class _Memory:
    """What a strategy noted, the chances it took, and what helps whom: as it is now, to be taken back.

    Of a strategy that is its attributes, and the lists, dictionaries and sets in them.
    """

    def __init__(self, scheduler: Scheduler, cluster: ClusterView, board: Board) -> None:
        self._scheduler = scheduler
        self._random, self._drawn = cluster.random, cluster.random.getstate()
        self._board, self._improved = board, board.improved
        self._generation = scheduler.generation
        self._kept: dict[int, tuple[_Container, _Container]] = {}
        todo: list[object] = [vars(scheduler)]
        while todo:
            found = todo.pop()
            if isinstance(found, tuple):
                todo += [value for value in found if isinstance(value, _CONTAINERS)]
            elif isinstance(found, _MUTABLE) and id(found) not in self._kept:
                self._kept[id(found)] = (found, copy.copy(found))
                values = found.values() if isinstance(found, dict) else found
                todo += [value for value in values if isinstance(value, _CONTAINERS)]

    def restore(self) -> None:
        """Have everything as it was, but for a generation that was used up."""
        spoilt = self._scheduler.generation
        for now, before in self._kept.values():
            now.clear()
            if isinstance(now, list | deque):
                now.extend(before)
            else:
                now.update(before)  # type: ignore[arg-type]
        if spoilt != self._generation:
            self._scheduler.generation = spoilt + 1  # costs that are known of it do not hold any more
        self._random.setstate(self._drawn)
        self._board.improved = self._improved  # what was never committed helps nobody


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
    passed = 0
    while (task := waiting.first()) is not None:
        if task.gang:
            planning.place_all(waiting.take_group())
            continue
        if task.group in planning.passed:
            passed += 1
            waiting.advance() if passed < _MOST_PASSED else waiting.drop_group()
            continue
        if planning.place(task):
            waiting.advance()
            continue
        out = planning.board.stands_out(task)
        if out:  # those behind it, of other groups, may go where it may not
            if task.kept_node < 0:  # which is apart from its line, and speaks for nobody there
                planning.passed[task.group] = None
            waiting.advance()
        if residents is not None and planning.board.is_local(task):
            planning.preempt([task] if out else waiting.take_group(_MOST_PREEMPTING), residents)
        elif not out:
            waiting.drop_group()
    return Plan(
        placements=planning.placements,
        waiting=planning.waiting,
        tried=planning.tried,
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
        if board.filters.admit(task, node) and board.around(task)(node) is None:
            return ask(scheduler, task, [node])
    if scheduler.sample is not None and board.is_local(task) and not prefers(task):
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
