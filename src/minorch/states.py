"""Which states there are, and which moves between them are legal. No policy lives here.

A *task* is what the user asked for; an *attempt* is one placement of it on one node.  An
attempt only ever moves forward; a task goes back to PENDING when an attempt ended without
ending the task, and then a new attempt follows.  The documentation's diagrams are drawn from
:data:`TASK_MOVES`, :data:`ATTEMPT_MOVES` and :data:`JOB_MOVES`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, TypeVar

from minorch.errors import InvariantError

__all__ = [
    "ATTEMPT_MOVES",
    "JOB_MOVES",
    "TASK_MOVES",
    "AttemptState",
    "JobState",
    "Reason",
    "TaskState",
    "check_move",
    "diagram",
]


class TaskState(enum.StrEnum):
    """What a task shows its user."""

    PENDING = "PENDING"
    """Accepted; waits for a dependency, a back-off or room."""
    SCHEDULED = "SCHEDULED"
    """A node was chosen; the attempt is being prepared there."""
    RUNNING = "RUNNING"
    """Started on its node; restarts there, and the waits between them, are part of it."""
    COMPLETED = "COMPLETED"
    """Ended by itself with exit code 0."""
    FAILED = "FAILED"
    """Ended for good in any other way; the reason says how."""
    STOPPED = "STOPPED"
    """Ended because somebody asked for it."""

    terminal: bool
    """Whether a task in this state is over for good."""

    def __init__(self, value: str) -> None:
        self.terminal = value in ("COMPLETED", "FAILED", "STOPPED")


class AttemptState(enum.StrEnum):
    """How far one placement of a task on one node has come."""

    SCHEDULED = "SCHEDULED"
    """Committed by the manager; the worker may not know of it yet."""
    PREPARING = "PREPARING"
    """The worker pulls the image or creates the container."""
    RUNNING = "RUNNING"
    """Started at least once; local restarts happen in this state."""
    COMPLETED = "COMPLETED"
    """Ended by itself with exit code 0."""
    FAILED = "FAILED"
    """Ended in any other way, or lost with its node; the task may get another attempt."""
    STOPPED = "STOPPED"
    """Ended because it was asked to."""

    terminal: bool
    """Whether an attempt in this state is over for good."""
    rank: int
    """Position on the ladder that an attempt only climbs; all ends share the top rung."""

    def __init__(self, value: str) -> None:
        self.rank = {"SCHEDULED": 0, "PREPARING": 1, "RUNNING": 2}.get(value, 3)
        self.terminal = self.rank == 3


class JobState(enum.StrEnum):
    """What a job shows its user."""

    PENDING = "PENDING"
    """Accepted; none of its tasks has run yet."""
    RUNNING = "RUNNING"
    """A task of it has run, and not all of them are over."""
    COMPLETED = "COMPLETED"
    """Every task completed."""
    FAILED = "FAILED"
    """At least one task failed for good, or the deadline passed."""
    STOPPED = "STOPPED"
    """Somebody asked for it."""

    @property
    def terminal(self) -> bool:
        """Whether a job in this state is over for good."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.STOPPED)


