"""What a manager and a worker say to each other, and how it looks on the wire.

Two messages, both level-triggered: an :class:`Assign` says what a worker should have, a
:class:`Report` what it does have.  Either may be lost, doubled, delayed or reordered; the next one
makes up for it.  :func:`encode` and :func:`decode` are for transports; inside one process the
objects themselves are passed on.

Handle a message with ``match`` and close it with ``assert_never``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NoReturn

import msgspec
from msgspec import Meta

from minorch.errors import MessageError, SpecError
from minorch.ids import RunKey, check_id
from minorch.model import Node, NodeStats, RestartPolicy, Task, TaskStats
from minorch.model.base import decode_hook, encode_hook, set_field
from minorch.states import AttemptState, Reason

__all__ = [
    "CRASH_LOOP_AFTER",
    "MAX_COUNTED_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_TEXT",
    "Assign",
    "Assignment",
    "Desired",
    "Message",
    "Observed",
    "Report",
    "Streak",
    "decode",
    "encode",
    "encoded_size",
]

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Larger ones are refused unread."""

MAX_COUNTED_BYTES: Final = MAX_MESSAGE_BYTES // 2
"""As far as the parts of a message are counted before it is made: the rest of it has to find room, too."""

MAX_TEXT: Final = 4096
"""The most characters of what is told in words; whoever makes or reads a longer text leaves out the rest."""

CRASH_LOOP_AFTER: Final = 3
"""After so many restarts in a row a task is said to be crash looping."""

Desired = Literal["run", "stop"]

