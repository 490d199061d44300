"""When arrivals come: processes that give times in ascending order, in seconds after the beginning.

Each is a frozen record, called with the randomness that it draws from, and without an end.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from math import cos, inf
from random import Random
from typing import Final, TypeAlias

import msgspec

from minorch.errors import UsageError, brief
from minorch.simulation.workloads.distributions import Distribution

__all__ = [
    "BurstTimes",
    "EvenTimes",
    "PoissonTimes",
    "Sinusoid",
    "ThinnedTimes",
    "Times",
    "above_zero",
]

Times: TypeAlias = Callable[[Random], Iterator[float]]

_MOST_IN_BURST: Final = 1_000_000


def above_zero(value: object, what: str) -> float:
    """A number above 0.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise UsageError(f"{what}={brief(value)}: it has to be a number above 0")
    return float(value)


class PoissonTimes(msgspec.Struct, frozen=True):
    """At a steady rate."""

    rate_per_s: float

    def __call__(self, random: Random) -> Iterator[float]:
        """Give the times."""
        at_s, rate = 0.0, self.rate_per_s
        while True:
            at_s += random.expovariate(rate)
            yield at_s


class Sinusoid(msgspec.Struct, frozen=True):
    """A rate that goes up and down."""

    mean_per_s: float
    swing: float
    radians_per_s: float
    peak_at_s: float

    def __call__(self, at_s: float) -> float:
        """The rate at a time."""
        return self.mean_per_s * (1.0 + self.swing * cos((at_s - self.peak_at_s) * self.radians_per_s))


class ThinnedTimes(msgspec.Struct, frozen=True):
    """At a rate that changes: candidates come at the highest rate, and each stays with its share of it."""

    rate_per_s: Callable[[float], float]
    most_per_s: float

    def __call__(self, random: Random) -> Iterator[float]:
        """Give the times.

        Raises:
            UsageError: the rate is negative, or higher than it was said to be.
        """
        at_s, most = 0.0, self.most_per_s
        while True:
            at_s += random.expovariate(most)
            if at_s == inf:
                return  # the rate has long been 0
            rate = self.rate_per_s(at_s)
            if not 0 <= rate <= most * (1 + 1e-9):
                raise UsageError(
                    f"at {at_s:g} s the rate is {brief(rate)}; it is from 0 to most_per_s={most:g}"
                )
            if random.random() * most < rate:
                yield at_s


class BurstTimes(msgspec.Struct, frozen=True):
    """In bursts, which may overlap."""

    every_s: float
    size: Distribution | int
    within_s: float

    def __call__(self, random: Random) -> Iterator[float]:
        """Give the times."""
        began_s, rate = 0.0, 1.0 / self.every_s
        due: list[float] = []
        while True:
            began_s += random.expovariate(rate)
            while due and due[0] <= began_s:
                yield heapq.heappop(due)
            drawn = self.size(random) if callable(self.size) else self.size
            for _ in range(min(_MOST_IN_BURST, max(1, round(drawn)))):
                heapq.heappush(due, began_s + random.random() * self.within_s)


class EvenTimes(msgspec.Struct, frozen=True):
    """At even distances, the first one at the beginning."""

    every_s: float

    def __call__(self, random: Random) -> Iterator[float]:
        """Give the times."""
        number = 0
        while True:
            yield number * self.every_s
            number += 1
