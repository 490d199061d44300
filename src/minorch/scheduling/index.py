"""What is kept for one shape of task between decisions: the cheapest node, or the nodes that could take it.

When a node changes, that is only noted; a shape looks at the node again when it is next asked about.  What
it finds of the node it remembers, a cost or whether it is feasible, so that only what differs is work.

The cheapest node is at the top of a lazy heap: an entry that is not what is remembered of its node is out
of date, and is dropped when it surfaces or when the heap has grown too long.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, overload

from minorch.scheduling.scheduler import Scheduler, cost_of
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["Cheapest", "Feasible", "Indices", "NodeList"]

_index: Final = attrgetter("index")
_SLACK: Final = 1024
_SHIFT: Final = 12
"""Indices that are equal but for so many of their last bits are kept in one list."""


class Indices:
    """A set of indices of nodes, in ascending order, in lists short enough to insert into."""

    __slots__ = ("_blocks", "_count", "_ends")

    def __init__(self, ascending: Iterable[int] = ()) -> None:
        self._blocks: list[list[int]] = []
        self._count = 0
        self._ends: list[int] | None = None
        """By list: how many are in it and in those before it; None: to be counted again."""
        for index in ascending:
            self._block(index).append(index)
            self._count += 1

    def _block(self, index: int) -> list[int]:
        blocks, at = self._blocks, index >> _SHIFT
        while at >= len(blocks):
            blocks.append([])
        return blocks[at]

    def add(self, index: int) -> None:
        """Add one that is not among them."""
        block = self._block(index)
        if block and block[-1] > index:
            bisect.insort(block, index)
        else:
            block.append(index)
        self._count += 1
        self._ends = None

    def remove(self, index: int) -> None:
        """Take out one that is among them."""
        block = self._block(index)
        del block[bisect.bisect_left(block, index)]
        self._count -= 1
        self._ends = None

    def without(self, indices: Iterable[int]) -> Indices:
        """The others."""
        left = Indices()
        left._blocks = [list(block) for block in self._blocks]
        left._count = self._count
        for index in indices:
            if index in left:
                left.remove(index)
        return left

    def rank(self, index: int) -> int:
        """How many are lower than *index*."""
        blocks, at = self._blocks, index >> _SHIFT
        if at >= len(blocks):
            return self._count
        before = self._counted()[at] - len(blocks[at])
        return before + bisect.bisect_left(blocks[at], index)

    def __getitem__(self, rank: int) -> int:
        """The one that so many are lower than."""
        if not 0 <= rank < self._count:
            raise IndexError(rank)
        ends = self._counted()
        at = bisect.bisect_right(ends, rank)
        return self._blocks[at][rank - ends[at]]

    def _counted(self) -> list[int]:
        if self._ends is None:
            self._ends = list(itertools.accumulate(map(len, self._blocks)))
        return self._ends

    def __contains__(self, index: int) -> bool:
        at = index >> _SHIFT
        if at >= len(self._blocks):
            return False
        block = self._blocks[at]
        where = bisect.bisect_left(block, index)
        return where < len(block) and block[where] == index

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        for block in self._blocks:
            yield from block


class NodeList(Sequence[NodeView]):
    """Some nodes in ascending order of their index, to read; valid until one of them changes.

    Args:
        every: all nodes, by index.
        indices: which of them.
    """

    __slots__ = ("_every", "_indices")

    def __init__(self, every: Sequence[NodeView], indices: Indices) -> None:
        self._every = every
        self._indices = indices

    @overload
    def __getitem__(self, at: int) -> NodeView: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[NodeView]: ...
    def __getitem__(self, at: int | slice) -> NodeView | Sequence[NodeView]:
        if isinstance(at, slice):
            return list(self)[at]
        return self._every[self._indices[at if at >= 0 else at + len(self._indices)]]

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[NodeView]:
        return map(self._every.__getitem__, self._indices)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, NodeView) and node.index in self._indices and self._every[node.index] is node

    def without(self, indices: Iterable[int]) -> NodeList:
        """All but the nodes with these indices."""
        return NodeList(self._every, self._indices.without(indices))

    def from_index(self, index: int) -> int:
        """The position of the first node whose index is *index* or higher."""
        return self._indices.rank(index)

    def __repr__(self) -> str:
        return f"NodeList({list(self)!r})"


class Feasible:
    """The nodes that could take tasks of one shape.

    Args:
        nodes: all nodes by index, as they are now and will be.
        admits: whether a node could take such a task.
    """

    __slots__ = ("_admits", "_indices", "_known", "_nodes", "at")

    def __init__(self, nodes: Sequence[NodeView], admits: Callable[[NodeView], bool]) -> None:
        self.at = 0
        """How much of the board's log was read."""
        self._nodes = nodes
        self._admits = admits
        self._known = bytearray()
        """By index: whether the node is among them."""
        self._indices = Indices()

    def nodes(self) -> NodeList:
        """All of them; valid until the board changes."""
        return NodeList(self._nodes, self._indices)

    def catch_up(self, changed: Iterable[int]) -> None:
        """Look again at the nodes with these indices."""
        nodes, known, admits, indices = self._nodes, self._known, self._admits, self._indices
        known.extend(bytes(len(nodes) - len(known)))
        for index in changed:
            node = nodes[index]
            admitted = admits(node)
            if admitted != known[index]:
                known[index] = admitted
                if admitted:
                    indices.add(node.index)
                else:
                    indices.remove(index)


