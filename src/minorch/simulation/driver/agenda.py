"""Virtual time: what happens when, one thing after another, as fast as it can be worked out."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

__all__ = ["Agenda", "Clock"]


class Agenda:
    """Everything that is going to happen, in the order of its time; of equal times, in the order of adding.

    Time is in seconds and stands still while something happens.

    >>> agenda = Agenda()
    >>> agenda.after(5.0, lambda: print("five seconds later it is", agenda.now))
    >>> agenda.run_until(10.0)
    five seconds later it is 5.0
    """

    __slots__ = ("_count", "_heap", "_soon", "now", "steps")

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        """The true time; what a process believes is told by its :class:`Clock`."""
        self.steps = 0
        """How many things have happened."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._soon: deque[Callable[[], None]] = deque()
        """What happens now, behind what the heap has for now: that was added before it was now."""
        self._count = 0

    def at(self, time: float, happen: Callable[[], None]) -> None:
        """Have something happen at a time; one that is past means now."""
        if time <= self.now:
            self._soon.append(happen)
            return
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, happen))

    def after(self, delay_s: float, happen: Callable[[], None]) -> None:
        """Have something happen after a while."""
        self.at(self.now + delay_s, happen)

    @property
    def next_at(self) -> float | None:
        """When the next thing happens; None: nothing ever does."""
        return self.now if self._soon else self._heap[0][0] if self._heap else None

    def step(self) -> bool:
        """Let the next thing happen; False: there is none."""
        heap = self._heap
        if self._soon and not (heap and heap[0][0] <= self.now):
            happen = self._soon.popleft()
        elif heap:
            self.now, _, happen = heapq.heappop(heap)
        else:
            return False
        self.steps += 1
        happen()
        return True

    def run_until(self, time: float) -> None:
        """Let everything happen that happens by then; it is *time* afterwards."""
        while self._soon or (self._heap and self._heap[0][0] <= time):
            self.step()
        self.now = max(self.now, time)


class Clock:
    """What one process believes the time to be. It may be ahead or behind, run fast or slow, but never back.

    Args:
        agenda: the true time.
        ahead_s: by how much it is ahead when the true time is 0.
        rate: how many seconds it counts in a true one.
    """

    __slots__ = ("_agenda", "_ahead_s", "_rate")

    def __init__(self, agenda: Agenda, ahead_s: float = 0.0, rate: float = 1.0) -> None:
        self._agenda = agenda
        self._ahead_s = ahead_s
        self._rate = rate

    def __call__(self) -> float:
        """The time that it shows."""
        return self._ahead_s + self._rate * self._agenda.now

    def true_time(self, shown: float) -> float:
        """The true time when it shows *shown*."""
        return (shown - self._ahead_s) / self._rate
