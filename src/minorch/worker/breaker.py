"""Whether an engine is asked to start anything: one that answers questions may yet hang over starts. Pure.

A circuit breaker: a start that is not answered opens it for a while that doubles, then one start at a time is
let through, and the first that is answered closes it.
"""

from __future__ import annotations

import math

__all__ = ["Breaker"]


class Breaker:
    """How an engine has lately done with starts.

    Args:
        least_s: how long it is left alone after a start that it did not answer, in seconds.
        most_s: how long at most, after many in a row.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._wait_s = 0.0
        self.open_until = -math.inf
        """Nothing is to be started before that."""

    @property
    def doubtful(self) -> bool:
        """Whether the latest start was not answered."""
        return self._wait_s > 0

    def answered(self) -> None:
        """A start was answered, whatever the answer."""
        self._wait_s = 0.0
        self.open_until = -math.inf

    def unanswered(self, now: float) -> bool:
        """A start was not answered; whether it opens for that. Several that were under way count as one."""
        if now < self.open_until:
            return False
        self._wait_s = min(self._most_s, max(self._least_s, 2 * self._wait_s))
        self.open_until = now + self._wait_s
        return True

    def lets_through(self, most: int, now: float) -> int:
        """How many may be being started at a time, of at most *most*."""
        if now < self.open_until:
            return 0
        return 1 if self.doubtful else most
