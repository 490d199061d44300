"""The loop around one manager: calls and reports in, commits, then messages out. One thread."""

from __future__ import annotations

import enum
import logging
import os
import queue
import random
import threading
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

import msgspec

from minorch.contracts import SharedStore, Store
from minorch.drivers.clock import SteadyClock, new_id
from minorch.errors import ClusterClosed, MessageError, NotFound, StoreError, StoreFenced, UsageError
from minorch.manager import Manager, ManagerConfig, Step
from minorch.messages import Assign, Report
from minorch.scheduling import CustomFilter, Scheduler
from minorch.state.events import Event

__all__ = ["ManagerDriver"]

_log = logging.getLogger("minorch.drivers")
_T = TypeVar("_T")


class _Wake(enum.Enum):
    """What else may be in the inbox."""

    REPORTS = "reports were put aside"
    LOST = "another manager leads"


_Call = tuple[Callable[[], object], "Future[object]"]
_RETRY_S = 1.0
"""A store that failed is tried again after so long, however much arrives meanwhile; a try may take long."""
_MOST_CALLS = 10_000
"""How many changes may wait for the manager at a time."""
_LONGEST_WAIT_S = 3600.0
"""Longer waits are made of several: one of 293 years is more than a queue can count."""


class ManagerDriver:
    """Runs a manager in a thread of its own, from :meth:`start` to :meth:`close`.

    Everything that arrives while a turn is under way is taken in the next one, and a turn is one commit:
    the busier it is, the more changes share one.  A turn that cannot be written is tried again until it can,
    and no other one begins before: so no more waits than one turn and the latest report of each worker.

    Where managers share the store, this one ends when another leads: it sends nothing any more, whoever calls
    or waits is told :class:`~minorch.errors.StoreFenced`, and :attr:`lost` says so.

    Args:
        scheduler: the strategy; it serves this manager alone.
        store: where the manager's rows are; it is read now and written in the manager's thread.
        send: called in the manager's thread with each message, which names its worker; it may lose any.
        on_events: called in the manager's thread with what happened, once it is durable.
        config: waits and bounds.
        cluster_id: the identity of a new cluster, for workers that are told it beforehand: 32 hexadecimal
            digits. None: one is made. A store's own wins.
        clock: seconds since 1970, never going back.
        seed: makes the scheduler's random choices repeatable; None: they are not.
        filters: filters of one's own, by name, beside the built-in ones.
        on_lost: called in the manager's thread, as the last thing that it does, if another manager leads.

    Raises:
        StoreError: the store cannot be read.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        *,
        send: Callable[[Assign], None],
        on_events: Callable[[Sequence[Event]], None] | None = None,
        config: ManagerConfig | None = None,
        cluster_id: str | None = None,
        clock: Callable[[], float] | None = None,
        seed: int | None = None,
        filters: Mapping[str, CustomFilter] | None = None,
        on_lost: Callable[[StoreFenced], None] | None = None,
    ) -> None:
        self._on_lost = on_lost
        self._shared = store if isinstance(store, SharedStore) else None
        self._lost: StoreFenced | None = None
        self._over = threading.Event()
        self._clock = clock or SteadyClock()
        self._store = store
        self._send = send
        self._on_events = on_events
        self.manager = Manager(
            scheduler=scheduler,
            ids=new_id,
            random=random.Random(seed),
            now=self._clock(),
            rows=store.load(),
            cluster_id=cluster_id,
            config=config,
            filters=filters,
            stopwatch=time.perf_counter,
        )
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[_Call | _Wake | None] = queue.SimpleQueue()
        self._reports: dict[str, Report] = {}
        """By worker: the latest that was not taken yet. It says all that those before it did."""
        self._post = threading.Lock()
        """Held to put a report there, and to take them all."""
        self._thread = threading.Thread(target=self._loop, name="minorch-manager", daemon=True)
        self._closed = False
        self._callbacks: dict[str, list[Callable[[], None]]] = {}
        self._step: Step | None = None
        """What is to be written, and then sent and told; None: all of it was."""
        self._unanswered: list[tuple[Future[object], object]] = []
        """Those whose change is in it, and what they are to be told."""
        self._taken: list[Future[object]] = []
        """Of the calls of this turn."""
        self._fault: StoreError | None = None
        """Why the store could not be written when it was last tried; None: it could."""
        self._retry_at = 0.0
        self._bug: BaseException | None = None
        self._turning = False
        self._asking: int | None = None
        """The thread that asks a question, while it does."""
        self._door = threading.Lock()
        """Held to put a call into the inbox, and to say that nobody takes them any more."""
        self._ended = False

    @property
    def cluster_id(self) -> str:
        """The cluster's identity, the same for its whole life."""
        return self.manager.cluster_id

    @property
    def closed(self) -> bool:
        """Whether it has ended or is about to."""
        return self._closed

    @property
    def lost(self) -> StoreFenced | None:
        """That another manager leads, if that is why it ends."""
        return self._lost

    def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended: because of :meth:`close`, of a bug, or because another manager leads.

        Returns:
            Whether it has; False if it has not after *timeout_s* seconds.

        Raises:
            UsageError: this is the manager's thread.
        """
        self.refuse_own_thread("wait for its end")
        return self._over.wait(timeout_s)

    def start(self) -> None:
        """Begin; the manager's new epoch is durable when this returns.

        Raises:
            StoreError: the store cannot be written; ``StoreFenced`` if another manager leads.
        """
        step = self.manager.settle(self._clock())
        self._store.commit(step.changes)
        self._step = msgspec.structs.replace(step, changes=())  # the rest is for the manager's thread
        self._thread.start()
        if self._shared is not None:
            self._shared.when_lost(self._lose)

    def _lose(self, error: StoreFenced) -> None:
        """End it, from any thread: another manager leads."""
        self._lost = error
        self._closed = True
        self._inbox.put(_Wake.LOST)

    def receive(self, report: Report) -> None:
        """Hand the manager a message, from any thread.

        If more arrive than can be taken, only the latest of each worker is: it is as if the others were lost.
        What is no report is dropped: anybody may send a worker's line anything.
        """
        given: object = report
        if not isinstance(given, Report):
            _log.warning("a manager was sent a %s, which is no report; dropped", type(report).__name__)
            return
        with self._post:
            waiting = self._reports.get(report.worker)
            if waiting is None:
                self._inbox.put(_Wake.REPORTS)
            elif waiting.incarnation == report.incarnation and waiting.sequence >= report.sequence:
                return  # overtaken on the way
            self._reports[report.worker] = report

    def _take_reports(self) -> Sequence[Report]:
        with self._post:
            reports = tuple(self._reports.values())
            self._reports.clear()
        return reports

    def call(self, change: Callable[[Manager, float], _T], timeout_s: float | None = 30.0) -> _T:
        """Have *change* applied to the manager and return its result once it is durable.

        Args:
            change: gets the manager and the time; calls one of its entry points.
            timeout_s: how long to wait for the store.

        Raises:
            ClusterClosed: the driver was closed.
            StoreError: the store cannot be written; nothing new is accepted until it can. ``StoreFenced``
                if another manager leads; this one has ended then.
        """
        future = self.hand_over(change)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            raise self.overdue(timeout_s) from None

    def hand_over(self, change: Callable[[Manager, float], _T]) -> Future[_T]:
        """Have *change* applied as :meth:`call` does, and return at once; the future has its result.

        It is done whether or not anybody waits for that. The future must not be cancelled.

        Raises:
            ClusterClosed: the driver was closed.
            StoreError: too many changes wait already.
        """
        self.refuse_own_thread("change the cluster")
        future: Future[_T] = Future()
        with self._door:
            if self._closed or self._ended:
                raise self._gone()
            if self._inbox.qsize() >= _MOST_CALLS:
                raise StoreError(f"{_MOST_CALLS:,} changes wait already; the store does not keep up")
            call = (lambda: change(self.manager, self._clock()), future)
            self._inbox.put(typing.cast("_Call", call))  # it gets what change returns, and nothing else
        return future

    def overdue(self, timeout_s: float | None) -> StoreError:
        """What those are told who have waited for a change for so long."""
        return StoreError(
            f"the store did not take the change within {timeout_s:g} s; it may still do so "
            f"({self._fault or 'it did not answer'})"
        )

    def post(self, call: Callable[[], None]) -> None:
        """Have *call* called in the manager's thread soon, if it still takes turns; returns at once.

        Unlike all else, the garbage collector may do this: it takes no lock.
        """
        self._inbox.put((call, Future()))

    def ask(self, question: Callable[[Manager, float], _T]) -> _T:
        """Ask the manager something, between two turns, in the caller's thread. It must change nothing.

        Raises:
            UsageError: it is asked from within a turn or a question, by a scheduler, a filter or a store.
        """
        if self._turning and threading.current_thread() is self._thread:
            raise UsageError(
                "a scheduler or store must not ask its cluster while it is called: it would wait for itself; "
                "a scheduler finds all it may use in what it is given"
            )
        self._refuse_fork()
        self._refuse_within_question()
        with self._lock:
            self._asking = threading.get_ident()
            try:
                return question(self.manager, self._clock())
            finally:
                self._asking = None

    def _refuse_within_question(self) -> None:
        if self._asking == threading.get_ident():
            raise UsageError(
                "a scheduler or filter must not ask its cluster, or change it, while it is asked itself: "
                "it would wait for itself; it finds all it may use in what it is given"
            )

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that it lives in: its thread is not here."""
        return os.getpid() != self._pid

    def _refuse_fork(self) -> None:
        if self.forked:
            raise ClusterClosed(
                f"the cluster lives in process {self._pid}, and this is its fork {os.getpid()}; "
                "make one here, or fork before you make it"
            )

    def refuse_own_thread(self, what: str) -> None:
        """Refuse what cannot be done in the manager's thread, which would wait for itself.

        Raises:
            UsageError: this is the manager's thread.
            ClusterClosed: this is a fork of its process, where nobody would ever answer.
        """
        self._refuse_fork()
        self._refuse_within_question()
        if threading.current_thread() is self._thread:
            raise UsageError(
                f"an observer of events, or a scheduler, must not {what} from within its call; "
                "do it in a thread of your own"
            )

    def _gone(self) -> ClusterClosed | StoreFenced:
        if self._lost is not None:
            return StoreFenced(str(self._lost))  # each caller's own, with a traceback of its own
        if self._bug is None:
            return ClusterClosed("the cluster is closed")
        return ClusterClosed(
            f"the cluster ended because of a bug in minorch: {type(self._bug).__name__}: {self._bug}"
        )

    def ended(self, words: str) -> ClusterClosed | StoreFenced:
        """What to raise where something was waited for and this ended before: *words*, or who leads now."""
        return ClusterClosed(words) if self._lost is None else self._gone()

    def when_changed(self, job_id: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Have *callback* called, in the manager's thread, each time something of a job changed.

        That is: a task of it began, ended or changed its health, or all of it is over. Returns what
        ends that.
        """
        with self._lock:
            self._callbacks.setdefault(job_id, []).append(callback)

        def end() -> None:
            with self._lock:
                waiting = self._callbacks.get(job_id, [])
                if callback in waiting:
                    waiting.remove(callback)
                if not waiting:
                    self._callbacks.pop(job_id, None)

        return end

    def when_drained(self, node: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Have *callback* called, in the manager's thread, when a drain of a node is over.

        Returns what ends that.
        """
        return self.when_changed(_drain_of(node), callback)

    def is_draining(self, node: str) -> bool:
        """Whether a node is being drained and something is still there, as far as is durable.

        Raises:
            NotFound: there is no such node.
        """
        with self._lock:
            untold = self._step is not None and node in self._step.drained
            return self.manager.node(node).draining or untold

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread after a last turn; the store is left open. Closing twice is fine."""
        self._closed = True
        self._inbox.put(None)
        if self._thread.ident is None:  # it never began
            self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    # -- the loop -----------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            self._take_turns()
        finally:  # whatever it was, nobody may be left waiting
            self._closed = True
            self._give_up()
            if self._lost is not None:
                _log.error("the manager ended: %s", self._lost)
                if self._on_lost is not None:
                    self._tell(self._on_lost, self._lost)
            self._over.set()

    def _take_turns(self) -> None:
        deadline: float | None = self._clock()
        closing = False
        while not closing:
            calls: list[_Call] = []
            wait_s = None
            if deadline is not None:
                wait_s = min(_LONGEST_WAIT_S, max(0.0, deadline - self._clock()))
            try:
                item = self._inbox.get(timeout=wait_s)
                while True:
                    if item is None:
                        closing = True
                    elif not isinstance(item, _Wake):
                        calls.append(item)
                    item = self._inbox.get_nowait()
            except queue.Empty:
                item = None  # or the latest call, and all that it refers to, would live until the next one
            if self._lost is not None:
                self._taken = [future for _, future in calls]
                return
            try:
                deadline = self._turn(calls)
            except StoreFenced as error:
                self._lost = error
                return
            except BaseException as error:  # noqa: BLE001  its callers are told
                _log.exception("the manager stopped because of a bug in minorch")
                self._bug = error
                return

    def _turn(self, calls: Sequence[_Call]) -> float | None:
        """Absorb, settle, commit; and only then send. First of all, what could not be written before.

        Returns when the next turn is due.
        """
        self._taken = [future for _, future in calls]
        while True:
            left_over = self._step is not None
            with self._lock:
                self._turning = True
                try:
                    step = self._step = self._step or self._absorb(calls)
                    durable = self._commit(step)
                finally:
                    self._turning = False
            if not durable:
                if left_over:
                    self._refuse(calls)
                return self._retry_at
            self._deliver(step)
            if not left_over:
                return step.deadline

    def _absorb(self, calls: Sequence[_Call]) -> Step:
        for change, future in calls:
            self._apply(change, future)
        for report in self._take_reports():
            try:
                self.manager.receive(report, self._clock())
            except MessageError as error:
                _log.warning("the manager refused a report: %s", error)
        return self.manager.settle(self._clock())

    def _apply(self, change: Callable[[], object], future: Future[object]) -> None:
        try:
            self._unanswered.append((future, change()))
        except BaseException as error:  # noqa: BLE001  the caller's own, such as a node's name that is no text
            future.set_exception(error)

    def _refuse(self, calls: Sequence[_Call]) -> None:
        for _, future in calls:
            future.set_exception(
                StoreError(f"nothing new is accepted while the store cannot be written: {self._fault}")
            )

    def _commit(self, step: Step) -> bool:
        """Whether a step is durable; a store that has just failed is left alone, until the very end.

        Where managers share the store, this one must also lead when it sends: what it says may be old else.

        Raises:
            StoreFenced: another manager leads.
        """
        shared = self._shared if step.messages else None
        if not step.changes and shared is None:
            return True
        if self._fault is not None and not self._closed and self._clock() < self._retry_at:
            return False
        try:
            if step.changes:
                self._store.commit(step.changes)
            if shared is not None:
                shared.confirm()
        except StoreFenced:
            raise
        except BaseException as error:  # noqa: BLE001  a store may be anybody's; written twice is the same
            if self._fault is None:
                _log.error(
                    "the store cannot be written, so nothing is sent and nothing new accepted: %s", error
                )
            if not isinstance(error, StoreError):
                error = StoreError(f"{type(error).__name__}: {error}")
            self._fault = error
            self._retry_at = self._clock() + _RETRY_S
            return False
        if self._fault is not None:
            _log.warning("the store can be written again; what waited for that goes on")
            self._fault = None
        return True

    def _deliver(self, step: Step) -> None:
        """Send and tell what is durable, answer callers, and call back those who wait."""
        for message in step.messages:
            if self._lost is None:
                self._pass_on(message)
        if step.events and self._on_events is not None:
            self._tell(self._on_events, step.events)
        self._step = None
        answers, self._unanswered = self._unanswered, []
        for future, result in answers:
            future.set_result(result)
        for job_id in step.changed_jobs:
            self._call_back(self._callbacks.get(job_id, ()))
        for node in step.drained:
            self._call_back(self._callbacks.get(_drain_of(node), ()))

    @staticmethod
    def _call_back(callbacks: Iterable[Callable[[], None]]) -> None:
        for callback in tuple(callbacks):
            try:
                callback()
            except BaseException as error:  # noqa: BLE001  such as an event loop that was closed meanwhile
                _log.warning("somebody who waited for a job could not be told: %s", error)

    def _pass_on(self, message: Assign) -> None:
        try:
            self._send(message)
        except BaseException as error:  # noqa: BLE001  the transport is the application's; messages may be lost
            _log.warning("a message for worker %s could not be sent: %s", message.worker, error)

    @staticmethod
    def _tell(observer: Callable[[_T], None], what: _T) -> None:
        try:
            observer(what)
        except BaseException:  # noqa: BLE001  observers are the application's; exit() ends its caller
            _log.exception("an observer of events raised")

    def _give_up(self) -> None:
        """Answer everybody who still waits."""
        with self._door:
            self._ended = True
        if self._fault is not None:
            in_doubt = StoreError(
                f"the cluster ended before the store took the change, which is in doubt: {self._fault}"
            )
            for future, _ in self._unanswered:
                future.set_exception(in_doubt)
        futures = [future for future, _ in self._unanswered] + self._taken
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, tuple):
                futures.append(item[1])
        for future in futures:
            if not future.done():
                future.set_exception(self._gone())
        with self._lock:
            callbacks = [callback for waiting in self._callbacks.values() for callback in waiting]
        self._call_back(callbacks)

    def job_is_over(self, job_id: str) -> bool:
        """Whether a job is over or forgotten, as far as is durable."""
        with self._lock:
            if self._step is not None and job_id in self._step.changed_jobs:
                return False  # its callbacks are called when that is durable and told
            try:
                return self.manager.job_state(job_id).terminal
            except NotFound:
                return True


def _drain_of(node: str) -> str:
    """What those who wait for a node's drain are called by; no job's id looks like it."""
    return f"drain of {node}"
