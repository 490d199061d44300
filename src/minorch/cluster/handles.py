"""What ``submit`` returns: live views of a job and of its tasks, and what can be asked of them."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

from minorch.cluster.opened import in_notebook
from minorch.cluster.tables import text_table
from minorch.errors import JobFailed, MinorchError, NotFound, RuntimeFault, UsageError, brief, did_you_mean
from minorch.ids import RunKey
from minorch.markup import note, view
from minorch.model import TaskStats, redact
from minorch.progress import Progress, ProgressLike, show_progress
from minorch.state.events import Event
from minorch.state.pictures import AttemptInfo, JobInfo, TaskInfo
from minorch.state.rows import task_rows
from minorch.state.views import job_view, names_view, task_view
from minorch.states import JobState, Reason, TaskState

if TYPE_CHECKING:
    import asyncio

    from minorch.contracts import Runtime
    from minorch.drivers import ManagerDriver

__all__ = ["ClusterAccess", "JobHandle", "Named", "TaskHandle", "countable"]

_LOG_BYTES = 16 * 1024 * 1024
_EVIDENCE_TASKS = 5
_EVIDENCE_LINES = 5
_EVIDENCE_WIDTH = 500
"""The end of a line, which may be of any length. Far less than is read: a secret cut in two is not shown."""
_EVIDENCE_BYTES = 256 * 1024
_LOOK_EVERY_S = 0.25
"""Somebody who watches a bar sees no more."""
_NAMES_SHOWN = 30
_WAKE_S = 0.5


class _Handle(Protocol):
    @property
    def state(self) -> TaskState | JobState: ...


_V = TypeVar("_V", bound=_Handle)


class Named(Mapping[str, _V]):
    """Handles by name; a name that is not there is answered with the nearest one that is."""

    def __init__(self, kind: str, handles: dict[str, _V]) -> None:
        self._kind = kind
        self._handles = handles

    def __getitem__(self, name: str) -> _V:
        try:
            return self._handles[name]
        except KeyError:
            hint = did_you_mean(str(name), self._handles)
            raise NotFound(f'there is no {self._kind} "{name}"{hint}') from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def __repr__(self) -> str:
        return repr(self._handles)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._handles)

    def _repr_html_(self) -> str:
        latest = list(self._handles.items())[-_NAMES_SHOWN:]
        states = [(name, str(handle.state)) for name, handle in latest]
        return names_view(self._kind, states, len(self._handles))


class ClusterAccess(Protocol):
    """What a handle needs of its cluster."""

    @property
    def manager(self) -> ManagerDriver:
        """The manager's driver."""

    def runtime_of(self, node: str) -> Runtime:
        """The runtime that runs a node's tasks."""


def _why_no_run(info: TaskInfo) -> str:
    if not info.attempts:
        return "it was never placed"
    if not info.state.terminal:
        return "it has not been started yet"
    return "it never started, or what was left of it is removed, as it is when the cluster is closed"


class _ById:
    """A thing of a cluster by its id; two of one thing are equal."""

    _access: ClusterAccess
    id: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.id == other.id and self._access is other._access

    def __hash__(self) -> int:
        return hash(self.id)


