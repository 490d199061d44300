"""Sending on an event loop what a core in a thread has to say, however slow the transport is.

``send`` may be a plain function or a coroutine function.  While one message for a worker is on its way, one
more waits at most: the latest, with what it builds on (see :mod:`minorch.drivers.outbox`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from minorch.drivers.aio.bridge import Bridge
from minorch.drivers.outbox import Outbox
from minorch.messages import Message

__all__ = ["Carrier"]

_M = TypeVar("_M", bound=Message)
_log = logging.getLogger("minorch.drivers")


class Carrier(Generic[_M]):
    """Takes messages from threads and sends them on an event loop.

    Args:
        bridge: leads into the loop.
        send: called on the loop with each message; it may lose any.
        timeout_s: after so long a send that was not done is cancelled, and its message lost.
    """

    def __init__(
        self, bridge: Bridge, send: Callable[[_M], Awaitable[None] | None], timeout_s: float
    ) -> None:
        self._bridge = bridge
        self._send = send
        self._timeout_s = timeout_s
        self._box = Outbox[_M]()
        self._under_way: dict[str, asyncio.Future[None]] = {}
        """By worker."""
        self._closed = False

    def post(self, message: _M) -> bool:
        """Have a message sent, from any thread; False: the loop is closed."""
        if not self._box.put(message):
            return True  # whoever sends what waited for that worker sends this
        return self._bridge.into_loop(lambda: self._pass_on(message.worker))

    def _pass_on(self, worker: str) -> None:
        if worker in self._under_way or self._closed:
            return
        message = self._box.take(worker)
        if message is None:
            return
        try:
            under_way = self._send(message)
        except Exception as error:  # noqa: BLE001  the transport is the application's; messages may be lost
            self._lost(worker, error)
            return
        if not inspect.isawaitable(under_way):
            return
        task = self._under_way[worker] = asyncio.ensure_future(under_way)
        timer = self._bridge.loop.call_later(self._timeout_s, task.cancel)
        task.add_done_callback(partial(self._sent, worker, timer))

    def _sent(self, worker: str, timer: asyncio.TimerHandle, task: asyncio.Future[None]) -> None:
        timer.cancel()
        del self._under_way[worker]
        if task.cancelled():
            if not self._closed:
                self._lost(worker, TimeoutError(f"it took longer than {self._timeout_s:g} s"))
        elif (error := task.exception()) is not None:
            self._lost(worker, error)
        self._pass_on(worker)

    @staticmethod
    def _lost(worker: str, error: BaseException) -> None:
        _log.warning("a message of worker %s, or for it, could not be sent: %s", worker, error)

    async def close(self, timeout_s: float) -> None:
        """Wait for what is being sent, for so long at most; then have nothing more sent."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=timeout_s)
        self.stop()
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=timeout_s)

    def stop(self) -> None:
        """Have nothing more sent; what is on its way is called off."""
        self._closed = True
        self._box.clear()
        for task in self._under_way.values():
            task.cancel()