# What a peer may say. These are checked where a message is read, by msgspec, and cost nothing elsewhere.
Id = Annotated[str, Meta(min_length=32, max_length=32)]
Word = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
"""JSON of other languages holds no higher one. Lower than what stands for an end in ``Observed.progress``."""
Before = Annotated[int, Meta(ge=0, le=2**52)]
"""A count that goes on: what follows it is a ``Count`` too."""
ExitCode = Annotated[int, Meta(ge=-(2**31), le=2**32)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Seconds since 1970, up to the end of the year 9999."""
Several = Meta(max_length=1_000_000)
"""As many as a job may have instances."""
Ports = Annotated[Mapping[Word, Word], Meta(max_length=256)]


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one worker should do about one attempt."""

    task_id: str
    attempt: Count
    desired: Desired
    run: Before = 0
    """The highest run of this attempt that the manager knows to have started; the next is one higher."""
    job: Word = ""
    task_name: Word = ""
    index: Count = 0
    task: Task | None = None
    """What to run; None where ``desired`` is ``stop``."""
    restart: RestartPolicy | None = None
    restarts: Before | None = None
    """How many restarts in a row led to ``run``, as far as the manager knows; None: it does not say."""
    may_have_begun: bool = False
    """Whether a worker said so (:attr:`Observed.may_have_begun`): if it does not run, it must not begin."""
    grace_s: Seconds = 10.0
    """For ``stop``: how long it has before it is killed."""

    def __post_init__(self) -> None:
        check_id(self.task_id, "task", "$.task_id")
        if self.attempt < 1 or self.run < 0:
            raise SpecError("attempts count from 1 and runs from 0", "$.attempt")
        if self.desired == "run" and (self.task is None or self.restart is None):
            raise SpecError("to run an attempt takes its task and its restart policy", "$.task")


class Assign(msgspec.Struct, frozen=True, kw_only=True, tag="assign", omit_defaults=True, gc=False):
    """Down: what a worker should have, in full or as a change to what it was told before.

    A worker takes it only if (epoch, revision) is higher than what it has applied, and a change only
    if it has applied exactly ``base``.  What a full one neither names nor keeps is to be stopped
    and forgotten.
    """

    cluster_id: Word
    worker: Word
    """The node name of the worker that it is for."""
    epoch: Count
    """One higher at each start of the manager."""
    revision: Count
    base: Count | None = None
    """The revision that this changes; None: it is full."""
    entries: Annotated[tuple[Assignment, ...], Several] = ()
    released: Annotated[tuple[tuple[Id, Count], ...], Several] = ()
    """(task id, attempt) that the worker may now forget, with container and logs."""
    kept: Annotated[tuple[tuple[Id, Count], ...], Several] = ()
    """(task id, attempt) of what a full one has no room for, or has told before: it is neither stopped nor
    forgotten, and what is not known yet follows."""
    incarnation: Word = ""
    heard: Count = 0
    """The highest report of that incarnation that the manager has merged and made durable."""
    lease_s: Seconds = 0.0
    """A worker that the manager does not hear of for so long is lost. Counted from when it sent the report
    ``heard``, less what clocks may drift, it begins nothing after that; 0: the manager does not say."""


class Streak(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Restarts in a row: none of the runs since has lasted for the restart policy's ``reset_after_s``."""

    restarts: Count
    """How many there were, with the one that is to come."""
    exit_code: ExitCode | None = None
    """Of the latest run that ended; None: it has none, or it is not known."""
    next_at: Moment | None = None
    """When the next start comes, in seconds since 1970 by the clock of who makes it; None: it was made."""

    @property
    def crash_looping(self) -> bool:
        """Whether there were so many that it is told: three or more."""
        return self.restarts >= CRASH_LOOP_AFTER


class Observed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a worker has of one attempt."""

    task_id: Id
    attempt: Count
    run: Count
    """Which start, from 1; 0 before the first."""
    state: AttemptState
    reason: Reason | None = None
    exit_code: ExitCode | None = None
    message: str = ""
    """In words, for a person: what is being pulled, why it failed, when it restarts."""
    started_at: Moment | None = None
    """When the current run started, in seconds since 1970 by the worker's clock."""
    finished_at: Moment | None = None
    healthy: bool | None = None
    """The verdict of its health check; None: it has none, or none yet."""
    ports: Ports = {}
    handle: Word = ""
    streak: Streak | None = None
    """None: it has not been restarted lately."""
    hung: bool = False
    """Whether it has not begun, and the engine did not answer when it was to start it."""
    may_have_begun: bool = False
    """Of a task that must begin once at most: that its run begins as soon as the manager is known to have
    made this durable, or has begun since and nobody saw it."""

    def __post_init__(self) -> None:
        if len(self.message) > MAX_TEXT:
            set_field(self, "message", self.message[:MAX_TEXT])

    @property
    def progress(self) -> tuple[int, int]:
        """Where it stands on the way that only goes forward: ends come last, then runs, then states."""
        if self.state.terminal:
            return (_LAST, 3)
        return (self.run, self.state.rank)

    @property
    def key(self) -> RunKey:
        """The run that this tells of."""
        return RunKey(self.task_id, self.attempt, self.run)


_LAST: Final = 2**62


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report", omit_defaults=True, gc=False):
    """Up: what a worker has. It is the heartbeat too.

    It names every attempt that changed since the last report the manager is known to have; with
    ``full``, every attempt there is.  Those for which there is no room are named in later ones.
    """

    cluster_id: Word
    worker: Word
    incarnation: Word
    """New at each start of the worker."""
    sequence: Count
    """From 1, one higher at each report of an incarnation."""
    epoch: Count = 0
    """The manager's epoch that the worker follows; 0: none yet."""
    revision: Count = 0
    """The revision that it has applied."""
    full: bool = False
    node: Node
    observed: Annotated[tuple[Observed, ...], Several] = ()
    stats: NodeStats | None = None
    task_stats: Annotated[tuple[tuple[Id, TaskStats], ...], Several] = ()
    """Figures of running tasks, by task id."""
    engine_ok: bool = True
    """Whether its runtime answers. If not, nothing is known about its tasks, and no new ones should come."""
    engine_message: str = ""
    renew: bool = False
    """Whether it asks for an answer although it tells nothing new: it has something that has not begun, which
    it may begin only as long as it knows that the manager hears it."""

    def __post_init__(self) -> None:
        if len(self.engine_message) > MAX_TEXT:
            set_field(self, "engine_message", self.engine_message[:MAX_TEXT])


Message = Assign | Report

_ENCODER: Final = msgspec.json.Encoder(enc_hook=encode_hook)
_DECODER: Final = msgspec.json.Decoder(Message, dec_hook=decode_hook)


def encode(message: Message) -> bytes:
    """Return *message* as JSON. Secrets are in it in the clear: the transport must keep it confidential.

    Raises:
        MessageError: it is larger than :data:`~minorch.messages.MAX_MESSAGE_BYTES`, so nobody would read it.
    """
    data = _ENCODER.encode(message)
    if len(data) > MAX_MESSAGE_BYTES:
        _refuse_size(len(data))
    return data


def encoded_size(task: Task) -> int:
    """How many bytes a task takes within a message."""
    return len(_ENCODER.encode(task))


def _refuse_size(size: int) -> NoReturn:
    raise MessageError(f"a message of {size:,} bytes; at most {MAX_MESSAGE_BYTES:,} are read")


def decode(data: bytes | bytearray | memoryview) -> Message:
    """Read one message.

    Args:
        data: any bytes at all, from anybody.

    Raises:
        MessageError: they are no message, larger than :data:`~minorch.messages.MAX_MESSAGE_BYTES` or
            nested without end. The error quotes no content, which might be secret.
    """
    size = memoryview(data).nbytes
    if size > MAX_MESSAGE_BYTES:
        _refuse_size(size)
    try:
        message: Message = _DECODER.decode(bytes(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        where = str(error).rpartition(" - at ")[2][:120] if " - at " in str(error) else "its beginning"
        raise MessageError(f"not a message; the fault is at {where}") from None
    return message