class TaskHandle(_ById):
    """One task of a submitted job, as it stands each time it is asked."""

    def __init__(self, access: ClusterAccess, job: JobHandle, task_id: str, name: str) -> None:
        self._access = access
        self._job = job
        self.id = task_id
        self.name = name

    def info(self) -> TaskInfo:
        """Everything that is known of it, as a frozen picture.

        Raises:
            NotFound: its job was forgotten.
        """
        last = self._job.last
        if last is not None:
            for task in last.tasks:
                if task.id == self.id:
                    try:
                        return self._access.manager.ask(lambda manager, now: manager.task(self.id))
                    except NotFound:
                        return task
        return self._access.manager.ask(lambda manager, now: manager.task(self.id))

    @property
    def state(self) -> TaskState:
        """PENDING, SCHEDULED, RUNNING, COMPLETED, FAILED or STOPPED."""
        return self.info().state

    @property
    def reason(self) -> Reason | None:
        """Why it is over; None: it is not."""
        return self.info().reason

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None: it has none, or it is unknown."""
        return self.info().exit_code

    @property
    def message(self) -> str:
        """In words: what it waits for, or how it ended."""
        return self.info().message

    @property
    def node(self) -> str | None:
        """Where its latest attempt is; None: it was never placed."""
        return self.info().node

    @property
    def attempts(self) -> Sequence[AttemptInfo]:
        """Its placements, oldest first; only the latest 16 are remembered."""
        return self.info().attempts

    @property
    def restarts(self) -> int:
        """How many times it was started again after a first start."""
        return self.info().restarts

    @property
    def ports(self) -> Mapping[str, str]:
        """Where its ports are reached: ``{"80/tcp": "127.0.0.1:32768"}``; empty: it does not run yet."""
        attempts = self.info().attempts
        return MappingProxyType(dict(attempts[-1].ports)) if attempts else MappingProxyType({})

    @property
    def healthy(self) -> bool | None:
        """The verdict of its health check; None: it has none, or none yet."""
        attempts = self.info().attempts
        return attempts[-1].healthy if attempts else None

    @property
    def history(self) -> Sequence[Event]:
        """What happened to it, as far as the event log remembers."""
        events = self._access.manager.ask(lambda manager, now: manager.events())
        return tuple(event for event in events if event.task_id == self.id)

    def logs(self, *, tail: int | None = None, since: float | None = None) -> str:
        """What its latest run wrote, at most 16 MiB from the beginning.

        Args:
            tail: only the last so many lines.
            since: only what was written from then on, in seconds since 1970.

        Raises:
            RuntimeFault: nothing of it was started, or its container is gone.
            UsageError: *tail* is no number of lines, or *since* no time.
        """
        _check_tail(tail)
        if since is not None and (isinstance(since, bool) or not isinstance(since, int | float)):
            raise UsageError(f"since={brief(since)} is no time in seconds since 1970")
        runtime, key = self._run()
        pieces: list[bytes] = []
        room = _LOG_BYTES
        for piece in runtime.logs(key, tail=tail, since=since):
            pieces.append(piece[:room])
            room -= len(piece)
            if room <= 0:
                break
        return b"".join(pieces).decode("utf-8", "replace")

    def follow(self, *, tail: int | None = None) -> Iterator[str]:
        """What its latest run writes, line by line as it is written, until the run ends.

        If nothing of it was started yet, this waits until something is, or the task is over.

        Raises:
            RuntimeFault: nothing of it was started, or its container is gone.
            UsageError: an observer of events waits, and would wait for itself; or *tail* is no number of
                lines.
        """
        _check_tail(tail)
        self._await_start()
        runtime, key = self._run()
        rest = b""
        for piece in runtime.logs(key, follow=True, tail=tail):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")
        if rest:
            yield rest.decode("utf-8", "replace")

    def stats(self) -> TaskStats | None:
        """What was last measured of it; None: it does not run, or it was not measured yet."""
        return self.info().stats

    def _run(self) -> tuple[Runtime, RunKey]:
        info = self.info()
        if info.run_key is None or info.node is None:
            raise RuntimeFault(f"task {info.job}/{info.name} ({info.state}) has no logs: {_why_no_run(info)}")
        return self._access.runtime_of(info.node), info.run_key

    def _await_start(self) -> None:
        manager = self._access.manager
        begun = threading.Event()

        def check() -> None:
            info = self.info()
            if manager.closed or info.run_key is not None or info.state.terminal:
                begun.set()

        manager.refuse_own_thread("follow a log")
        end = manager.when_changed(self._job.id, check)
        try:
            check()
            begun.wait()
        finally:
            end()

    def stop(self) -> None:
        """Have it end; returns at once."""
        self._access.manager.call(lambda manager, now: manager.stop(self._job.id, now, task_id=self.id))

    def __repr__(self) -> str:
        try:
            info = self.info()
        except MinorchError as error:
            return f"<TaskHandle {self.name}: {error}>"
        reason = f" ({info.reason})" if info.reason is not None else ""
        return f"<TaskHandle {info.job}/{info.name} {info.state}{reason}>"

    def _repr_html_(self) -> str:
        try:
            info = self.info()
        except MinorchError as error:
            return view(f"task {self.name}", note(str(error)))
        return task_view(info, self.history, self._access.manager.ask(lambda manager, now: now))


def _keep_awake(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Wake a loop now and then, until what is returned is called.

    A kernel puts the interrupt of a cell that awaits into its loop, and does not wake it.
    """
    timer: asyncio.TimerHandle

    def again() -> None:
        nonlocal timer
        timer = loop.call_later(_WAKE_S, again)

    again()
    return lambda: timer.cancel()


