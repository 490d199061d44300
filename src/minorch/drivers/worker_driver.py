"""The loop around one worker: messages and facts in, a report and actions out. One thread."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable
from typing import Final

from minorch.contracts import Watch
from minorch.drivers.clock import SteadyClock, new_id
from minorch.drivers.hands import RuntimeHands, read_status
from minorch.errors import MessageError, MinorchError, UsageError
from minorch.messages import Assign, Report
from minorch.model import Node
from minorch.worker import Fact, Missed, Progressed, Seen, Unreachable, Worker, WorkerConfig

__all__ = ["WorkerDriver"]

_log = logging.getLogger("minorch.drivers")
_LONGEST_WAIT_S: Final = 3600.0
_LONGEST_RETRY_S: Final = 30.0
_MOST_WAITING: Final = 10_000
"""When so many messages and facts wait, more of those that can be had again are left out."""
_FIRST_REPORT_S: Final = 1.0
"""How long a start waits at most for a transport that hangs."""


class WorkerDriver:
    """Runs a worker in a thread of its own, from :meth:`start` to :meth:`close`.

    Args:
        node: what the worker's machine offers.
        hands: the runtime, and the threads that call it.
        cluster_id: the cluster it belongs to.
        send: called in the worker's thread with each report; it may lose any of them.
        config: waits and bounds.
        clock: seconds since 1970, never going back.
    """

    def __init__(
        self,
        node: Node,
        hands: RuntimeHands,
        *,
        cluster_id: str,
        send: Callable[[Report], None],
        config: WorkerConfig | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock or SteadyClock()
        self._hands = hands
        self._send = send
        self._worker = Worker(
            node,
            cluster_id=cluster_id,
            incarnation=new_id(),
            random=random.Random(),
            now=self._clock(),
            config=config,
        )
        self._inbox: queue.SimpleQueue[Assign | Fact | Node | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=f"minorch-worker-{node.name}", daemon=True)
        self._watch: Watch | None = None
        self._watch_retry_s = (config or WorkerConfig()).retry_s
        self._watch_at = 0.0
        """When to try to watch the runtime, if that is not done."""
        self._overrun = False
        """Whether a notice of the runtime was left out, so that its runs have to be listed."""
        self._idle = threading.Event()
        self._door = threading.Lock()
        """Held to put an order into the inbox, and to say that nothing is left to do."""
        self._spoke = threading.Event()

    @property
    def node(self) -> Node:
        """What the worker's machine offers."""
        return self._worker.node

    def start(self) -> None:
        """Begin; the first report is sent when this returns, so workers join in the order of their start."""
        self._thread.start()
        self._spoke.wait(_FIRST_REPORT_S)

    def receive(self, assign: Assign) -> None:
        """Hand the worker a message, from any thread. It is lost if far too many wait already.

        What is no order is dropped: anybody may send a manager's line anything.
        """
        given: object = assign
        if not isinstance(given, Assign):
            _log.warning("a worker was sent a %s, which is no order; dropped", type(assign).__name__)
            return
        if self._is_full():
            return
        with self._door:
            self._idle.clear()
            self._inbox.put(assign)

    def describe(self, node: Node) -> None:
        """Have it told that the machine offers something else than was known, from any thread.

        Raises:
            UsageError: it is another node, by its name.
        """
        if node.name != self.node.name:
            raise UsageError(f'worker "{self.node.name}" cannot become node "{node.name}"')
        self._inbox.put(node)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing of any task is left at the worker; False if something is after *timeout_s*."""
        return self._idle.wait(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread; what runs goes on. Closing twice is fine."""
        self._inbox.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    # -- the loop -----------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            self._work()
        except BaseException:  # noqa: BLE001  its node is lost then, and nobody would know why
            _log.exception("worker %s stopped because of a bug in minorch", self.node.name)
        finally:
            if self._watch is not None:
                self._watch.close()

    def _work(self) -> None:
        deadline = self._clock()
        while True:
            if self._watch is None:
                deadline = min(deadline, self._try_to_watch())
            try:
                wait_s = min(_LONGEST_WAIT_S, max(0.0, deadline - self._clock()))
                for _ in range(_MOST_WAITING):  # and no more, or a flood would leave no time to act
                    item = self._inbox.get(timeout=wait_s)
                    if item is None:
                        return
                    self._take(item)
                    wait_s = 0.0
            except queue.Empty:
                pass
            if self._overrun:
                self._overrun = False
                self._worker.observe(Missed(), self._clock())
            step = self._worker.settle(self._clock())
            deadline = step.deadline
            for action in step.actions:
                self._hands.do(action, self._worker.owner, self._answer)
            if step.report is not None:
                self._pass_on(step.report)
                self._spoke.set()
            with self._door:
                if not self._worker.idle:
                    self._idle.clear()
                elif self._inbox.empty():  # or what waits there may be an order
                    self._idle.set()

    def _is_full(self) -> bool:
        """Whether so much waits that what can be had again, or matters little, is left out."""
        return self._inbox.qsize() >= _MOST_WAITING

    def _answer(self, fact: Fact) -> None:
        """Take what came of an action. There are no more of those than actions, but of words there may be."""
        if not (isinstance(fact, Progressed) and self._is_full()):
            self._inbox.put(fact)

    def _take(self, item: Assign | Fact | Node) -> None:
        now = self._clock()
        if isinstance(item, Assign):
            try:
                self._worker.receive(item, now)
            except MessageError as error:
                _log.warning("worker %s refused a message: %s", self.node.name, error)
        elif isinstance(item, Node):
            self._worker.describe(item, now)
        else:
            self._worker.observe(item, now)

    def _pass_on(self, report: Report) -> None:
        try:
            self._send(report)
        except BaseException as error:  # noqa: BLE001  the transport is the application's; reports may be lost
            _log.warning("worker %s could not send a report: %s", self.node.name, error)

    def _try_to_watch(self) -> float:
        """Subscribe to the runtime's notices if it is time to; return when to try again."""
        now = self._clock()
        if now < self._watch_at:
            return self._watch_at
        try:
            self._watch = self._hands.runtime.watch(self._worker.owner, self._notice)
            return now
        except MinorchError as error:
            words = str(error)
        except BaseException as error:  # noqa: BLE001  a runtime may be anybody's
            _log.exception("runtime %s cannot be watched", self._hands.runtime.name)
            words = f"runtime {self._hands.runtime.name} raised {type(error).__name__}"
        self._inbox.put(Unreachable(message=words))
        self._watch_at = now + self._watch_retry_s
        self._watch_retry_s = min(_LONGEST_RETRY_S, 2 * self._watch_retry_s)
        return self._watch_at

    def _notice(self, status: object) -> None:
        if self._is_full():
            self._overrun = True
        elif status is None:
            self._inbox.put(Missed())
        else:
            try:
                self._inbox.put(Seen(status=read_status(status)))
            except TypeError as error:
                name = self._hands.runtime.name
                _log.warning("runtime %s told of %.80r, which is no RunStatus: %s", name, status, error)
