"""What would be better off elsewhere, by the strategy's own costs. Nothing is moved here.

A move is found by asking the strategy where a task would go if it were not there: its node is shown
without it.  The gain of a move is what it would cost there, without itself, less what it costs elsewhere.

Tasks that ask for the same on the same node are asked about once.  The best move is made on the board, what
is on the two nodes is asked about again, and of all others only those whose gain, as it was last known, is
the highest that is left; so a gain that has become larger meanwhile is overlooked until there is no other.
The work is bounded by how often a node is looked at, not by time: the same question has the same answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from minorch.errors import PluginError
from minorch.scheduling.board import Board
from minorch.scheduling.plan import blame, find_node
from minorch.scheduling.scheduler import Scheduler, cost_of
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["Move", "Placed", "Rebalance", "propose_moves"]

MOST_LOOKS: Final = 1_000_000
"""How many times a node is looked at, at most, for one proposal."""
_LEAST_GAIN: Final = 1e-9
_LINES_SHOWN: Final = 50


class Placed(NamedTuple):
    """A task and where it is."""

    task: TaskView
    node: int
    """The node's index."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A task that would be better off on another node."""

    task: str
    """Job and instance name, as ``cluster.move()`` takes them."""
    task_id: str
    source: str
    """The node that it is on."""
    target: str
    """The node where the strategy would place it now."""
    cost_here: float
    """What it would cost to place it where it is, if it were not there."""
    cost_there: float
    gain: float
    """The difference, which is positive."""

    def __str__(self) -> str:
        costs = f"{self.cost_here:.4g} to {self.cost_there:.4g}"
        return f"{self.task}: {self.source} -> {self.target}, cost {costs}, gain {self.gain:.4g}"