class JobHandle(_ById):
    """A submitted job, as it stands each time it is asked.

    ``job.wait()`` blocks, ``await job`` does not; both give the state that the job ended in and do not
    raise when it failed.  ``job.result()`` does.
    """

    def __init__(self, access: ClusterAccess, job_id: str, name: str) -> None:
        self._access = access
        self.id = job_id
        self.name = name
        self.last: JobInfo | None = None
        """The picture taken when it was first seen to be over; it outlives the manager's memory."""

    def info(self) -> JobInfo:
        """Everything that is known of it, as a frozen picture.

        Raises:
            NotFound: it was forgotten before this handle saw it end.
        """
        try:
            info = self._access.manager.ask(lambda manager, now: manager.job(self.id))
        except NotFound:
            if self.last is None:
                raise
            return self.last
        if info.state.terminal:
            self.last = info
        return info

    @property
    def state(self) -> JobState:
        """PENDING, RUNNING, COMPLETED, FAILED or STOPPED."""
        if self.last is not None:
            return self.last.state
        return self._access.manager.ask(lambda manager, now: manager.job_state(self.id))

    @property
    def settled(self) -> bool:
        """Whether nothing of it will change any more: it is over, or its cluster was closed."""
        return self.state.terminal or self._access.manager.closed

    @property
    def message(self) -> str:
        """In words: why it ended as it did, where that is not its tasks' doing."""
        return self.info().message

    @property
    def tasks(self) -> Mapping[str, TaskHandle]:
        """Its tasks by name; the instances of one are called ``greet[0]``, ``greet[1]``, ..."""
        tasks = self.info().tasks
        return Named(
            "task", {task.name: TaskHandle(self._access, self, task.id, task.name) for task in tasks}
        )

    def wait_ready(self, timeout: float | None = None) -> JobState:
        """Wait until every task of it runs, and is found healthy where it has a check, or is over.

        Args:
            timeout: for how many seconds at most; None: as long as it takes.

        Returns:
            The job's state then: RUNNING for a service that is up.

        Raises:
            TimeoutError: it was not ready in time; the message counts what is missing. It goes on.
            ClusterClosed: the cluster was closed before it was ready.
            UsageError: an observer of events waits, and would wait for itself.
        """
        manager = self._access.manager
        ready = threading.Event()

        def check() -> None:
            if manager.closed or not self._unready():
                ready.set()

        manager.refuse_own_thread("wait for a job")
        end = manager.when_changed(self.id, check)
        try:
            check()
            if not ready.wait(countable(timeout)):
                raise TimeoutError(
                    f'{self._unready()} tasks of job "{self.name}" are not ready after {timeout:g} s'
                    f"{self._what_is_told()}"
                )
        finally:
            end()
        if self._unready():
            raise manager.ended(f'the cluster was closed before job "{self.name}" was ready')
        return self.state

    def _what_is_told(self) -> str:
        """The first message of a task that is not over, to go behind a sentence."""
        told = (f"; {task.name}: {task.message}" for task in self.info().tasks if not task.state.terminal)
        return next((words for words in told if not words.endswith(": ")), "")

    def _unready(self) -> int:
        try:
            return self._access.manager.ask(lambda manager, now: manager.unready(self.id))
        except NotFound:  # forgotten, so it was over
            return 0

    def wait(self, timeout: float | None = None, *, progress: ProgressLike = None) -> JobState:
        """Wait until it is over, and return the state it ended in.

        An interrupt ends the waiting, not the job.

        Args:
            timeout: for how many seconds at most; None: as long as it takes.
            progress: True: a bar that shows how many of its tasks are over (``pip install
                "minorch[progress]"``); None: one after a second, if somebody watches; False: none.

        Raises:
            TimeoutError: it was not over in time. It goes on.
            ClusterClosed: the cluster was closed before it was over.
            UsageError: an observer of events waits, and would wait for itself; or a bar was asked for, and
                what draws it is not installed.
        """
        over, most_s = threading.Event(), countable(timeout)
        with show_progress(progress, self.name, "tasks") as shown:
            end = self._when_over(over.set)
            try:
                waited = self._watch(over, timeout, shown) if shown.shown else over.wait(most_s)
                if not waited:
                    raise TimeoutError(f'job "{self.name}" is still {self.state} after {timeout:g} s')
            finally:
                end()
        return self._final_state()

    def _watch(self, over: threading.Event, timeout: float | None, shown: Progress) -> bool:
        """Wait until it is over, and tell how far it is; False: it was not over in time."""
        until_s = math.inf if timeout is None else time.monotonic() + timeout
        changed, done, total, words = threading.Event(), 0, 0, ""
        changed.set()
        end = self._access.manager.when_changed(self.id, changed.set)
        try:
            while True:
                if changed.is_set():
                    changed.clear()
                    with contextlib.suppress(NotFound):  # forgotten, so it was over
                        done, total, words = _how_far(self.info().tasks)
                shown.update(done, total, words)
                left_s = until_s - time.monotonic()
                if over.wait(max(0.0, min(left_s, _LOOK_EVERY_S))):
                    return True
                if left_s <= 0:
                    return False
        finally:
            end()

    def __await__(self) -> Generator[object, None, JobState]:
        import asyncio  # only for those who have a loop, and then it is loaded

        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        end = self._when_over(lambda: loop.call_soon_threadsafe(over.set))
        let_sleep = _keep_awake(loop) if in_notebook() else None
        try:
            yield from over.wait().__await__()
        finally:
            end()
            if let_sleep is not None:
                let_sleep()
        return self._final_state()

    def _final_state(self) -> JobState:
        state = self.info().state
        if not state.terminal:
            words = f'the cluster was closed while job "{self.name}" was {state}'
            raise self._access.manager.ended(words)
        return state

    def _when_over(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have *callback* called once the job is over; at once if it is."""
        manager = self._access.manager
        manager.refuse_own_thread("wait for a job")

        def check() -> None:
            if manager.job_is_over(self.id) or manager.closed:
                callback()

        end = manager.when_changed(self.id, check)
        check()
        return end

    def result(self, timeout: float | None = None) -> JobInfo:
        """Wait until it is over and return how it ended, if every task completed.

        Args:
            timeout: for how many seconds at most; None: as long as it takes.

        Raises:
            JobFailed: it failed or was stopped; the message says which tasks did, why, and the end
                of their logs.
            TimeoutError: it was not over in time.
        """
        if self.wait(timeout) is JobState.COMPLETED:
            return self.info()
        info = self.info()
        failures = [task for task in info.tasks if task.state is not TaskState.COMPLETED]
        lines = [self._evidence(task) for task in failures[:_EVIDENCE_TASKS]]
        if len(failures) > _EVIDENCE_TASKS:
            lines.append(f"and {len(failures) - _EVIDENCE_TASKS} more tasks")
        raise JobFailed(self.name, str(info.state), tuple(lines))

    def _evidence(self, task: TaskInfo) -> str:
        code = "" if task.exit_code is None else f", exit code {task.exit_code}"
        where = f" on {task.node}" if task.node else ""
        message = f": {task.message}" if task.message else ""
        line = f"{task.name}: {task.state} ({task.reason}{code}){where}{message}"
        if task.run_key is None or task.node is None:
            return line
        try:
            secrets = self._access.manager.ask(lambda manager, now: manager.spec(task.id)).secrets
            hidden = tuple(secret.reveal() for secret in secrets.values())
            most, log = _EVIDENCE_BYTES + max((len(words.encode()) for words in hidden), default=0), b""
            for piece in self._access.runtime_of(task.node).logs(task.run_key, tail=_EVIDENCE_LINES):
                log = (log + piece)[-most:]
        except MinorchError:
            return line
        # What a task prints is its own affair, but an error goes to log files and trackers. Where the log was
        # cut there may be the end of a secret, and so much is left out there after all others were hidden.
        text = redact(log.decode("utf-8", "replace"), hidden)
        if len(log) == most:
            text = text[most - _EVIDENCE_BYTES :]
        shown = (words[-_EVIDENCE_WIDTH:] for words in text.splitlines()[-_EVIDENCE_LINES:])
        return line + "".join(f"\n    | {words}" for words in shown)

    def stop(self, *, wait: bool = False, timeout: float | None = None) -> None:
        """Have all of it end. From now on nothing of it starts.

        Args:
            wait: return only when it is over.
            timeout: then for how many seconds at most.

        Raises:
            TimeoutError: it was not over in time.
        """
        self._access.manager.call(lambda manager, now: manager.stop(self.id, now))
        if wait:
            self.wait(timeout)

    def table(self) -> str:
        """Its tasks as a table to print."""
        return text_table(task_rows(self.info().tasks))

    def _repr_html_(self) -> str:
        try:
            info = self.info()
        except MinorchError as error:
            return view(f"job {self.name}", note(str(error)))
        return job_view(info, self._access.manager.ask(lambda manager, now: now))

    def __repr__(self) -> str:
        try:
            info = self.info()
        except MinorchError as error:
            return f"<JobHandle {self.name}: {error}>"
        counts: dict[str, int] = {}
        for task in info.tasks:
            counts[str(task.state)] = counts.get(str(task.state), 0) + 1
        tasks = ", ".join(f"{count} {state}" for state, count in counts.items())
        return f"<JobHandle {info.name} {info.state}: {tasks}>"


def _check_tail(tail: object) -> None:
    if tail is not None and (isinstance(tail, bool) or not isinstance(tail, int) or tail < 0):
        raise UsageError(f"tail={brief(tail)} is no number of lines")


def _how_far(tasks: Sequence[TaskInfo]) -> tuple[int, int, str]:
    """How many tasks are over, how many there are, and how many run, in words."""
    running = sum(task.state is TaskState.RUNNING for task in tasks)
    return sum(task.state.terminal for task in tasks), len(tasks), f"{running} running"


def countable(timeout: object) -> float | None:
    """A time-out that the threading module takes: it refuses infinity, and more than some centuries.

    Raises:
        UsageError: it is no number of seconds.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout):
        hint = "; write timeout.total_seconds()" if isinstance(timeout, timedelta) else ""
        raise UsageError(f"timeout={brief(timeout)} is no number of seconds{hint}")
    return min(timeout, threading.TIMEOUT_MAX)
