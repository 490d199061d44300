"""The way between threads and an event loop: calls into the loop, and calls that block, out of it.

Whatever goes into the loop is bounded by who puts it there; and a loop that is closed takes nothing, which is
told and never raised, for there is nobody left whose fault it could be.
"""

from __future__ import annotations

import asyncio
import threading
import typing
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from minorch.drivers.pool import DaemonPool
from minorch.errors import ClusterClosed, UsageError

__all__ = ["Bridge", "uncancelled"]

_T = TypeVar("_T")
_MOST_WAITING: Final = 1_000
"""How many calls that block may wait for each other."""


class Bridge:
    """Between one event loop and threads.

    Args:
        name: what the thread for calls that block is called. It is started when there is one, and they wait
            for each other.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool = DaemonPool(1, name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[Future[typing.Any], asyncio.Future[typing.Any]] = {}
        """Calls that were not made yet, and those who wait for what comes of them."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that :meth:`open` was called on.

        Raises:
            UsageError: it was not called.
        """
        if self._loop is None:
            raise UsageError('it was not started: write "async with", or await start()')
        return self._loop

    @property
    def closed(self) -> bool:
        """Whether there is no loop to call into: it is closed, or there never was one."""
        return self._loop is None or self._loop.is_closed()

    def open(self) -> None:
        """Take the loop that runs now for the one to call into.

        Raises:
            UsageError: it was called before.
        """
        if self._loop is not None:
            raise UsageError("it can be started once; make another one")
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Refuse to be used from anywhere but the loop, before anything is begun.

        Raises:
            UsageError: this is not the loop that it was started on, or it was not started.
        """
        if asyncio.get_running_loop() is not self.loop:
            raise UsageError("it belongs to the event loop that it was started on; await it there")

    def into_loop(self, call: Callable[[], object]) -> bool:
        """Have *call* called on the loop, from any thread; False: it is closed and calls nothing more."""
        try:
            self.loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def answer_of(self, future: Future[_T]) -> asyncio.Future[_T]:
        """What a thread will answer, to be awaited. Who no longer wants to know cancels this one alone."""
        answer: asyncio.Future[_T] = self.loop.create_future()
        future.add_done_callback(lambda done: self.into_loop(lambda: _settle(answer, done)))
        return answer

    async def aside(self, call: Callable[[], _T]) -> _T:
        """Have *call*, which may block, called in a thread, and return what it returns.

        It is called also if who waits for it is cancelled meanwhile.

        Raises:
            UsageError: far too many wait already.
        """
        self.check()
        if len(self._waiting) >= _MOST_WAITING:
            raise UsageError(f"{_MOST_WAITING:,} questions wait already; ask fewer, or wait for answers")
        done: Future[_T] = Future()
        answer = self.answer_of(done)
        self._waiting[done] = answer  # until it was called, also if nobody waits for it any more
        done.add_done_callback(lambda _: self.into_loop(lambda: self._waiting.pop(done, None)))
        self._pool.submit(lambda: _run(call, done))
        return await answer

    def afterwards(self, call: Callable[[], None]) -> None:
        """Have *call* called in that thread after all that waits there, and do not wait for it."""
        self._pool.submit(call)

    async def apart(self, call: Callable[[], None]) -> None:
        """Have *call* called in a thread of its own, which waits for nothing else, and wait for it.

        The wait cannot be cancelled: *call* has a bound of its own.
        """
        done: Future[None] = Future()
        threading.Thread(target=_run, args=(call, done), name=f"{self._name}-end", daemon=True).start()
        await uncancelled(self.answer_of(done))

    def close(self) -> None:
        """Let the thread end, and tell those who wait for it that it did. What it does now goes on."""
        self._pool.close(0.0)
        if self.closed:
            return  # and those who waited are gone
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(ClusterClosed("the cluster is closed"))


async def uncancelled(future: asyncio.Future[None]) -> None:
    """Wait for something that has a bound, and only then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _run(call: Callable[[], _T], done: Future[_T]) -> None:
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001  the caller's own; it is told
        done.set_exception(error)


def _settle(answer: asyncio.Future[_T], done: Future[_T]) -> None:
    """Hand over what came of a call, unless nobody waits for it any more."""
    if answer.done():
        return
    error = done.exception()
    if error is None:
        answer.set_result(done.result())
    else:
        answer.set_exception(error)
