"""The life of a driver beside an event loop: begun once, ended by its owner or by the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from minorch.drivers.aio.bridge import Bridge, uncancelled
from minorch.drivers.aio.carrier import Carrier
from minorch.messages import Assign, Report

__all__ = ["Keeper"]

_PATIENCE_S: Final = 5.0
"""How long the end of a loop, which cancels all that is under way, waits for the last turn."""


class Keeper:
    """Starts a driver's thread, and has it end with the loop at the latest.

    Args:
        bridge: leads to the loop and out of it.
        carrier: sends what the thread has to say.
        close: ends the thread, and waits for that as many seconds as it is told.
    """

    def __init__(
        self, bridge: Bridge, carrier: Carrier[Assign] | Carrier[Report], close: Callable[[float], None]
    ) -> None:
        self._bridge = bridge
        self._carrier = carrier
        self._close = close
        self._patience_s = _PATIENCE_S
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        """Whether it was told to end."""

    async def start(self, begin: Callable[[], None]) -> None:
        """Have the thread begin, by *begin*, which may block and raise."""
        self._bridge.open()
        try:
            await self._begin(begin)
            self._task = asyncio.create_task(self._live())
            await asyncio.sleep(0)  # it has begun to wait: what is cancelled before that does nothing at all
        except BaseException:
            if self._task is not None:
                self._task.cancel()
            self.end()
            raise

    async def _begin(self, begin: Callable[[], None]) -> None:
        beginning = asyncio.ensure_future(self._bridge.aside(begin))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await asyncio.wait([beginning], timeout=_PATIENCE_S)  # as in close()
            if not beginning.cancel():
                beginning.exception()  # which nobody is told any more
            raise

    async def close(self, timeout_s: float) -> None:
        """End it all in order: the last turn, then what is being sent. Who is cancelled meanwhile waits.

        Else they would go on to close a store that is being written.
        """
        if self._task is None:  # it never began
            self.end()
            return
        if not self._asked:
            self._asked = True
            self._patience_s = timeout_s
            self._task.cancel()
        await uncancelled(self._task)

    async def _live(self) -> None:
        try:
            await self._bridge.loop.create_future()
        except asyncio.CancelledError:  # by close(), or by a loop that ends everything
            self._asked = True
            await self._bridge.apart(lambda: self._close(self._patience_s))
            await self._carrier.close(self._patience_s)
        finally:
            self.end()

    def end(self) -> None:
        """Have everything end, and wait for nothing.

        Of a loop that is closed, nothing is touched: then it may be called from the thread that ends.
        """
        self._close(0.0)
        if not self._bridge.closed:
            self._carrier.stop()
        self._bridge.close()
