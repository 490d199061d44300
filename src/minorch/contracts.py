"""What a runtime and a store must do. Their authors read this file, and the worker and drivers rely on it.

Both contracts are protocols: no base class is needed.  ``minorch.testing`` has a suite of tests for
each, which the built-in ones pass.  Calls block and may come from several threads at once; they are
made by drivers, never by the manager or the worker core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from minorch.errors import StoreFenced
from minorch.ids import RunKey
from minorch.model import HealthCheck, Task, TaskStats
from minorch.resources import Resources
from minorch.states import Reason

__all__ = [
    "Change",
    "FindsLeftovers",
    "Launch",
    "Made",
    "Maker",
    "Owner",
    "Probe",
    "RunPhase",
    "RunStatus",
    "Runtime",
    "RuntimeInfo",
    "SharedStore",
    "Store",
    "Watch",
]

RunPhase = Literal["created", "running", "exited"]


class Owner(NamedTuple):
    """Whose runs they are: one worker of one cluster. Two owners never see each other's runs."""

    cluster_id: str
    """32 hexadecimal digits."""
    node: str
    """The worker's node name."""


class Maker(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which process had a run started: enough to tell later whether it still lives.

    A runtime that can find leftovers keeps :meth:`encode`'s text with each run.
    """

    pid: int
    birth: str
    """When that process began, as text that no later one with this pid has on the same *host*."""
    host: str
    """The boot of a machine, and the namespaces there: within these a pid and a birth name one process."""
    machine: str = ""
    """The machine, whatever its boot; empty: it cannot be told."""
    user: int
    """The number of the user."""
    durable: bool
    """Whether its cluster keeps its state where another process may go on with it."""

    def encode(self) -> str:
        """Return it as one line of text."""
        return _encode_json(self).decode()

    @classmethod
    def decode(cls, text: str) -> Maker | None:
        """Return what :meth:`encode` made a text of; None if it is no such text."""
        try:
            return _decode_maker(text)
        except (msgspec.DecodeError, RecursionError):
            return None


_encode_json: Final = msgspec.json.Encoder().encode
_decode_maker: Final = msgspec.json.Decoder(Maker).decode


class Launch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything a runtime needs to start one run."""

    key: RunKey
    owner: Owner
    job: str
    task_name: str
    """The instance's name, such as ``greet`` or ``greet[3]``."""
    index: int
    """Which instance, from 0."""
    task: Task
    maker: Maker | None = None
    """Who has it started; None: nobody says, and whether it is left over cannot be told later."""

    def environment(self) -> dict[str, str]:
        """All environment variables of the run, secrets in the clear: the task's own and ours.

        Ours are ``MINORCH_JOB``, ``MINORCH_TASK``, ``MINORCH_TASK_INDEX``, ``MINORCH_TASK_ID``,
        ``MINORCH_ATTEMPT``, ``MINORCH_RUN`` and ``MINORCH_NODE``; the task's win.
        """
        return {
            "MINORCH_JOB": self.job,
            "MINORCH_TASK": self.task_name,
            "MINORCH_TASK_INDEX": str(self.index),
            "MINORCH_TASK_ID": self.key.task_id,
            "MINORCH_ATTEMPT": str(self.key.attempt),
            "MINORCH_RUN": str(self.key.run),
            "MINORCH_NODE": self.owner.node,
            **self.task.env,
            **{name: secret.reveal() for name, secret in self.task.secrets.items()},
        }


class RunStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a runtime knows of one run.

    ``created`` means that it has never run yet.  ``exited`` with an ``exit_code`` of None means that
    nobody saw how it ended; that is never a success.
    """

    key: RunKey
    phase: RunPhase
    exit_code: int | None = None
    """As the runtime gives it: 128 + n for a run ended by signal n."""
    reason: Reason | None = None
    """For ``exited``: EXITED, KILLED, OOM, EXIT_UNKNOWN, or COMMAND_NOT_FOUND where that shows only then."""
    message: str = ""
    """More about how it ended, for a person."""
    started_at: float | None = None
    """Seconds since 1970."""
    finished_at: float | None = None
    ports: Mapping[str, str] = {}
    """Where its ports are reached: ``{"80/tcp": "127.0.0.1:32768"}``."""
    handle: str = ""
    """What the runtime calls it: a container's full id, a process id."""


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime offers."""

    capacity: Resources
    """All that its machine has: cores, memory and disk."""
    platform: str
    """Such as ``linux/amd64``."""
    version: str
    """The engine's version, for a person."""
    address: str = "127.0.0.1"
    """Where published ports are reached."""


class Probe(NamedTuple):
    """The answer to one health check."""

    healthy: bool
    detail: str


class Watch(Protocol):
    """A running subscription."""

    def close(self) -> None:
        """End it, and its thread. Closing twice is fine."""


@runtime_checkable
class Runtime(Protocol):
    """Runs tasks: as containers, as processes, or however you like.

    Every call is idempotent, may come from any thread, and is bounded in time.  An engine that
    cannot be reached raises :class:`~minorch.errors.EngineUnavailable`: nothing is then known about
    its runs, and above all not that they ended.
    """

    @property
    def name(self) -> str:
        """What it is called: ``docker``, ``process``."""

    @property
    def concurrency(self) -> int:
        """How many calls at once still make it faster; more would only wait."""

    def describe(self) -> RuntimeInfo:
        """Say what its machine offers.

        Raises:
            EngineUnavailable: the engine does not answer; the message says what to do.
        """

    def prepare(self, launch: Launch, progress: Callable[[str], None]) -> None:
        """Get what the run needs before it can start (pull its image), telling *progress* in words.

        Raises:
            StartFailed: it cannot be had; the reason is ``image_not_found`` where that is why.
            EngineUnavailable: the engine does not answer.
        """

    def start(self, launch: Launch) -> RunStatus:
        """Start the run, or return its status if a run with this key was started before.

        Raises:
            StartFailed: it was not started and leaves nothing behind. ``PolicyError`` where the
                worker's policy forbids it.
            EngineUnavailable: it may or may not have been started; :meth:`inspect` tells later.
        """

    def inspect(self, key: RunKey) -> RunStatus | None:
        """Return what is known of a run; None if there is no trace of it."""

    def list_runs(self, owner: Owner) -> Sequence[RunStatus]:
        """Return every run of *owner*, also those started by an earlier process."""

    def watch(self, owner: Owner, notify: Callable[[RunStatus | None], None]) -> Watch:
        """Call *notify*, from a thread of the runtime's, soon after a run of *owner* changes.

        ``notify(None)`` says that something may have been missed and the runs must be listed again:
        always once at the beginning, after it has begun to listen.
        """

    def terminate(self, key: RunKey) -> None:
        """Ask the run to end, by SIGTERM or the image's stop signal, and return at once.

        A run that is gone is fine.
        """

    def kill(self, key: RunKey) -> None:
        """Kill the run and everything it started, and return at once. A run that is gone is fine."""

    def remove(self, key: RunKey) -> None:
        """Remove a run that has ended, with its logs. One that is gone is fine.

        Raises:
            RuntimeFault: it still runs.
        """

    def logs(
        self, key: RunKey, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> Iterator[bytes]:
        """Yield what the run wrote, in pieces of any size.

        Args:
            key: which run.
            follow: go on until the run ends.
            tail: only the last so many lines.
            since: only what was written from then on, in seconds since 1970.

        Raises:
            RuntimeFault: there is no such run, or the runtime cannot tell the time of its lines.
        """

    def stats(self, keys: Sequence[RunKey]) -> Mapping[RunKey, TaskStats]:
        """Measure running runs, cheaply; those that cannot be measured are left out."""

    def probe(self, key: RunKey, check: HealthCheck) -> Probe:
        """Make one health check, within ``check.timeout_s`` seconds. It never raises for an unhealthy run."""

    def close(self) -> None:
        """Let go of connections and threads. Runs go on. Closing twice is fine."""


class Made(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a runtime finds of some owner, whoever that is, without looking closely."""

    owner: Owner
    key: RunKey | None
    """Which run; None: there is none, only what was kept to serve others, such as empty directories."""
    phase: RunPhase
    handle: str = ""
    """What the runtime calls it: a container's full id, a process id."""
    job: str = ""
    task: str = ""
    """The instance's name."""
    maker: Maker | None = None
    """Who had it started; None: it does not say."""


@runtime_checkable
class FindsLeftovers(Protocol):
    """What a runtime may offer on top: to find what clusters left behind whose process is gone.

    It finds, and does not judge: which makers live is told by :func:`minorch.leftovers`, which then ends
    runs by the calls that every runtime has.
    """

    def list_made(self) -> Sequence[Made]:
        """Return what there is of every owner, cheaply: it is called whenever a cluster starts.

        Raises:
            EngineUnavailable: the engine does not answer.
        """

    def discard(self, owner: Owner) -> None:
        """Remove what is kept of an owner that has no runs any more. That there is nothing is fine."""


class Change(NamedTuple):
    """One row to write, or to delete where the value is None."""

    table: str
    key: str
    value: bytes | None


@runtime_checkable
class Store(Protocol):
    """Keeps the manager's rows. It is used by one thread at a time and knows nothing of what they mean."""

    def load(self) -> Iterable[Change]:
        """Return every row that was committed, in the order of table and key.

        Raises:
            StoreError: it cannot be read; ``StoreCorrupt`` and ``StoreVersionError`` say why.
        """

    def commit(self, changes: Sequence[Change]) -> None:
        """Write all of *changes* in their order, or none of them; they survive what the store survives.

        Raises:
            StoreError: nothing was written; or, where a disk fails, all of it may be found when the store
                is opened again. So whoever goes on writes it once more, with what came since.
        """

    def close(self) -> None:
        """Let go of it. Closing twice is fine."""


@runtime_checkable
class SharedStore(Protocol):
    """What a store may offer on top: several managers share it, and one of them leads.

    Who leads loads and commits, as with any other store.  Once another manager leads, every call raises
    :class:`~minorch.errors.StoreFenced`, and nothing that the former leader still wants to write is taken.
    """

    def lead(self, timeout_s: float | None = None) -> bool:
        """Wait until this one leads; False: it does not after *timeout_s* seconds, or was closed meanwhile.

        Raises:
            StoreError: it cannot be used; the message says why.
        """

    def confirm(self) -> None:
        """Return if this one leads for certain, cheaply: it is asked before anything is sent.

        Raises:
            StoreFenced: another manager leads.
            StoreError: that cannot be found out.
        """

    def when_lost(self, callback: Callable[[StoreFenced], None]) -> None:
        """Have *callback* called, from any thread, when it is found that another manager leads.

        It is called at once if that is known already, and forgotten with the next :meth:`lead`.
        """
