"""What is due when, for state machines that own no clock."""

from __future__ import annotations

import heapq

__all__ = ["Timers"]


class Timers:
    """A queue by time. An entry that is out of date does no harm: whoever takes it looks again."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, str]] = []
        self._count = 0

    def add(self, at: float, kind: str, subject: str = "") -> None:
        """Have (*kind*, *subject*) come due at *at*, in the order of adding where times are equal."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, kind, subject))

    def due(self, now: float) -> tuple[str, str] | None:
        """Take out the next (kind, subject) that is due; None: nothing is."""
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, kind, subject = heapq.heappop(self._heap)
        return kind, subject

    def next(self) -> float | None:
        """When the next one comes due; None: there is none."""
        return self._heap[0][0] if self._heap else None
