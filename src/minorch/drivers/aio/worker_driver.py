"""A worker for an event loop: :class:`~minorch.drivers.WorkerDriver`, carried to the loop and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from minorch.drivers.aio.bridge import Bridge
from minorch.drivers.aio.carrier import Carrier
from minorch.drivers.aio.keeper import Keeper
from minorch.drivers.hands import RuntimeHands
from minorch.drivers.worker_driver import WorkerDriver
from minorch.messages import Assign, Report
from minorch.model import Node
from minorch.worker import WorkerConfig

__all__ = ["AsyncWorkerDriver"]

_LOOK_S: Final = 0.05


class AsyncWorkerDriver:
    """Runs a worker beside an event loop, from :meth:`start` to :meth:`close`, or for an ``async with``.

    The worker has a thread, as with :class:`~minorch.drivers.WorkerDriver`, and the runtime those of its
    *hands*. All methods are called on the loop.

    Args:
        node: what the worker's machine offers.
        hands: the runtime, and the threads that call it. They are closed by who made them.
        cluster_id: the cluster it belongs to.
        send: called on the loop with each report; it may lose any. A function, or a coroutine function: then
            one report is on its way at a time, and one more waits, the latest.
        config: waits and bounds.
        clock: seconds since 1970, never going back; called from several threads.
        send_timeout_s: a send that takes longer is cancelled, and its report lost.
    """

    def __init__(
        self,
        node: Node,
        hands: RuntimeHands,
        *,
        cluster_id: str,
        send: Callable[[Report], Awaitable[None] | None],
        config: WorkerConfig | None = None,
        clock: Callable[[], float] | None = None,
        send_timeout_s: float = 30.0,
    ) -> None:
        self._bridge = Bridge(f"minorch-worker-{node.name}-begin")
        self._carrier = Carrier[Report](self._bridge, send, send_timeout_s)
        self._driver = WorkerDriver(
            node, hands, cluster_id=cluster_id, send=self._post, config=config, clock=clock
        )
        self._keeper = Keeper(self._bridge, self._carrier, self._driver.close)

    @property
    def node(self) -> Node:
        """What the worker's machine offers."""
        return self._driver.node

    async def start(self) -> None:
        """Begin; the first report is handed to ``send`` soon after this returns."""
        await self._keeper.start(self._driver.start)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def receive(self, assign: Assign) -> None:
        """Hand the worker a message. It returns at once, and may be called from any thread.

        It is lost if far too many wait already.
        """
        self._driver.receive(assign)

    def describe(self, node: Node) -> None:
        """Have it told that the machine offers something else than was known; returns at once, in any thread.

        Raises:
            UsageError: it is another node, by its name.
        """
        self._driver.describe(node)

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing of any task is left at the worker; False if something is after *timeout_s*."""
        until = asyncio.get_running_loop().time() + timeout_s
        while not self._driver.wait_idle(0.0):
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(_LOOK_S)  # a thread that waited would outlive who is cancelled
        return True

    async def close(self, timeout_s: float = 5.0) -> None:
        """End it, and what is being sent; what runs goes on. Closing twice is fine.

        Args:
            timeout_s: how long to wait for its thread, and then for the transport.
        """
        await self._keeper.close(timeout_s)

    def _post(self, report: Report) -> None:
        if not self._carrier.post(report):
            self._keeper.end()  # nobody is there any more to be told anything
