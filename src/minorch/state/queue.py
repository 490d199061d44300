"""The tasks that wait for a node, in lines: those that go to the same nodes, in the order of submission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minorch.state.shape import Shape

__all__ = ["Line", "WaitingQueue"]


class Line(NamedTuple):
    """What tasks share that wait one behind the other."""

    shape: Shape
    priority: int = 0
    patient: bool = False
    """Whether they wait for a node that can hold them if there is none."""
    gang: str = ""
    """The id of their job if all of it is placed together; empty: each is placed by itself."""


class WaitingQueue:
    """Waiting tasks by line, so that a line whose first fits nowhere is tried once and blocks no other."""

    def __init__(self) -> None:
        self._lines: dict[Line, dict[str, int]] = {}
        self._line_of: dict[str, Line] = {}
        self._out_of_turn: set[Line] = set()

    def add(self, task_id: str, order: int, line: Line) -> None:
        """Queue a task behind the others of its line; a task that was queued before regains its turn."""
        tasks = self._lines.setdefault(line, {})
        if tasks and tasks[next(reversed(tasks))] > order:
            self._out_of_turn.add(line)
        tasks[task_id] = order
        self._line_of[task_id] = line

    def remove(self, task_id: str) -> bool:
        """Take a task out; False if it was not in."""
        line = self._line_of.pop(task_id, None)
        if line is None:
            return False
        tasks = self._lines[line]
        del tasks[task_id]
        if not tasks:
            del self._lines[line]
            self._out_of_turn.discard(line)
        return True

    def copy(self) -> WaitingQueue:
        """A queue in which the same tasks wait."""
        other = WaitingQueue()
        other._lines = {line: dict(tasks) for line, tasks in self._lines.items()}
        other._line_of = dict(self._line_of)
        other._out_of_turn = set(self._out_of_turn)
        return other

    def lines(self) -> list[Line]:
        """Every line in which somebody waits."""
        return list(self._lines)

    def waiting(self, line: Line) -> Iterator[str]:
        """The ids of one line in order; valid until the queue changes."""
        if line in self._out_of_turn:
            self._out_of_turn.remove(line)
            self._lines[line] = dict(sorted(self._lines[line].items(), key=lambda item: item[1]))
        return iter(self._lines.get(line, ()))

    def size(self, line: Line) -> int:
        """How many wait in one line."""
        return len(self._lines.get(line, ()))

    def line_of(self, task_id: str) -> Line | None:
        """The line a task waits in; None: it does not wait."""
        return self._line_of.get(task_id)

    def __len__(self) -> int:
        return len(self._line_of)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._line_of
