"""The tasks that wait for a node, in the order of submission, those of one shape together."""

from __future__ import annotations

from collections.abc import Iterator

from minorch.state.tables import Shape

__all__ = ["WaitingQueue"]


class WaitingQueue:
    """Waiting tasks by shape, so that a shape that fits nowhere is tried once and blocks no other."""

    def __init__(self) -> None:
        self._groups: dict[Shape, dict[str, int]] = {}
        self._shape_of: dict[str, Shape] = {}

    def add(self, task_id: str, order: int, shape: Shape) -> None:
        """Queue a task behind the others of its shape; a task that was queued before regains its turn."""
        group = self._groups.setdefault(shape, {})
        behind = bool(group) and next(reversed(group.values())) > order
        group[task_id] = order
        if behind:
            self._groups[shape] = dict(sorted(group.items(), key=lambda item: item[1]))
        self._shape_of[task_id] = shape

    def remove(self, task_id: str) -> bool:
        """Take a task out; False if it was not in."""
        shape = self._shape_of.pop(task_id, None)
        if shape is None:
            return False
        group = self._groups[shape]
        del group[task_id]
        if not group:
            del self._groups[shape]
        return True

    def groups(self) -> list[Iterator[str]]:
        """The ids of each shape in order; valid until the queue changes."""
        return [iter(group) for group in self._groups.values()]

    def waiting(self, shape: Shape) -> list[str]:
        """The ids of one shape in order."""
        return list(self._groups.get(shape, ()))

    def __len__(self) -> int:
        return len(self._shape_of)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._shape_of
