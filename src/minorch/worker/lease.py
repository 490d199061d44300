"""Until when a worker may take for granted that its manager counts on it. Pure bookkeeping, no clock.

A manager that has not heard of a worker for ``lease_s`` places its tasks elsewhere.  The worker has to know
before that, so it counts from the moment at which it *sent* what the manager then heard: the manager began
to count later, when that arrived.
"""

from __future__ import annotations

import bisect
import math
from typing import Final

__all__ = ["CLOCK_DRIFT", "Lease"]

CLOCK_DRIFT: Final = 0.05
"""The clocks of a manager and its workers are taken to run at rates that differ by less than this share.
What they show does not matter."""

_MOST_SENT: Final = 1024
"""How many sendings are remembered, spread evenly over the time since the last one that was heard."""


class Lease:
    """When a worker's reports were sent, and until when what was heard of them counts."""

    def __init__(self) -> None:
        self.ends_at = -math.inf
        """By the worker's clock. Before anything was heard it is over; without leases it never is."""
        self._sequences: list[int] = []
        self._times: list[float] = []
        self._apart_s = 0.0
        """How far apart those are that are remembered, beside the latest."""

    def sent(self, sequence: int, now: float) -> None:
        """Note that a report is sent now."""
        if len(self._times) > 1 and now < self._times[-2] + self._apart_s:
            self._sequences.pop()
            self._times.pop()
        self._sequences.append(sequence)
        self._times.append(now)
        if len(self._times) > _MOST_SENT:
            self._apart_s = 2 * (now - self._times[0]) / _MOST_SENT
            del self._sequences[1::2], self._times[1::2]

    def renew(self, heard: int, lease_s: float) -> None:
        """Take note that the manager heard the report *heard*, and waits for the next one so long.

        Args:
            heard: a report's number. Where it was forgotten when that was sent, the one before it counts.
            lease_s: in seconds, by the manager's clock; 0: it gives no leases.
        """
        if lease_s <= 0:
            self.ends_at = math.inf
            return
        at = bisect.bisect_right(self._sequences, heard) - 1
        if at < 0:
            return
        ends_at = self._times[at] + lease_s * (1.0 - CLOCK_DRIFT)
        self.ends_at = ends_at if math.isinf(self.ends_at) else max(self.ends_at, ends_at)
        del self._sequences[:at], self._times[:at]
        self._apart_s = 0.0

    def over(self, now: float) -> bool:
        """Whether the manager may have placed the worker's tasks elsewhere."""
        return now >= self.ends_at
