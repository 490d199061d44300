"""What decides where a task can go: its shape. Tasks of one shape are refused by the same nodes."""

from __future__ import annotations

from collections.abc import Hashable

from minorch.model import Task

__all__ = ["Shape", "shape_of"]


class Shape:
    """What a task asks of its node, comparable and quick to look up.

    Equal for tasks that can go to the same nodes, and cost the same there for a strategy that looks at
    nothing else.
    """

    __slots__ = ("_hash", "_key")

    def __init__(self, *key: Hashable) -> None:
        self._key = key
        self._hash = hash(key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Shape) and self._key == other._key)

    def __repr__(self) -> str:
        return f"Shape{self._key!r}"


def shape_of(task: Task) -> Shape:
    """The shape of a task: everything that it asks of its node, and nothing that it does there."""
    return Shape(
        task.resources,
        task.image,
        task.runtime,
        tuple(sorted(task.labels.items())),
        tuple(task.constraints),
        tuple(task.tolerations),
        tuple(sorted((p.host, p.protocol) for p in task.ports if p.host is not None)),
    )
