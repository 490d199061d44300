"""The runtime's one thread: it notices what ended, tells who asked to be told, and bounds the logs.

What the end of a run means is decided in :meth:`~minorch.runtimes.process.run.Run.finish`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from minorch.contracts import Owner, RunStatus
from minorch.runtimes.process.exits import Exits
from minorch.runtimes.process.run import Run

__all__ = ["Subscription", "Watcher"]

_log: Final = logging.getLogger(__name__)
_TRIM_S: Final = 1.0
_RETRY_S: Final = 0.1


class Subscription:
    """One caller of ``watch``."""

    def __init__(self, watcher: Watcher, owner: Owner, notify: Callable[[RunStatus | None], None]) -> None:
        self._watcher = watcher
        self.owner = owner
        self.notify = notify
        self.closed = False

    def close(self) -> None:
        """End it. A call that is under way ends by itself. Closing twice is fine."""
        self.closed = True
        self._watcher.unsubscribe(self)


class Watcher:
    """Watches runs from a daemon thread, which begins with the first one."""

    def __init__(self, max_log_bytes: int, on_end: Callable[[Run], None]) -> None:
        self._max_log_bytes = max_log_bytes
        self._on_end = on_end
        self._exits: Exits[Run] = Exits()
        self._runs: set[Run] = set()
        self._lock = threading.Lock()
        self._new: deque[Subscription] = deque()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._thread: threading.Thread | None = None
        self._troubled = False
        self._closed = False

    def add(self, run: Run) -> None:
        """Watch *run* until it ends."""
        with self._lock:
            if not self._closed:
                self._runs.add(run)
                self._exits.add(run)
                self._begin()

    def subscribe(self, owner: Owner, notify: Callable[[RunStatus | None], None]) -> Subscription:
        """Tell *notify* of runs of *owner* that end; None at the beginning."""
        subscription = Subscription(self, owner, notify)
        with self._lock:
            if not self._closed:
                self._new.append(subscription)
                self._begin()
                self._exits.wake()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Tell it nothing more."""
        with self._lock:
            self._subscriptions = tuple(other for other in self._subscriptions if other is not subscription)
        with contextlib.suppress(ValueError):
            self._new.remove(subscription)

    def close(self) -> None:
        """End the thread and look after nothing any longer."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._exits.wake()
            thread = self._thread
        if thread is None:
            self._exits.close()
        elif thread is not threading.current_thread():
            thread.join(10.0)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="minorch-process", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        trimmed = time.monotonic()
        while not self._closed:
            ended = self._exits.wait(_TRIM_S)
            while self._new:
                self._welcome(self._new.popleft())
            self._see_to(ended)
            if time.monotonic() - trimmed >= _TRIM_S:
                self._trim()
                trimmed = time.monotonic()
        with self._lock:  # nobody wakes it any longer: the numbers of its descriptors may be used again
            self._exits.close()

    def _welcome(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription.closed:  # between being taken from the new ones and now
                return
            self._subscriptions += (subscription,)
        self._tell(subscription, None)

    def _see_to(self, ended: Sequence[Run]) -> None:
        """Finish what ended. Where that fails, it is among those that ended the next time too."""
        trouble: Exception | None = None
        for run in ended:
            try:
                self._ended(run)
            except Exception as error:  # noqa: BLE001 - such as no file descriptor left; all depend on this thread
                trouble = error
        if trouble is not None:
            if not self._troubled:
                _log.warning("the end of a run could not be told, it is tried again: %s", trouble)
            time.sleep(_RETRY_S)
        self._troubled = trouble is not None

    def _ended(self, run: Run) -> None:
        status = run.finish(self._exits)
        self._runs.discard(run)
        self._trim_one(run)
        self._on_end(run)
        for subscription in self._subscriptions:
            if subscription.owner == run.owner:
                self._tell(subscription, status)

    def _tell(self, subscription: Subscription, status: RunStatus | None) -> None:
        try:
            subscription.notify(status)
        except Exception:  # noqa: BLE001 - one caller's fault must not end the thread that all depend on
            _log.exception("a watch of the process runtime raised on %r", status)

    def _trim(self) -> None:
        for run in self._runs.copy():
            self._trim_one(run)

    def _trim_one(self, run: Run) -> None:
        try:
            run.output.trim(self._max_log_bytes)
        except OSError as error:  # a full disk must not end the thread; the next look may do better
            _log.warning("the log of %s could not be cut: %s", run.key.name, error)
