"""What waits to be sent: one message for each worker, whatever that costs the one before. No I/O.

For transports that are slower than those who speak, or that hold a message until somebody fetches it.  A
queue would grow; to drop all but the latest would lose the orders that the latest builds on, which costs
seconds until the manager notices.  So the new one takes in the one that it builds on, and nothing is lost
but what would make a message too large to be read.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

import msgspec

from minorch.errors import MessageError
from minorch.messages import MAX_MESSAGE_BYTES, Assign, Message, encode

__all__ = ["Outbox", "fold"]

_M = TypeVar("_M", bound=Message)
_A = TypeVar("_A", bound=Assign)


class Outbox(Generic[_M]):
    """Messages that wait, one for each worker at most. May be used from any thread.

    >>> from minorch.drivers import Outbox
    >>> from minorch.messages import Assign
    >>> box = Outbox[Assign]()
    >>> for revision in (1, 2):
    ...     box.put(Assign(cluster_id="c", worker="a", epoch=1, revision=revision, base=revision - 1))
    True
    False
    >>> both = box.take("a")
    >>> both.base, both.revision
    (0, 2)
    >>> box.take("a") is None
    True
    """

    def __init__(self) -> None:
        self._waiting: dict[str, _M] = {}
        self._sizes: dict[str, int] = {}
        """At most so many bytes has what waits for a worker, where it is of more than one message."""
        self._lock = threading.Lock()

    def put(self, message: _M) -> bool:
        """Have a message wait in place of what waits for its worker; whether nothing did."""
        with self._lock:
            older = self._waiting.get(message.worker)
            self._waiting[message.worker] = message if older is None else self._fold(older, message)
            return older is None

    def _fold(self, older: _M, newer: _M) -> _M:
        """Fold two, unless that might be more than a message may have: then the newer one is lost."""
        both = fold(older, newer)
        if both is newer or not isinstance(older, Assign) or not isinstance(newer, Assign):
            self._sizes.pop(newer.worker, None)
            return both
        size = self._sizes.get(newer.worker) or _size(older)
        added = _size(newer)
        if size + added > MAX_MESSAGE_BYTES:
            both, added = _alone(older, newer), 0
        self._sizes[newer.worker] = size + added
        return both

    def take(self, worker: str) -> _M | None:
        """Return what waits for a worker, which then waits no more; None: nothing does."""
        with self._lock:
            self._sizes.pop(worker, None)
            return self._waiting.pop(worker, None)

    def clear(self) -> None:
        """Have nothing wait any more: it is as if it were lost."""
        with self._lock:
            self._waiting.clear()
            self._sizes.clear()


def fold(older: _M, newer: _M) -> _M:
    """Return one message that says what two of one worker say, one after the other.

    A report says all that those before it did, or will be followed by one that does.  An order that changes
    what an order before it made is folded into that.  Where they do not belong together one of them is lost,
    the newer one if it builds on what is not there: a manager tells again what is not confirmed.

    >>> from minorch.drivers.outbox import fold
    >>> from minorch.messages import Assign
    >>> orders = [Assign(cluster_id="c", worker="a", epoch=1, revision=r, base=r - 1) for r in (4, 5)]
    >>> both = fold(*orders)
    >>> both.base, both.revision
    (3, 5)
    """
    if not isinstance(older, Assign) or not isinstance(newer, Assign):
        return newer
    same = (older.cluster_id, older.worker, older.epoch, older.incarnation) == (
        newer.cluster_id,
        newer.worker,
        newer.epoch,
        newer.incarnation,
    )
    if not same or newer.base is None or newer.base < older.revision:
        return newer
    if newer.base > older.revision:
        return _alone(older, newer)
    entries = {(entry.task_id, entry.attempt): entry for entry in (*older.entries, *newer.entries)}
    for released in newer.released:
        entries.pop(released, None)
    told = {*entries, *newer.released}
    return msgspec.structs.replace(
        newer,
        base=older.base,
        entries=tuple(entries.values()),
        released=tuple(dict.fromkeys((*older.released, *newer.released))),
        kept=tuple(one for one in older.kept if one not in told),
    )


def _alone(older: _A, newer: Assign) -> _A:
    """The older of two orders, when the newer one is lost but for what it says of reports."""
    return msgspec.structs.replace(older, heard=newer.heard, lease_s=newer.lease_s)


def _size(message: Message) -> int:
    """How large a message is, in bytes. One that cannot be sent is so large that nothing goes with it."""
    try:
        return len(encode(message))
    except MessageError:
        return MAX_MESSAGE_BYTES