class Reason(enum.StrEnum):
    """Why a task or an attempt is in its terminal state."""

    EXITED = "exited"
    """The command ended by itself; the exit code tells how."""
    KILLED = "killed"
    """A signal that minorch did not send ended it."""
    OOM = "oom"
    """The kernel killed it for using more memory than its limit."""
    START_FAILED = "start_failed"
    """The engine refused to start it; the message says why."""
    COMMAND_NOT_FOUND = "command_not_found"
    """There is no such program in its image or on its machine; the exit code is 127."""
    IMAGE_NOT_FOUND = "image_not_found"
    """Its image is neither here nor where it is pulled from."""
    PORT_TAKEN = "port_taken"
    """A host port that it asks for is in use."""
    FORBIDDEN = "forbidden"
    """The worker's policy forbids what it asks for, or its runtime has nothing of the kind."""
    UNHEALTHY = "unhealthy"
    """Its health check failed too often."""
    VANISHED = "vanished"
    """Its container or process was removed by somebody else, so its exit code is unknown."""
    EXIT_UNKNOWN = "exit_unknown"
    """It ended unobserved and nothing recorded how. Unknown is never success."""
    NODE_LOST = "node_lost"
    """Its worker was not heard of for the length of its lease."""
    PREEMPTED = "preempted"
    """It was moved aside for a task of higher priority."""
    DEADLINE = "deadline"
    """Its job had a deadline, which passed."""
    UNSCHEDULABLE = "unschedulable"
    """No node could hold it even when empty."""
    DEPENDENCY_FAILED = "dependency_failed"
    """A task that it comes after did not complete."""
    JOB_FAILED = "job_failed"
    """Another task of its job failed and the job stops on failure."""
    STOPPED = "stopped"
    """Somebody asked for it."""
    PLUGIN_ERROR = "plugin_error"
    """The scheduler plugin raised or gave a cost that is no number."""


_T = TaskState
_A = AttemptState
_J = JobState

TASK_MOVES: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    _T.PENDING: frozenset({_T.SCHEDULED, _T.FAILED, _T.STOPPED}),
    _T.SCHEDULED: frozenset({_T.PENDING, _T.RUNNING, _T.COMPLETED, _T.FAILED, _T.STOPPED}),
    _T.RUNNING: frozenset({_T.PENDING, _T.COMPLETED, _T.FAILED, _T.STOPPED}),
    _T.COMPLETED: frozenset(),
    _T.FAILED: frozenset(),
    _T.STOPPED: frozenset(),
}
"""Every legal move of a task; what is not listed cannot happen."""

ATTEMPT_MOVES: Final[Mapping[AttemptState, frozenset[AttemptState]]] = {
    _A.SCHEDULED: frozenset({_A.PREPARING, _A.RUNNING, _A.COMPLETED, _A.FAILED, _A.STOPPED}),
    _A.PREPARING: frozenset({_A.RUNNING, _A.COMPLETED, _A.FAILED, _A.STOPPED}),
    _A.RUNNING: frozenset({_A.COMPLETED, _A.FAILED, _A.STOPPED}),
    _A.COMPLETED: frozenset(),
    _A.FAILED: frozenset(),
    _A.STOPPED: frozenset(),
}
"""Every legal move of an attempt: only up the ladder."""

JOB_MOVES: Final[Mapping[JobState, frozenset[JobState]]] = {
    _J.PENDING: frozenset({_J.RUNNING, _J.COMPLETED, _J.FAILED, _J.STOPPED}),
    _J.RUNNING: frozenset({_J.COMPLETED, _J.FAILED, _J.STOPPED}),
    _J.COMPLETED: frozenset(),
    _J.FAILED: frozenset(),
    _J.STOPPED: frozenset(),
}
"""Every legal move of a job."""

_S = TypeVar("_S", TaskState, AttemptState, JobState)


def check_move(moves: Mapping[_S, frozenset[_S]], old: _S, new: _S, story: str) -> None:
    """Raise :class:`~minorch.errors.InvariantError`, with *story* in it, unless old -> new is legal."""
    if new not in moves[old]:
        raise InvariantError(f"illegal move {old} -> {new}\n{story}")


def diagram(moves: Mapping[_S, frozenset[_S]]) -> str:
    """Return the table as the text of a Mermaid ``stateDiagram-v2``, in the order of the states."""
    lines = ["stateDiagram-v2"]
    order = list(moves)
    lines.append(f"    [*] --> {order[0]}")
    for old in order:
        lines += [f"    {old} --> {new}" for new in order if new in moves[old]]
        if not moves[old]:
            lines.append(f"    {old} --> [*]")
    return "\n".join(lines) + "\n"
