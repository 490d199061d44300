"""A subscription to looks at a Swarm: a thread that compares each with the one before, until it is closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from minorch.errors import RuntimeFault
from minorch.runtimes.swarm.polling import Closed, Poll
from minorch.runtimes.swarm.snapshot import Snapshot

__all__ = ["Listener"]

logger: Final = logging.getLogger("minorch.runtimes.swarm")
_TICK_S: Final = 1.0
_T = TypeVar("_T")


class Listener(Generic[_T]):
    """Looks are taken as long as it is not closed. What is told never overlaps.

    Args:
        poll: who looks.
        notify: told of what :meth:`follow` finds.
        name: what the thread is called.
    """

    def __init__(self, poll: Poll, notify: Callable[[_T], None], name: str) -> None:
        self._poll = poll
        self._notify = notify
        self._closed = threading.Event()
        poll.watched()
        self._thread = threading.Thread(target=self.follow, name=name, daemon=True)
        self._thread.start()

    def follow(self) -> None:
        """Go through :meth:`looks`, and :meth:`tell` what they show."""
        raise NotImplementedError

    def looks(self) -> Iterator[tuple[Snapshot, RuntimeFault | None]]:
        """Yield each new look, with why there was none since, until it is closed."""
        number = -1
        while not self._closed.is_set():
            before = number
            try:
                number, snapshot, error = self._poll.wait_round(number, _TICK_S)
            except Closed:
                return
            if number != before and snapshot is not None and not self._closed.is_set():
                yield snapshot, error

    def tell(self, what: _T) -> None:
        """Have the callback told; what it raises is its own fault, and ends nothing."""
        if self._closed.is_set():
            return
        try:
            self._notify(what)
        except Exception:
            logger.exception("the callback of a watch failed")

    def close(self) -> None:
        """End it and its thread. Closing twice is fine, and so is closing from within the callback."""
        if not self._closed.is_set():
            self._closed.set()
            self._poll.unwatched()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)
