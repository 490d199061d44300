"""Near and apart from other tasks, and spread over places: what depends on more than one node.

A place is a node, or all nodes with the same value of a label.  :class:`Tally` counts tasks by place and is
kept up to date by the board; :class:`Neighbourhood` answers for one task, as things stand.

Being apart from others on the same node needs no tally: that is the filter
:func:`minorch.scheduling.filters.apart`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

from minorch.model import Affinity, SpreadOver
from minorch.scheduling.filters import Refusal, selects
from minorch.scheduling.view import NodeView, TaskView
from minorch.state.shape import TaskGroup

__all__ = ["Neighbourhood", "Tally", "is_local", "place_of", "prefers"]

_NODE: Final = "node"
_MOST_KNOWN: Final = 4096


def place_of(node: NodeView, topology: str) -> Hashable:
    """Which place of this kind a node is in; None: in none."""
    return node.index if topology == _NODE else node.node.labels.get(topology)


def is_local(task: TaskView) -> bool:
    """Whether all that the task asks about other tasks can be seen on the node itself."""
    spec = task.task
    return not spec.spread_over and all(
        affinity.anti and affinity.topology == _NODE for affinity in spec.affinity if affinity.weight is None
    )


def prefers(task: TaskView) -> bool:
    """Whether the task would rather go to some of the nodes that can take it."""
    spec = task.task
    if not (spec.preferences or spec.affinity or spec.spread_over):  # as nearly all
        return False
    return bool(spec.preferences) or any(
        wish.weight is not None for wishes in (spec.affinity, spec.spread_over) for wish in wishes
    )


class Tally:
    """How many tasks of some kind there are in each place.

    Args:
        topology: what a place is.
        counts: whether tasks of a group are of that kind.
        nodes: all nodes.
    """

    def __init__(self, topology: str, counts: Callable[[TaskGroup], bool], nodes: Iterable[NodeView]) -> None:
        self._topology = topology
        self._counts = counts
        self._known: dict[TaskGroup, bool] = {}
        self.places: dict[Hashable, int] = {}
        self.total = 0
        """Wherever they are, in a place or not."""
        for node in nodes:
            self._add(node, 1)

    def replace(self, before: NodeView | None, after: NodeView) -> None:
        """Take note that a node changed or joined."""
        if before is not None:
            self._add(before, -1)
        self._add(after, 1)

    def _add(self, node: NodeView, sign: int) -> None:
        count = 0
        for group, tasks in node.groups.items():
            counted = self._known.get(group)
            if counted is None:
                if len(self._known) > _MOST_KNOWN:
                    self._known.clear()
                counted = self._known[group] = self._counts(group)
            count += tasks if counted else 0
        if count:
            place = place_of(node, self._topology)
            self.total += sign * count
            self.places[place] = self.places.get(place, 0) + sign * count
            if not self.places[place]:
                del self.places[place]


class Neighbourhood:
    """What other tasks mean for one task, as things stand.

    Args:
        task: the task.
        nodes: all nodes, in the order of their index.
        tally: gives the tally of a kind of tasks over a kind of place: by a key that names both.
        wide: groups that must be apart, in places larger than a node, from whom they select.
        eligible: whether a node counts as a place that instances can be spread to.
    """

    def __init__(
        self,
        task: TaskView,
        nodes: Sequence[NodeView],
        tally: Callable[[Hashable, str, Callable[[TaskGroup], bool]], Tally],
        wide: Iterable[TaskGroup],
        eligible: Callable[[NodeView], bool],
    ) -> None:
        self._task = task
        self._tally = tally
        self._eligible = eligible
        self._nodes = nodes
        spec = task.task
        self._required = [self._near_or_apart(wish) for wish in spec.affinity if wish.weight is None]
        self._required += [self._spread(wish) for wish in spec.spread_over if wish.weight is None]
        self._required += [
            self._wanted_apart(group, affinity)
            for group in wide
            for affinity in group.apart
            if affinity.topology != _NODE and selects(affinity, group.job_id, task.group)
        ]
        self._preferred = [
            (wish.weight, self._near_or_apart(wish)) for wish in spec.affinity if wish.weight is not None
        ]
        self._preferred += [
            (wish.weight, self._spread(wish)) for wish in spec.spread_over if wish.weight is not None
        ]
        self._constraints = task.preferences

    def objection(self, node: NodeView) -> Refusal | None:
        """Why the task cannot go to *node* because of where others are; None: it can."""
        for objects in self._required:
            words = objects(node)
            if words is not None:
                return Refusal("neighbours", words, passing=True)
        return None

    def penalty(self, node: NodeView) -> int:
        """The sum of the weights of what the task would like and does not get on *node*."""
        missed = sum(weight for weight, constraint in self._constraints if not constraint.admits(node.node))
        return missed + sum(weight for weight, objects in self._preferred if objects(node) is not None)

    def _near_or_apart(self, wish: Affinity) -> Callable[[NodeView], str | None]:
        task, topology = self._task, wish.topology
        own = wish.job is None and not wish.labels
        key = (wish.job, wish.task, tuple(sorted(wish.labels.items())), task.job_id if own else None)
        tally = self._tally(key, topology, lambda group: selects(wish, task.job_id, group))
        whom, there = _whom(wish), _there(topology)
        # The first of those that want to be near each other may go anywhere.
        first = not wish.anti and not tally.total and selects(wish, task.job_id, task.group)
        places = tally.places

        def objects(node: NodeView) -> str | None:
            place = place_of(node, topology)
            if place is None:
                return f"no label {topology}"
            if wish.anti:
                return f"{whom} {there} already, from which it is apart" if place in places else None
            return None if first or place in places else f"not near {whom}: none {there}"

        return objects

    def _wanted_apart(self, group: TaskGroup, wish: Affinity) -> Callable[[NodeView], str | None]:
        topology = wish.topology
        tally = self._tally(("group", group), topology, lambda other: other is group)
        places = tally.places
        words = f"{group.job}/{group.name} {_there(topology)} already, which is apart from it"
        return lambda node: words if place_of(node, topology) in places else None

    def _spread(self, wish: SpreadOver) -> Callable[[NodeView], str | None]:
        own, topology = self._task.group, wish.topology
        key = ("instances", own.job_id, own.name)
        tally = self._tally(
            key, topology, lambda group: group.job_id == own.job_id and group.name == own.name
        )
        counts = tally.places
        least = min(
            (
                counts.get(place, 0)
                for place in dict.fromkeys(
                    place_of(node, topology) for node in self._nodes if self._eligible(node)
                )
                if place is not None
            ),
            default=0,
        )

        def objects(node: NodeView) -> str | None:
            place = place_of(node, topology)
            if place is None:
                return f"no label {topology}"
            over = counts.get(place, 0) + 1 - least
            if over <= wish.max_skew:
                return None
            return f"spread over {topology}: more than {wish.max_skew} ahead of the place with the fewest"

        return objects


def _whom(wish: Affinity) -> str:
    if wish.job is not None:
        return f"job {wish.job}"
    if wish.task is not None:
        return f"task {wish.task}"
    if wish.labels:
        return "tasks with " + ", ".join(f"{name}={value}" for name, value in sorted(wish.labels.items()))
    return "its own job"


def _there(topology: str) -> str:
    return "on this node" if topology == _NODE else f"in this {topology}"
