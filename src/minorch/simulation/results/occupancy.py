"""What each node has left at a moment, and whether a task would fit there: amounts as single integers.

Each resource has a field of its own in an integer, and one more counts tasks, so that to take a task off what
is free is one subtraction and to see whether it fits is one comparison, whatever the number of resources.
That is what lets millions of runs be played through in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from minorch.resources import Resources
from minorch.simulation.results.usage import Timeline, amount_of

__all__ = ["Occupancy", "Packing"]

_FIELD: Final = 96
"""Bits of a field: amounts are 2**60 at the most, so a billion tasks do not overflow it."""


class Packing:
    """How amounts of some resources, and a number of tasks, are put into one integer and taken out again.

    Args:
        resources: their names; others are left out.
    """

    def __init__(self, resources: Sequence[str]) -> None:
        self.resources = list(resources)
        self._shifts = [_FIELD * at for at in range(len(self.resources) + 1)]
        self._guards = sum(1 << (shift + _FIELD - 1) for shift in self._shifts)
        """The highest bit of each field; it is lent when one amount is taken off a smaller one."""

    def pack(self, amount: Resources, tasks: int = 1) -> int:
        """An amount, and so many tasks, as one integer."""
        amounts = [*(amount_of(amount, name) for name in self.resources), tasks]
        return sum(each << shift for each, shift in zip(amounts, self._shifts, strict=True))

    def unpack(self, packed: int) -> list[int]:
        """The amounts in it, in the order of the resources, and then the tasks; none may be negative."""
        return [packed >> shift & (1 << _FIELD) - 1 for shift in self._shifts]

    def fits(self, wanted: int, free: int) -> bool:
        """Whether no amount in *wanted* is more than that in *free*, of which none may be negative."""
        return (free + self._guards - wanted) & self._guards == self._guards

    def covered(self, packed: int) -> bool:
        """Whether no amount in it is negative."""
        return (packed + self._guards) & self._guards == self._guards

    def signed(self, packed: int) -> list[int]:
        """As :meth:`unpack`, of amounts that may be negative."""
        return [each - (1 << _FIELD - 1) for each in self.unpack(packed + self._guards)]

    def at_least_none(self, packed: int) -> int:
        """The same with 0 for what is negative: a node that holds more than it has, has none left."""
        if self.covered(packed):
            return packed
        amounts = zip(self.signed(packed), self._shifts, strict=True)
        return sum(max(0, amount) << shift for amount, shift in amounts)


class Occupancy:
    """Plays all runs through, and knows what is free on each node at the moment that it has come to.

    Args:
        timeline: the runs.
    """

    def __init__(self, timeline: Timeline) -> None:
        ledger = timeline.ledger
        self.packing = Packing(timeline.resources)
        self.free = [self.packing.pack(node.capacity, node.max_tasks) for node in ledger.nodes]
        """By node, what is free of it, packed."""
        self._timeline = timeline
        self._shapes = [self.packing.pack(shape) for shape in ledger.shapes]
        self._at = 0

    def play(self, until_s: float) -> Iterator[int]:
        """Let everything happen up to a moment, that included; gives each run that begins, once it has."""
        ledger, times_s = self._timeline.ledger, self._timeline.times_s
        events, shapes, free = self._timeline.events, self._shapes, self.free
        task_of, node_of, requested = ledger.run_task, ledger.run_node, ledger.requested
        while self._at < len(events) and times_s[self._at] <= until_s:
            event = events[self._at]
            self._at += 1
            if event < 0:
                free[node_of[~event]] += shapes[requested[task_of[~event]]]
            else:
                free[node_of[event]] -= shapes[requested[task_of[event]]]
                yield event

    def advance(self, until_s: float) -> None:
        """Let everything happen up to a moment, that included."""
        for _ in self.play(until_s):
            pass
