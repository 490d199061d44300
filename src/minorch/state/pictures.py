"""Frozen pictures of jobs, tasks and nodes: what the manager answers when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from minorch.ids import RunKey
from minorch.messages import Streak
from minorch.model import Node, NodeStats, TaskStats
from minorch.resources import Resources
from minorch.state.records import AttemptRecord, TaskRecord
from minorch.state.tables import ClusterState, JobEntry, NodeEntry
from minorch.states import AttemptState, JobState, Reason, TaskState

__all__ = ["AttemptInfo", "JobInfo", "NodeInfo", "TaskInfo", "job_info", "node_info", "task_info"]


class AttemptInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One placement of a task on one node, as the manager last heard of it."""

    number: int
    node: str
    state: AttemptState
    run: int = 0
    """Which start of it is the latest; each after the first is a local restart."""
    reason: Reason | None = None
    exit_code: int | None = None
    message: str = ""
    scheduled_at: float
    """Seconds since 1970, as are the other times."""
    started_at: float | None = None
    finished_at: float | None = None
    healthy: bool | None = None
    ports: Mapping[str, str] = {}
    handle: str = ""
    """What the runtime calls it: a container's id, a process id."""
    streak: Streak | None = None
    """Its restarts in a row; None: it has not been restarted lately."""

    @property
    def restarts(self) -> int:
        """How many times it was started again on its node."""
        return max(0, self.run - 1)


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instance of a task as it stands."""

    id: str
    name: str
    job: str
    state: TaskState
    reason: Reason | None = None
    exit_code: int | None = None
    message: str = ""
    """In words, for a person: what it waits for or how it ended."""
    submitted_at: float
    finished_at: float | None = None
    attempts: Sequence[AttemptInfo] = ()
    """The latest ones, oldest first."""
    stopping: bool = False
    """Whether it was asked to stop."""
    stats: TaskStats | None = None
    run_key: RunKey | None = None
    """Which run its logs are to be had from; None: nothing was started or it is gone."""
    streak: Streak | None = None
    """How often it was started again in a row, its last exit code, and when the next start comes; None: it
    was not, or has run for long since."""

    @property
    def crash_looping(self) -> bool:
        """Whether it was started again three times in a row or more, and never ran for long."""
        return self.streak is not None and self.streak.crash_looping

    @property
    def node(self) -> str | None:
        """Where its latest attempt is."""
        return self.attempts[-1].node if self.attempts else None

    @property
    def restarts(self) -> int:
        """How many times it was started again after a first start, over the attempts remembered."""
        return max(0, sum(max(1, attempt.run) for attempt in self.attempts) - 1)

    def _repr_html_(self) -> str:
        from minorch.state.views import task_view

        return task_view(self)


class JobInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as it stands, with its instances in order."""

    id: str
    name: str
    kind: str
    state: JobState
    message: str = ""
    submitted_at: float
    finished_at: float | None = None
    retries_used: int = 0
    tasks: Sequence[TaskInfo] = ()

    def _repr_html_(self) -> str:
        from minorch.state.views import job_view

        return job_view(self)


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node as the manager sees it."""

    name: str
    node: Node
    ready: bool
    """Whether its worker is heard of and its engine answers."""
    cordoned: bool = False
    draining: bool = False
    """Whether it is being emptied, and something is still there."""
    drained: bool = False
    """Whether it was emptied, and is not open for tasks again."""
    lost: bool = False
    message: str = ""
    """Why it is not ready."""
    reserved: Resources
    tasks: int
    """How many tasks are placed on it."""
    stats: NodeStats | None = None

    @property
    def capacity(self) -> Resources:
        """What it can give in all."""
        return self.node.capacity

    @property
    def free(self) -> Resources:
        """What is not reserved."""
        return self.node.capacity - self.reserved

    def _repr_html_(self) -> str:
        from minorch.state.node_views import nodes_view

        return nodes_view([self])


def _attempt_info(attempt: AttemptRecord) -> AttemptInfo:
    return AttemptInfo(
        number=attempt.number,
        node=attempt.node,
        state=attempt.state,
        run=attempt.run,
        reason=attempt.reason,
        exit_code=attempt.exit_code,
        message=attempt.message,
        scheduled_at=attempt.scheduled_at,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        healthy=attempt.healthy,
        ports=attempt.ports,
        handle=attempt.handle,
        streak=attempt.streak,
    )


def task_info(state: ClusterState, task: TaskRecord) -> TaskInfo:
    """A picture of one instance."""
    current = task.current
    return TaskInfo(
        id=task.id,
        name=task.name,
        job=state.jobs[task.job_id].job.name,
        state=task.state,
        reason=task.reason,
        exit_code=task.exit_code,
        message=task.message or (current.message if current is not None else ""),
        submitted_at=task.submitted_at,
        finished_at=task.finished_at,
        attempts=tuple(_attempt_info(attempt) for attempt in task.attempts),
        stopping=task.ending is not None,
        stats=state.task_stats.get(task.id),
        run_key=None if task.released else state.run_key(task),
        streak=task.streak,
    )


def job_info(state: ClusterState, entry: JobEntry) -> JobInfo:
    """A picture of a job and all its instances."""
    record = entry.record
    return JobInfo(
        id=record.id,
        name=entry.job.name,
        kind=entry.job.kind,
        state=record.state,
        message=record.message,
        submitted_at=record.submitted_at,
        finished_at=record.finished_at,
        retries_used=record.retries_used,
        tasks=tuple(task_info(state, state.tasks[task_id]) for task_id in entry.task_ids()),
    )


def node_info(entry: NodeEntry) -> NodeInfo:
    """A picture of a node."""
    record = entry.record
    return NodeInfo(
        name=record.node.name,
        node=record.node,
        ready=entry.ready,
        cordoned=record.cordoned,
        draining=record.drain is not None and not record.drain.done,
        drained=record.drain is not None and record.drain.done,
        lost=record.lost,
        message="not heard of for its lease" if record.lost else entry.engine_message,
        reserved=entry.reserved,
        tasks=len(entry.live),
        stats=entry.stats,
    )
