"""What would become of a job if it were submitted now: the answer to ``cluster.plan(job)``, in words too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from minorch.model import Job
from minorch.scheduling.explain import Blocked

__all__ = ["JobChanges", "JobPlan", "PlannedPlacement", "PlannedPreemption", "PlannedWait", "changes_between"]

_LINES_SHOWN: Final = 20


class PlannedPlacement(msgspec.Struct, frozen=True, kw_only=True):
    """A task that would be placed."""

    task: str
    """The instance's name."""
    node: str
    cost: float

    def __str__(self) -> str:
        return f"{self.task} on {self.node}, cost {self.cost:.4g}"


class PlannedWait(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that would not be placed, all for the same reason."""

    tasks: Sequence[str]
    """The instances' names."""
    why: str
    """What they wait for, or why they would fail."""
    blocked: Blocked | None = None
    """Why they fit nowhere, if that is the reason and the nodes were counted."""
    fails: bool = False
    """Whether they would not wait but fail, as the strategy fails on them."""

    def __str__(self) -> str:
        more = f" and {len(self.tasks) - 1:,} more" if len(self.tasks) > 1 else ""
        return f"{self.tasks[0]}{more}: {self.why}"


class PlannedPreemption(msgspec.Struct, frozen=True, kw_only=True):
    """A task for which others of lower priority would be moved aside."""

    task: str
    """The instance's name."""
    node: str
    """Which node would be kept for it until they have stopped."""
    moved: Sequence[str]
    """Who would be stopped there and placed anew: job and instance name."""

    def __str__(self) -> str:
        return f"{self.task} on {self.node}, in place of {', '.join(self.moved)}"


class JobChanges(msgspec.Struct, frozen=True, kw_only=True):
    """How a job differs from the one of its name that is not over."""

    state: str
    """Of the one that is not over."""
    fields: Sequence[str] = ()
    """Which fields of the job itself differ."""
    new: Sequence[str] = ()
    """Tasks that the other does not have."""
    gone: Sequence[str] = ()
    """Tasks that only the other has."""
    changed: Mapping[str, Sequence[str]] = {}
    """Tasks of both, and which fields differ."""

    def __bool__(self) -> bool:
        return bool(self.fields or self.new or self.gone or self.changed)

    def __str__(self) -> str:
        words = [f"job: {', '.join(self.fields)}"] if self.fields else []
        words += [f"new: {', '.join(self.new)}"] if self.new else []
        words += [f"gone: {', '.join(self.gone)}"] if self.gone else []
        words += [f"changed: {name} ({', '.join(fields)})" for name, fields in self.changed.items()]
        return "; ".join(words) or "none"


def changes_between(running: Job, wanted: Job, state: str) -> JobChanges:
    """How *wanted* differs from *running*, which is in that state: in which fields, not in which values."""
    before = {task.name: task for task in running.tasks}
    after = {task.name: task for task in wanted.tasks}
    return JobChanges(
        state=state,
        fields=[
            field
            for field in Job.__struct_fields__
            if field != "tasks" and getattr(running, field) != getattr(wanted, field)
        ],
        new=[name for name in after if name not in before],
        gone=[name for name in before if name not in after],
        changed={
            name: fields
            for name, task in after.items()
            if name in before and (fields := _differing(before[name], task))
        },
    )


def _differing(one: msgspec.Struct, other: msgspec.Struct) -> list[str]:
    return [field for field in one.__struct_fields__ if getattr(one, field) != getattr(other, field)]


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``cluster.plan(job)``; ``str()`` gives it in words."""

    job: str
    placements: Sequence[PlannedPlacement] = ()
    """What would be placed at once, in this order."""
    waiting: Sequence[PlannedWait] = ()
    """What would not be."""
    preempted: Sequence[PlannedPreemption] = ()
    """Of those that would wait: for which others would be moved aside. They are in ``waiting`` too."""
    before: int = 0
    """How many tasks of other jobs, which wait already, the same plan would place."""
    refused: str = ""
    """Why ``submit`` would refuse the job as things are; empty: it would not, but for a job of its name."""
    changes: JobChanges | None = None
    """How it differs from a job of its name that is not over, and that is taken to be gone in this plan."""

    @property
    def tasks(self) -> int:
        """How many instances the job has."""
        return len(self.placements) + sum(len(wait.tasks) for wait in self.waiting)

    def __str__(self) -> str:
        plural = "" if self.tasks == 1 else "s"
        lines = [f"{self.job}: {len(self.placements):,} of {self.tasks:,} task{plural} would be placed now"]
        if self.refused:
            lines.append(f"  it would be refused: {self.refused}")
        if self.changes is not None:
            lines.append(
                f"  the one that is {self.changes.state} is taken to be gone; changes: {self.changes}"
            )
        if self.before:
            lines.append(f"  {self.before:,} tasks that wait already would be placed too")
        for title, rows in (
            ("placed", self.placements),
            ("not placed", self.waiting),
            ("would take the room of others", self.preempted),
        ):
            if rows:
                lines.append(f"  {title}:")
                lines += [f"    {row}" for row in rows[:_LINES_SHOWN]]
            if len(rows) > _LINES_SHOWN:
                lines.append(f"    and {len(rows) - _LINES_SHOWN:,} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain

    def _repr_html_(self) -> str:
        from minorch.scheduling.views import plan_view

        return plan_view(self)
