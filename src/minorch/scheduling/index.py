"""What is kept for one shape of task between decisions: the cheapest node, or the nodes that could take it.

A lazy heap: when a node changes, what the heap holds of it is out of date and is skipped when it surfaces;
the node is looked at again, and its new entry pushed, when the shape is next asked about.  An entry names
the tick of the change that it was made at, so that it is known to be out of date.  Dropping old entries in
place would lose nodes, so a heap that has grown too long is built anew from all nodes.

Nodes of the same state cost the same, so a cost is worked out once for each state (see
:attr:`minorch.scheduling.board.Board.states`).
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, overload

from minorch.scheduling.scheduler import Scheduler, cost_of
from minorch.scheduling.view import NodeView, TaskView

if TYPE_CHECKING:
    from minorch.scheduling.board import Board

__all__ = ["Cheapest", "Feasible", "NodeList"]

_index: Final = attrgetter("index")
_SLACK: Final = 1024


class NodeList(Sequence[NodeView]):
    """Nodes in ascending order of their index, to read."""

    __slots__ = ("_nodes",)

    def __init__(self, nodes: list[NodeView]) -> None:
        self._nodes = nodes

    @overload
    def __getitem__(self, at: int) -> NodeView: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[NodeView]: ...
    def __getitem__(self, at: int | slice) -> NodeView | Sequence[NodeView]:
        return self._nodes[at]

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[NodeView]:
        return iter(self._nodes)

    def from_index(self, index: int) -> int:
        """The position of the first node whose index is *index* or higher."""
        return bisect.bisect_left(self._nodes, index, key=_index)

    def __repr__(self) -> str:
        return f"NodeList({self._nodes!r})"


class Feasible:
    """The nodes that could take tasks of one shape."""

    __slots__ = ("_board", "_known", "_nodes", "_task", "at")

    def __init__(self, board: Board, task: TaskView) -> None:
        self.at = 0
        self._board = board
        self._task = task
        self._known: dict[int, bool] | None = {} if board.filters.alike(task) else None
        self._nodes: list[NodeView] = []

    def nodes(self) -> NodeList:
        """All of them; valid until the board changes."""
        return NodeList(self._nodes)

    def catch_up(self, changed: Iterable[int]) -> None:
        """Look again at the nodes with these indices."""
        board, nodes, task, known = self._board, self._nodes, self._task, self._known
        every, states, admit = board.nodes, board.states, board.filters.admit
        for index in changed:
            node, state = every[index], states[index]
            if not state:
                admitted = False
            elif known is None:
                admitted = admit(task, node)
            else:
                found = known.get(state)
                if found is None:
                    found = known[state] = admit(task, node)
                admitted = found
            at = bisect.bisect_left(nodes, index, key=_index)
            if at < len(nodes) and nodes[at].index == index:
                if admitted:
                    nodes[at] = node
                else:
                    del nodes[at]
            elif admitted:
                nodes.insert(at, node)


class Cheapest:
    """The nodes that could take tasks of one shape, the cheapest first and of equals the lower index.

    Args:
        board: the nodes.
        task: any task of the shape.
        scheduler: the strategy, whose costs depend on the node, or on the job and the node.
    """

    __slots__ = ("_board", "_cost", "_heap", "_job", "_memo", "_task", "at")

    def __init__(self, board: Board, task: TaskView, scheduler: Scheduler) -> None:
        self.at = 0
        self._board = board
        self._task = task
        self._cost: Callable[[TaskView, NodeView], float] = cost_of(scheduler)
        self._heap: list[tuple[float, int, int]] = []
        self._job = task.job_id if scheduler.depends_on == "job" else None
        self._memo: dict[Hashable, float | None] | None = {} if board.filters.alike(task) else None
        """By state, and for a strategy that looks at the job by how many of its tasks are there: the cost;
        None: it is not feasible."""

    def catch_up(self, changed: Iterable[int]) -> None:
        """Look again at the nodes with these indices.

        Raises:
            PluginError: a cost is not a finite number.
        """
        board, heap, memo, job = self._board, self._heap, self._memo, self._job
        if len(heap) > 2 * len(board.nodes) + _SLACK:
            heap.clear()
            changed = range(len(board.nodes))
        building = not heap
        nodes, states, ticks = board.nodes, board.states, board.ticks
        push = heapq.heappush
        for index in changed:
            number = states[index]
            if not number:
                continue
            if memo is None:
                cost = self._evaluate(nodes[index])
            else:
                state: Hashable = number
                if job is not None and (own := nodes[index].job_tasks.get(job)):
                    state = (number, own)
                try:
                    cost = memo[state]
                except KeyError:
                    cost = memo[state] = self._evaluate(nodes[index])
            if cost is None:
                continue
            if building:
                heap.append((cost, index, ticks[index]))
            else:
                push(heap, (cost, index, ticks[index]))
        if building:
            heapq.heapify(heap)

    def _evaluate(self, node: NodeView) -> float | None:
        task = self._task
        return self._cost(task, node) if self._board.filters.admit(task, node) else None

    def first(self, avoid: frozenset[str]) -> tuple[float, int] | None:
        """The cost and the index of the cheapest node; one of those to avoid only if there is no other."""
        heap, ticks = self._heap, self._board.ticks
        passed: list[tuple[float, int, int]] = []
        found: tuple[float, int, int] | None = None
        while heap:
            _, index, tick = heap[0]
            if ticks[index] != tick:
                heapq.heappop(heap)
            elif avoid and self._board.nodes[index].name in avoid:
                passed.append(heapq.heappop(heap))
            else:
                found = heap[0]
                break
        for entry in passed:
            heapq.heappush(heap, entry)
        if found is None and passed:
            found = passed[0]
        return None if found is None else found[:2]
