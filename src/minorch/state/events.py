"""The event log: what happened, in order, with numbers that have no gaps and are never used twice."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from minorch.errors import StoreCorrupt
from minorch.states import Reason

__all__ = ["Event", "EventLog"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that happened and was made durable."""

    number: int
    """From 1, one higher each time, also across restarts."""
    at: float
    """Seconds since 1970, by the manager's clock."""
    kind: str
    """What happened, in the past tense: ``task_running``, ``node_lost``."""
    job: str = ""
    """The job's name."""
    task: str = ""
    """The instance's name."""
    task_id: str = ""
    attempt: int = 0
    node: str = ""
    detail: str = ""
    """More in words; never a secret."""
    reason: Reason | None = None
    """For the end of a task: why it is over."""

    def __str__(self) -> str:
        subject = "/".join(part for part in (self.job, self.task) if part)
        where = f"on {self.node}" if self.node else ""
        words = (f"#{self.number}", self.kind.replace("_", " "), subject, where)
        return " ".join(word for word in words if word) + (f": {self.detail}" if self.detail else "")


_DECODER: Final = msgspec.json.Decoder(tuple[Event, ...])
_ENCODER: Final = msgspec.json.Encoder()
_MOST_IN_ROW: Final = 1000
"""A turn may have a hundred thousand events, and a row that is dropped should be no large part of them."""


class EventLog:
    """The latest events, and how they are kept: a row holds the events of one turn, or a part of them.

    Args:
        most: how many events are remembered; older ones are dropped, row by row, but never those of
            the latest turn.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._events: deque[Event] = deque()
        self._rows: deque[tuple[str, int]] = deque()
        """Key and length of each row that is kept, oldest first."""
        self.fresh: list[Event] = []
        """Those of this turn, not written yet."""

    def add(self, event: Event) -> None:
        """Note one more event; its number must be the next one."""
        self._events.append(event)
        self.fresh.append(event)

    def since(self, number: int) -> tuple[Event, ...]:
        """Every remembered event after *number*, oldest first."""
        if not self._events:
            return ()
        skip = max(0, number + 1 - self._events[0].number)
        return tuple(itertools.islice(self._events, skip, None))

    def write(self, *, durable: bool = True) -> tuple[Iterable[tuple[str, bytes | None]], tuple[Event, ...]]:
        """Return the rows that this turn writes and drops, and the turn's events.

        Args:
            durable: whether there are to be rows; it is always the same.
        """
        if not self.fresh:
            return (), ()
        events = tuple(self.fresh)
        self.fresh.clear()
        if not durable:
            for _ in range(len(self._events) - max(self._most, len(events))):
                self._events.popleft()
            return (), events
        rows: list[tuple[str, bytes | None]] = []
        for first in range(0, len(events), _MOST_IN_ROW):
            part = events[first : first + _MOST_IN_ROW]
            key = f"{part[0].number:020d}"
            rows.append((key, _ENCODER.encode(part)))
            self._rows.append((key, len(part)))
        most = max(self._most, len(events))
        while len(self._events) - self._rows[0][1] >= most:
            dropped, length = self._rows.popleft()
            for _ in range(length):
                self._events.popleft()
            rows.append((dropped, None))
        return rows, events

    def read(self, key: str, value: bytes) -> None:
        """Take in a row that :meth:`write` gave, in the order of the keys.

        Raises:
            StoreCorrupt: it is damaged.
        """
        try:
            events = _DECODER.decode(value)
        except msgspec.MsgspecError:
            raise StoreCorrupt(f"row {key[:70]!r} of table event in the store is damaged") from None
        self._events.extend(events)
        self._rows.append((key, len(events)))
