"""The rows of the cluster's state, as they are kept in memory and in the store. Data only, no rules.

Records are mutable: only the manager changes them, through :mod:`minorch.state.tables`.  What users
see are the frozen pictures in :mod:`minorch.state.pictures`.

There may be a million of them, none of which refers to itself: ``gc=False`` keeps the garbage collector
from looking at each of them again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from minorch.errors import StoreCorrupt
from minorch.messages import Streak
from minorch.model import Job, Node
from minorch.model.base import decode_hook, encode_hook
from minorch.states import AttemptState, JobState, Reason, TaskState

__all__ = [
    "ATTEMPTS_KEPT",
    "AttemptRecord",
    "DrainRecord",
    "JobRecord",
    "MetaRecord",
    "NodeRecord",
    "TaskRecord",
    "dump",
    "load",
]

ATTEMPTS_KEPT: Final = 16
"""How many of a task's attempts its record remembers; the latest ones."""


class MetaRecord(msgspec.Struct, kw_only=True):
    """What there is one of."""

    cluster_id: str
    epoch: int
    next_event: int = 1
    next_job: int = 1
    next_order: int = 1
    next_node: int = 0
    lease_s: float = 0.0
    """The longest lease that a worker may still have, from this manager or one before it."""


class AttemptRecord(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One placement of a task on one node. Its state only moves forward."""

    number: int
    node: str
    state: AttemptState = AttemptState.SCHEDULED
    run: int = 0
    """The latest run known to have begun; 0: none yet."""
    hung_since: float | None = None
    """Since when its engine is known to have hung over its start; None: it has not."""
    may_have_begun: bool = False
    """Whether its worker said that its run is about to begin; it says so of what must begin once at most."""
    reason: Reason | None = None
    exit_code: int | None = None
    message: str = ""
    scheduled_at: float
    started_at: float | None = None
    running_since: float | None = None
    """When its latest run was first known to have begun, by the manager's clock, not the worker's."""
    finished_at: float | None = None
    healthy: bool | None = None
    ports: Mapping[str, str] = {}
    handle: str = ""
    streak: Streak | None = None
    """Its restarts in a row; None: it has not been restarted lately."""

    @property
    def progress(self) -> tuple[int, int]:
        """Where it stands on the way that only goes forward, comparable with a report's."""
        return (self.run, self.state.rank)


class TaskRecord(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One instance of a task: what became of it, and where."""

    id: str
    job_id: str
    name: str
    position: int
    """Which of its job's tasks."""
    number: int = 0
    """Which instance of that task, from 0."""
    order: int
    """The order of submission over all jobs."""
    state: TaskState = TaskState.PENDING
    reason: Reason | None = None
    exit_code: int | None = None
    message: str = ""
    submitted_at: float
    finished_at: float | None = None
    attempt: int = 0
    """The number of the latest attempt; 0: none yet."""
    attempts: tuple[AttemptRecord, ...] = ()
    """The latest ones, oldest first."""
    ending: Reason | None = None
    """Why it was asked to stop; None: it was not."""
    moving: bool = False
    """Whether its attempt is being stopped to be placed on another node."""
    room_for: str = ""
    """The id of the task that its room is meant for then; empty: it is moved for another reason."""
    lost: int = 0
    """How many attempts in a row were lost with their node, and ran for no long time before."""
    failed: int = 0
    """For a service: how many starts in a row had failed when it was last tried again after a wait."""
    retry_at: float | None = None
    """Until when it waits for that, in seconds since 1970; None: it does not."""
    released: bool = False
    """Whether the worker may have forgotten its last attempt."""

    @property
    def streak(self) -> Streak | None:
        """Its restarts in a row, on its node and elsewhere; None: there were none lately."""
        current = self.current
        if current is not None and not current.state.terminal and (current.run or current.streak is not None):
            return current.streak
        if self.state.terminal or current is None or not self.failed:
            return None
        return Streak(restarts=self.failed, exit_code=current.exit_code, next_at=self.retry_at)

    @property
    def restarts_made(self) -> int:
        """How many restarts in a row led to the run that is known; one still to come is none of them."""
        streak, current = self.streak, self.current
        if streak is None or current is None:
            return 0
        return streak.restarts - bool(current.run and current.finished_at is not None)

    @property
    def current(self) -> AttemptRecord | None:
        """The latest attempt; None: there was none yet."""
        return self.attempts[-1] if self.attempts else None

    @property
    def live(self) -> AttemptRecord | None:
        """The attempt that holds a reservation now; None: there is none."""
        return self.attempts[-1] if self.attempts and not self.attempts[-1].state.terminal else None


class JobRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of a job. Its description is a row of its own, written once."""

    id: str
    number: int
    """The order of submission."""
    state: JobState = JobState.PENDING
    message: str = ""
    submitted_at: float
    finished_at: float | None = None
    ending: Reason | None = None
    """Why all of it was asked to stop; None: it was not."""
    retries_used: int = 0


class DrainRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a node is emptied."""

    deadline: float | None = None
    """Until when tasks of batch jobs may complete, and a limit holds, in seconds since 1970; None: tasks of
    batch jobs are moved like others."""
    at_once: int | None = None
    """How many tasks may be on the move at a time; None: all."""
    moving: dict[str, float | None] = {}
    """Ids of the tasks on the move, and since when they are gone and run nowhere yet; None: still here."""
    done: bool = False
    """Whether the node was found to be empty."""


class NodeRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One node, as its worker last described it."""

    index: int
    node: Node
    cordoned: bool = False
    lost: bool = False
    """Whether its lease ran out; it comes back with its worker's next report."""
    drain: DrainRecord | None = None
    """None: it is not drained, or is open for tasks again."""


Record = MetaRecord | TaskRecord | JobRecord | NodeRecord | Job

_ENCODER: Final = msgspec.json.Encoder(enc_hook=encode_hook)
_TABLES: Final[Mapping[str, msgspec.json.Decoder[Record]]] = {
    table: msgspec.json.Decoder(kind, dec_hook=decode_hook)
    for table, kind in {
        "meta": MetaRecord,
        "job": JobRecord,
        "spec": Job,
        "task": TaskRecord,
        "node": NodeRecord,
    }.items()
}


def dump(record: Record) -> bytes:
    """Return a record as its row's value, secrets in the clear."""
    return _ENCODER.encode(record)


def load(table: str, key: str, value: bytes) -> Record:
    """Read a row.

    Raises:
        StoreCorrupt: it is no row of that table.
    """
    decoder = _TABLES.get(table)
    if decoder is None:
        raise StoreCorrupt(f'the store has a table "{table[:40]}" that this version does not know')
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise StoreCorrupt(f"row {key[:70]!r} of table {table} in the store is damaged") from None
