"""A small pool of daemon threads.

The standard library's executor waits at interpreter exit for calls that hang, and an engine can hang:
a guest in somebody else's program must not keep it from ending.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable

__all__ = ["DaemonPool"]

_log = logging.getLogger("minorch.drivers")


class DaemonPool:
    """Runs calls in up to *threads* daemon threads, started when there is work for them.

    A fork has none of the threads, and the lock may have been held when it was made: there it takes nothing.

    Args:
        threads: how many calls may run at the same time.
        name: what its threads are called.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._load = 0
        """How many calls wait or run."""
        self._closed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Have *call* run soon; after :meth:`close`, and in a fork, it is dropped. It must not raise."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._closed:
                return
            self._calls.put(call)
            self._load += 1
            if len(self._threads) < min(self._load, self._most):
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            try:
                call()
            except BaseException:  # noqa: BLE001  one call must not end the pool; exit() ends its caller
                _log.exception("a call in %s raised; this is a bug in minorch", self._name)
            finally:
                with self._lock:
                    self._load -= 1

    def close(self, timeout_s: float) -> bool:
        """Let running calls end and drop waiting ones; False if one still ran after *timeout_s* seconds."""
        if os.getpid() != self._pid:
            return True
        with self._lock:
            if not self._closed:
                self._closed = True
                with contextlib.suppress(queue.Empty):
                    while True:  # never a get() that waits: a thread may be faster than us
                        self._calls.get_nowait()
                for _ in self._threads:
                    self._calls.put(None)
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout_s / len(threads))
        return not any(thread.is_alive() for thread in threads)
