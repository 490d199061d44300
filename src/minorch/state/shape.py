"""What of a task decides where it can go, and what others may look for when they choose their place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import msgspec

from minorch.model import Affinity, Task

__all__ = ["Shape", "TaskGroup", "group_of", "shape_of"]


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


class TaskGroup(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The instances of one task of one job, as other tasks look for them."""

    job_id: str
    job: str
    """The job's name."""
    name: str
    """The task's name, without the number of an instance."""
    labels: Mapping[str, str] = {}
    apart: Sequence[Affinity] = ()
    """Whom they must be apart from, which holds for those that come later too."""

    def __deepcopy__(self, memo: object) -> TaskGroup:
        return self  # it never changes, and is known by its identity


def group_of(task: Task, *, job_id: str, job: str) -> TaskGroup:
    """The group of a task's instances."""
    return TaskGroup(
        job_id=job_id,
        job=job,
        name=task.name,
        labels=task.labels,
        apart=tuple(wish for wish in task.affinity if wish.anti and wish.weight is None)
        if task.affinity
        else (),
    )


def shape_of(task: Task, *, job_id: str | None = None) -> Shape:
    """The shape of a task: everything that it asks of its node, and nothing that it does there.

    Args:
        task: the task.
        job_id: its job's id, if tasks of that job look at each other when they choose a place. They may look
            for one by its name, so that is a part of its shape then.
    """
    return Shape(
        task.resources,
        task.image,
        task.platform,
        task.runtime,
        tuple(sorted(task.labels.items())) if task.labels else (),
        tuple(task.constraints),
        tuple(task.tolerations),
        tuple(sorted((p.host, p.protocol) for p in task.ports if p.host is not None)) if task.ports else (),
        tuple(sorted(task.preferences.items())) if task.preferences else (),
        repr((task.affinity, task.spread_over)) if task.affinity or task.spread_over else None,
        None if job_id is None else (job_id, task.name),
    )
