"""A manager for an event loop: :class:`~minorch.drivers.ManagerDriver`, carried to the loop and back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from minorch.contracts import Store
from minorch.drivers.aio.bridge import Bridge
from minorch.drivers.aio.carrier import Carrier
from minorch.drivers.aio.keeper import Keeper
from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import StoreFenced
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Assign, Report
from minorch.scheduling import CustomFilter, Scheduler
from minorch.state.events import Event

__all__ = ["AsyncManagerDriver"]

_log = logging.getLogger("minorch.drivers")
_T = TypeVar("_T")
_ITS_END: Final = "the end of the manager"
"""What those wait for who wait for that, beside jobs; no job's id looks like it."""
_MOST_EVENTS: Final = 10_000
"""How many events may wait for a loop that is busy: as many as the manager remembers by default."""


class AsyncManagerDriver:
    """Runs a manager beside an event loop, from :meth:`start` to :meth:`close`, or for an ``async with``.

    The manager takes its turns, and writes to its store, in one thread, as that of
    :class:`~minorch.drivers.ManagerDriver` does and by the same rules; questions wait in another.  So nothing
    that it does holds up the loop.  All methods are called on the loop.

    Where managers share the store, this one ends when another leads: it sends nothing any more, whoever calls
    or waits is told :class:`~minorch.errors.StoreFenced`, and :attr:`lost` says so.

    Args:
        scheduler: the strategy; it serves this manager alone, and is called in the manager's thread.
        store: where the manager's rows are; it is read now and written in the manager's thread.
        send: called on the loop with each message, which names its worker; it may lose any. A function, or a
            coroutine function: then one message for each worker is on its way at a time, and one more waits,
            the latest with what it builds on.
        on_events: called on the loop with what happened, once it is durable. If the loop does not come round
            for so long that 10,000 events wait, the oldest are left out: their numbers show that.
        config: waits and bounds.
        cluster_id: the identity of a new cluster, for workers that are told it beforehand: 32 hexadecimal
            digits. None: one is made. A store's own wins.
        clock: seconds since 1970, never going back; called from several threads.
        seed: makes the scheduler's random choices repeatable; None: they are not.
        filters: filters of one's own, by name, beside the built-in ones.
        on_lost: called on the loop if another manager leads.
        send_timeout_s: a send that takes longer is cancelled, and its message lost.

    Raises:
        StoreError: the store cannot be read.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        *,
        send: Callable[[Assign], Awaitable[None] | None],
        on_events: Callable[[Sequence[Event]], None] | None = None,
        config: ManagerConfig | None = None,
        cluster_id: str | None = None,
        clock: Callable[[], float] | None = None,
        seed: int | None = None,
        filters: Mapping[str, CustomFilter] | None = None,
        on_lost: Callable[[StoreFenced], None] | None = None,
        send_timeout_s: float = 30.0,
    ) -> None:
        self._bridge = Bridge("minorch-questions")
        self._send = send
        self._carrier = Carrier[Assign](self._bridge, self._pass_on, send_timeout_s)
        self._on_lost = on_lost
        self._over = asyncio.Event()
        self._on_events = on_events
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._taking = threading.Lock()
        self._driver = ManagerDriver(
            scheduler,
            store,
            send=self._post,
            on_events=None if on_events is None else self._note,
            config=config,
            cluster_id=cluster_id,
            clock=clock,
            seed=seed,
            filters=filters,
            on_lost=self._lose,
        )
        self._keeper = Keeper(self._bridge, self._carrier, self._driver.close)

    @property
    def cluster_id(self) -> str:
        """The cluster's identity, the same for its whole life."""
        return self._driver.cluster_id

    @property
    def closed(self) -> bool:
        """Whether it has ended or is about to."""
        return self._driver.closed

    @property
    def lost(self) -> StoreFenced | None:
        """That another manager leads, if that is why it ends."""
        return self._driver.lost

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that it lives in: its threads are not here."""
        return self._driver.forked

    async def start(self) -> None:
        """Begin; the manager's new epoch is durable when this returns.

        Raises:
            StoreError: the store cannot be written; ``StoreFenced`` if another manager leads.
        """
        await self._keeper.start(self._begin)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def receive(self, report: Report) -> None:
        """Hand the manager a message. It returns at once, and may be called from any thread.

        If more arrive than can be taken, only the latest of each worker is: it is as if the others were lost.
        """
        self._driver.receive(report)

    async def call(self, change: Callable[[Manager, float], _T], timeout_s: float | None = 30.0) -> _T:
        """Have *change* applied to the manager and return its result once it is durable.

        Once this is awaited, the change is made, and made once, also if who waits for it is cancelled.

        Args:
            change: gets the manager and the time, in the manager's thread; calls one of its entry points.
            timeout_s: how long to wait for the store.

        Raises:
            ClusterClosed: the driver was closed.
            StoreError: the store cannot be written; nothing new is accepted until it can. ``StoreFenced``
                if another manager leads; this one has ended then.
        """
        self._driver.refuse_own_thread("change the cluster")  # first of all: a fork has another loop
        self._bridge.check()
        answer = self._bridge.answer_of(self._driver.hand_over(change))
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await answer
        except TimeoutError:
            if not limit.expired():  # the change raised it
                raise
            raise self._driver.overdue(timeout_s) from None

    async def ask(self, question: Callable[[Manager, float], _T]) -> _T:
        """Ask the manager something, between two turns, in a thread. It must change nothing.

        Raises:
            ClusterClosed: the driver was closed.
            UsageError: far too many questions wait already.
        """
        return await self._aside(lambda: self._driver.ask(question))

    async def job_is_over(self, job_id: str) -> bool:
        """Whether a job is over or forgotten, as far as is durable.

        Raises:
            ClusterClosed: the driver was closed.
        """
        return await self._aside(lambda: self._driver.job_is_over(job_id))

    async def wait_over(self, job_id: str) -> None:
        """Wait until a job is over and that is durable. Bound it with ``asyncio.timeout``.

        Raises:
            ClusterClosed: the driver was closed before.
        """
        await self._wait(
            lambda wake: self._driver.when_changed(job_id, wake), lambda: self._driver.job_is_over(job_id)
        )

    async def is_draining(self, node: str) -> bool:
        """Whether a node is being drained and something is still there, as far as is durable.

        Raises:
            ClusterClosed: the driver was closed.
            NotFound: there is no such node.
        """
        return await self._aside(lambda: self._driver.is_draining(node))

    async def wait_drained(self, node: str) -> None:
        """Wait until no drain of a node is under way, and that is durable. Bound it with ``asyncio.timeout``.

        Raises:
            ClusterClosed: the driver was closed before.
            NotFound: there is no such node.
        """
        await self._wait(
            lambda wake: self._driver.when_drained(node, wake), lambda: not self._driver.is_draining(node)
        )

    async def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended: because of :meth:`close`, of a bug, or because another manager leads.

        Returns:
            Whether it has; False if it has not after *timeout_s* seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._over.wait()
        return self._over.is_set()

    async def close(self, timeout_s: float = 5.0) -> None:
        """End it after a last turn, and what is being sent; the store is left open. Closing twice is fine.

        Args:
            timeout_s: how long to wait for the store, and then for the transport.
        """
        if not self.forked:
            await self._keeper.close(timeout_s)
            self._over.set()  # also if it never began

    # -- between the manager's thread and the loop ----------------------------------------------

    def _begin(self) -> None:
        self._driver.when_changed(_ITS_END, self._tell_its_end)
        self._driver.start()

    def _tell_its_end(self) -> None:
        self._bridge.into_loop(self._over.set)

    def _lose(self, error: StoreFenced) -> None:
        if self._on_lost is not None:
            on_lost = self._on_lost
            self._bridge.into_loop(lambda: on_lost(error))

    def _pass_on(self, message: Assign) -> Awaitable[None] | None:
        return self._send(message) if self.lost is None else None

    def _post(self, message: Assign) -> None:
        if not self._carrier.post(message):
            self._keeper.end()  # nobody is there any more to be told anything

    def _note(self, events: Sequence[Event]) -> None:
        with self._taking:
            nothing_waits = not self._events
            self._events.extend(events)
        if nothing_waits and not self._bridge.into_loop(self._tell):
            self._keeper.end()

    def _tell(self) -> None:
        with self._taking:
            events = tuple(self._events)
            self._events.clear()
        assert self._on_events is not None
        try:
            self._on_events(events)
        except Exception:  # noqa: BLE001  observers are the application's
            _log.exception("an observer of events raised")

    async def _aside(self, call: Callable[[], _T]) -> _T:
        self._driver.refuse_own_thread("ask its cluster")
        if self._driver.closed:
            raise self._driver._gone()
        return await self._bridge.aside(call)

    async def _wait(
        self,
        subscribe: Callable[[Callable[[], None]], Callable[[], None]],
        over: Callable[[], bool],
    ) -> None:
        """Look whether something is over, again each time something of it changed."""
        changed, ends = asyncio.Event(), list[Callable[[], None]]()
        rings = False

        def wake() -> None:
            nonlocal rings
            if not rings:  # once is enough, however much happens before the loop comes round
                rings = True
                self._bridge.into_loop(ring)

        def ring() -> None:
            nonlocal rings
            rings = False
            changed.set()

        def begin() -> None:
            ends.append(subscribe(wake))

        def end() -> None:
            for each in ends:
                each()

        try:
            await self._aside(begin)
            while not await self._aside(over):
                await changed.wait()
                changed.clear()
        finally:
            self._bridge.afterwards(end)