class Cheapest:
    """The nodes that could take tasks of one shape, the cheapest first and of equals the lower index.

    Nodes of one cost are kept together: there are far fewer costs than nodes where nodes are alike, and a
    short heap stays in the processor's cache.

    Args:
        nodes: all nodes by index, as they are now and will be.
        admits: whether a node could take such a task.
        task: any task of the shape.
        scheduler: the strategy, whose costs depend on the node, or on the job and the node.
    """

    __slots__ = ("_admits", "_at_cost", "_cost", "_costs", "_entries", "_heap", "_nodes", "_task", "at")

    def __init__(
        self,
        nodes: Sequence[NodeView],
        admits: Callable[[NodeView], bool],
        task: TaskView,
        scheduler: Scheduler,
    ) -> None:
        self.at = 0
        """How much of the board's log was read."""
        self._nodes = nodes
        self._task = task
        self._admits = admits
        self._cost: Callable[[TaskView, NodeView], float] = cost_of(scheduler)
        self._costs: list[float | None] = []
        """By index: what the node costs; None: it is not feasible."""
        self._heap: list[float] = []
        """Each cost that nodes have or had, once."""
        self._at_cost: dict[float, list[int]] = {}
        """By cost: a heap of the indices of the nodes that have or had it."""
        self._entries = 0
        """How many there are in all of those."""

    def catch_up(self, changed: Iterable[int]) -> None:
        """Look again at the nodes with these indices.

        Raises:
            PluginError: a cost is not a finite number.
        """
        nodes, costs, task = self._nodes, self._costs, self._task
        admits, cost_there = self._admits, self._cost
        costs.extend([None] * (len(nodes) - len(costs)))
        building = not self._at_cost
        for index in changed:
            node = nodes[index]
            cost = cost_there(task, node) if admits(node) else None
            if cost != costs[index]:
                costs[index] = cost
                if cost is None or building:
                    continue
                self._entries += 1
                self._put(cost, node.index)
        if building or self._entries > 2 * len(nodes) + _SLACK:
            self._sort()

    def _put(self, cost: float, index: int) -> None:
        alike = self._at_cost.get(cost)
        if alike is None:
            self._at_cost[cost] = [index]
            heapq.heappush(self._heap, cost)
        else:
            heapq.heappush(alike, index)

    def _sort(self) -> None:
        """Have one entry for each feasible node, and no others."""
        self._entries = 0
        at_cost = self._at_cost
        at_cost.clear()
        for cost, node in zip(self._costs, self._nodes, strict=True):
            if cost is not None:
                self._entries += 1
                alike = at_cost.get(cost)
                if alike is None:
                    at_cost[cost] = [node.index]
                else:
                    alike.append(node.index)  # ascending, which is a heap
        self._heap = list(at_cost)
        heapq.heapify(self._heap)

    def first(self, avoid: frozenset[str]) -> tuple[float, int] | None:
        """The cost and the index of the cheapest node; one of those to avoid only if there is no other."""
        heap, costs, at_cost = self._heap, self._costs, self._at_cost
        passed: list[tuple[float, int]] = []
        found: tuple[float, int] | None = None
        while heap and found is None:
            cost = heap[0]
            alike = at_cost[cost]
            while alike:
                index = alike[0]
                if costs[index] != cost:
                    heapq.heappop(alike)
                    self._entries -= 1
                elif avoid and self._nodes[index].name in avoid:
                    passed.append((cost, heapq.heappop(alike)))
                else:
                    found = (cost, index)
                    break
            else:
                del at_cost[heapq.heappop(heap)]
        for cost, index in passed:
            self._put(cost, index)
        return found if found is not None or not passed else passed[0]
