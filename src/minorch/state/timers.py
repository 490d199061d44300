"""What is due when, for state machines that own no clock."""

from __future__ import annotations

import heapq

__all__ = ["Timers"]


class Timers:
    """A queue by time. An entry that is out of date does no harm: whoever takes it looks again."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, str]] = []
        self._count = 0
        self._dropped: set[tuple[str, str]] = set()

    def add(self, at: float, kind: str, subject: str = "") -> None:
        """Have (*kind*, *subject*) come due at *at*, in the order of adding where times are equal."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, kind, subject))

    def due(self, now: float) -> tuple[str, str] | None:
        """Take out the next (kind, subject) that is due; None: nothing is."""
        at = self.next()
        if at is None or at > now:
            return None
        _, _, kind, subject = heapq.heappop(self._heap)
        return kind, subject

    def drop(self, kind: str, subject: str) -> None:
        """Have an entry that was added never come due. It may be added again once it would have been."""
        self._dropped.add((kind, subject))
        if 2 * len(self._dropped) > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2:] not in self._dropped]
            heapq.heapify(self._heap)
            self._dropped.clear()

    def next(self) -> float | None:
        """When the next one comes due; None: there is none."""
        while self._dropped and self._heap and self._heap[0][2:] in self._dropped:
            self._dropped.discard(heapq.heappop(self._heap)[2:])
        return self._heap[0][0] if self._heap else None