class Rebalance(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``cluster.propose_rebalance()``, of which nothing is carried out; ``str()`` tells it."""

    moves: Sequence[Move] = ()
    """In the order in which they are to be made: one may need the room that another gives back."""
    tasks: int = 0
    """How many tasks could be moved at all."""
    asked: int = 0
    """How many of them were asked about, or others like them on the same node."""
    why: str = ""
    """Why there are no moves, or why there may be more; empty: there is nothing to say."""

    @property
    def gain(self) -> float:
        """The gains of all moves together."""
        return sum(move.gain for move in self.moves)

    def __str__(self) -> str:
        count = f"{len(self.moves):,} move{'' if len(self.moves) == 1 else 's'}"
        words = f"{count}, gain {self.gain:.4g}" if self.moves else "nothing to move"
        lines = [f"{words}{f' ({self.why})' if self.why else ''}"]
        lines += [f"  {move}" for move in self.moves[:_LINES_SHOWN]]
        if len(self.moves) > _LINES_SHOWN:
            lines.append(f"  and {len(self.moves) - _LINES_SHOWN:,} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain

    def _repr_html_(self) -> str:
        from minorch.scheduling.views import rebalance_view

        return rebalance_view(self)


class _Alike:
    """Tasks on one node that ask for the same there."""

    __slots__ = ("age", "count", "node", "tasks")

    def __init__(self, node: int) -> None:
        self.node = node
        self.tasks: list[TaskView] = []
        """Those that have not moved."""
        self.count = 0
        """How many there were at first."""
        self.age = 0
        """One higher each time something changed on its node."""


class _Found(NamedTuple):
    """A move that was worth it when it was found."""

    here: float
    there: float
    target: NodeView

    @property
    def gain(self) -> float:
        return self.here - self.there


class _Search:
    """One proposal in the making."""

    def __init__(self, board: Board, scheduler: Scheduler, cluster: ClusterView, looks: int) -> None:
        self.board = board
        self.looks = looks
        """How many more there may be."""
        self._scheduler = scheduler
        self._cluster = cluster
        self._cost = cost_of(scheduler)
        self._built: set[Hashable] = set()

    def worst(self, groups: Sequence[_Alike]) -> list[_Alike]:
        """The groups that cost most where they are, as many as half of the looks are enough for."""
        self.looks -= len(groups)
        order = sorted(
            range(len(groups)),
            key=lambda at: (-self.here(groups[at]), groups[at].node, groups[at].tasks[0].order),
        )
        left, chosen, built = self.looks // 2, [], set()
        for at in order:
            task = groups[at].tasks[0]
            left -= 1 if self._key(task) in built else len(self.board.nodes)
            if left < 0:
                break
            if self.board.indexes(task, self._scheduler):
                built.add(self._key(task))
            chosen.append(groups[at])
        # What is of one shape is asked about together, as the index then has least to look up again.
        shapes: dict[Hashable, list[_Alike]] = {}
        for group in chosen:
            shapes.setdefault(self._key(group.tasks[0]), []).append(group)
        return [group for alike in shapes.values() for group in alike]

    def improve(self, groups: Sequence[_Alike], moves: list[Move], most: int) -> bool:
        """Ask about all groups and make the moves that are found, the best first; whether any was made."""
        heap: list[tuple[float, int, int]] = []
        before = len(moves)

        def ask(at: int) -> None:
            found = self.better(groups[at])
            if found is not None:
                heapq.heappush(heap, (-found.gain, at, groups[at].age))

        for at in range(len(groups)):
            ask(at)
        places: dict[int, list[int]] = {}
        for at, group in enumerate(groups):
            places.setdefault(group.node, []).append(at)
        while heap and len(moves) < most and self.looks > 0:
            _, at, age = heapq.heappop(heap)
            if age != groups[at].age:
                continue
            found = self.better(groups[at])
            if found is None:
                continue
            if heap and -found.gain > heap[0][0]:  # another may be better by now
                heapq.heappush(heap, (-found.gain, at, age))
                continue
            moves.append(self.move(groups[at], found))
            for other in (*places[groups[at].node], *places.get(found.target.index, ())):
                groups[other].age += 1
                ask(other)
        return len(moves) > before

    def here(self, alike: _Alike) -> float:
        """What it would cost to place such a task where it is, if it were not there."""
        task = alike.tasks[0]
        try:
            return self._cost(task, self.board.nodes[alike.node].without_task(task))
        except (Exception, SystemExit) as error:
            raise PluginError(blame(self._scheduler, task, error)) from error

    def better(self, alike: _Alike) -> _Found | None:
        """Where such a task would go if it were not there; None: it is not better off elsewhere."""
        if not alike.tasks or self.looks <= 0:
            return None
        board, task = self.board, alike.tasks[0]
        node = board.nodes[alike.node]
        self.looks -= 1 + self._price(task)
        here = self.here(alike)
        board.update(node.without_task(task))
        try:
            found = find_node(self._scheduler, task, board, self._cluster)
        except (Exception, SystemExit) as error:
            raise PluginError(blame(self._scheduler, task, error)) from error
        finally:
            board.update(node)
        if found is None or found[0].index == alike.node or found[0].name in task.avoid:
            return None
        target, there = found
        if here - there <= _LEAST_GAIN * max(1.0, abs(here)):
            return None
        return _Found(here, there, target)

    def _price(self, task: TaskView) -> int:
        """How many nodes are looked at to find the best for a task."""
        if not self.board.indexes(task, self._scheduler):
            return len(self.board.nodes)
        key = self._key(task)
        if key in self._built:
            return 1
        self._built.add(key)
        return len(self.board.nodes)

    def _key(self, task: TaskView) -> Hashable:
        return task.shape, task.job_id if self._scheduler.depends_on == "job" else None

    def move(self, alike: _Alike, found: _Found) -> Move:
        """Show the board as it is once a task has moved."""
        task = alike.tasks.pop(0)
        source, there = self.board.nodes[alike.node], found.target.with_task(task)
        self.board.update(source.without_task(task))
        self.board.update(there)
        try:
            self._scheduler.placed(task, there)
        except (Exception, SystemExit) as error:
            raise PluginError(blame(self._scheduler, task, error)) from error
        return Move(
            task=f"{task.job}/{task.name}",
            task_id=task.id,
            source=source.name,
            target=there.name,
            cost_here=found.here,
            cost_there=found.there,
            gain=found.gain,
        )


def propose_moves(
    cluster: ClusterView,
    board: Board,
    placed: Iterable[Placed],
    scheduler: Scheduler,
    *,
    max_moves: int,
    waiting: int = 0,
    most_looks: int = MOST_LOOKS,
) -> Rebalance:
    """Look for moves that make placements cheaper, the best first; no task is moved twice.

    Args:
        cluster: the nodes.
        board: these nodes, which is changed: they are shown as they would be after the moves.
        placed: the tasks that may be moved.
        scheduler: the strategy, which is told of the moves.
        max_moves: how many moves at most.
        waiting: how many tasks wait for a node.
        most_looks: how often a node is looked at, at most.

    Raises:
        PluginError: the strategy failed.
    """
    groups = _group(placed, scheduler)
    tasks = sum(len(group.tasks) for group in groups)
    name = type(scheduler).__name__
    if not scheduler.comparable:
        return Rebalance(tasks=tasks, why=f"the costs of {name} do not tell how good a placement is")
    if not groups:
        return Rebalance()
    try:
        scheduler.begin(cluster)
    except (Exception, SystemExit) as error:
        raise PluginError(blame(scheduler, groups[0].tasks[0], error)) from error
    search = _Search(board, scheduler, cluster, most_looks)
    moves: list[Move] = []
    chosen = search.worst(groups)
    while search.improve(chosen, moves, max_moves):
        pass
    asked = sum(group.count for group in chosen)
    complete = asked == tasks and (search.looks > 0 or len(moves) == max_moves)
    notes = [] if complete else ["not every task was asked about to the end"]
    if waiting and moves:
        notes.append(f"{waiting:,} tasks that wait may take the room that moves give back")
    return Rebalance(moves=moves, tasks=tasks, asked=asked, why="; ".join(notes))


def _group(placed: Iterable[Placed], scheduler: Scheduler) -> list[_Alike]:
    """Put together what has the same gain."""
    groups: dict[Hashable, _Alike] = {}
    for task, node in placed:
        key: tuple[Hashable, ...] = (node, task.shape, task.job_id, task.avoid)
        if scheduler.depends_on == "anything":
            key = (node, task.id)
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Alike(node)
        group.tasks.append(task)
        group.count += 1
    return list(groups.values())
