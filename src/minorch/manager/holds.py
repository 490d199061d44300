"""Rooms that are kept: nodes on which nothing is placed but the task that each is kept for, for a while.

For a task that is about to take the room of others (preemption), and for one that has waited long for more
room than small tasks ever leave (reservation).  Nothing of it is stored.  A new manager keeps again what is
being made, which the tasks that are moved aside tell, and begins without reservations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Hold", "Holds"]


class Hold(NamedTuple):
    """A node kept for a task."""

    task_id: str
    node: str
    since: float
    """Seconds since 1970."""
    until: float


class Holds:
    """All rooms that are kept: at most one for a task, and each node for at most one."""

    def __init__(self) -> None:
        self._by_task: dict[str, Hold] = {}
        self._by_node: dict[str, Hold] = {}

    def keep(self, hold: Hold) -> None:
        """Keep a room; whatever was kept for that task, or on that node, is given up."""
        self.give_up(hold.task_id)
        other = self._by_node.get(hold.node)
        if other is not None:
            self.give_up(other.task_id)
        self._by_task[hold.task_id] = self._by_node[hold.node] = hold

    def give_up(self, task_id: str) -> Hold | None:
        """Keep nothing for a task any longer, and return what was kept."""
        hold = self._by_task.pop(task_id, None)
        if hold is not None:
            del self._by_node[hold.node]
        return hold

    def node_for(self, task_id: str) -> str | None:
        """The node that is kept for a task."""
        hold = self._by_task.get(task_id)
        return None if hold is None else hold.node

    def task_on(self, node: str) -> str:
        """The id of the task that a node is kept for; empty: it is kept for none."""
        hold = self._by_node.get(node)
        return "" if hold is None else hold.task_id

    def __iter__(self) -> Iterator[Hold]:
        return iter(list(self._by_task.values()))

    def __len__(self) -> int:
        return len(self._by_task)
