"""What durations, sizes and choices are drawn from: small callables ``Random -> value``.

Each is a frozen record, so that it can be compared, printed and sent to another process.  Those of numbers
are meant for durations, and their arguments are in seconds; used for something else they have its unit.
Where a number is drawn, any ``Callable[[Random], float]`` will do.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeAlias, TypeVar

import msgspec

from minorch.errors import UsageError, brief
from minorch.resources import Resources

__all__ = [
    "BoundedPareto",
    "Choice",
    "Constant",
    "Demands",
    "Distribution",
    "Exponential",
    "Lognormal",
    "Uniform",
    "between",
    "bounded_pareto",
    "choice",
    "constant",
    "demands",
    "exponential",
    "lognormal",
]

_T = TypeVar("_T")
Distribution: TypeAlias = Callable[[Random], float]
"""Draws a number."""


def _positive(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{what}={brief(value)}: it has to be a number above 0")
    return float(value)


class Constant(msgspec.Struct, frozen=True):
    """Always the same."""

    value: float

    def __call__(self, random: Random) -> float:
        """Draw."""
        return self.value


class Exponential(msgspec.Struct, frozen=True):
    """Without memory: what has lasted long is not nearer to its end."""

    mean_s: float

    def __call__(self, random: Random) -> float:
        """Draw."""
        return random.expovariate(1.0 / self.mean_s)


class Lognormal(msgspec.Struct, frozen=True):
    """Its logarithm is normal: most are short, and some far longer."""

    mean_s: float
    sigma: float

    def __call__(self, random: Random) -> float:
        """Draw."""
        return random.lognormvariate(math.log(self.mean_s) - self.sigma**2 / 2, self.sigma)


class BoundedPareto(msgspec.Struct, frozen=True):
    """Heavy-tailed: few are so long that they make up much of the whole."""

    alpha: float
    low_s: float
    high_s: float

    def __call__(self, random: Random) -> float:
        """Draw, by inversion."""
        share = 1.0 - (self.low_s / self.high_s) ** self.alpha
        drawn = self.low_s * math.pow(1.0 - random.random() * share, -1.0 / self.alpha)
        return min(drawn, self.high_s)


class Uniform(msgspec.Struct, frozen=True):
    """All between two bounds are as likely."""

    low_s: float
    high_s: float

    def __call__(self, random: Random) -> float:
        """Draw."""
        return random.uniform(self.low_s, self.high_s)


class Choice(msgspec.Struct, Generic[_T], frozen=True):
    """One of some values."""

    values: Sequence[_T]
    until: Sequence[float] | None
    """For each the sum of its weight and those before it; None: all are as likely."""

    def __call__(self, random: Random) -> _T:
        """Draw."""
        if self.until is None:
            return self.values[int(random.random() * len(self.values))]
        return self.values[bisect_right(self.until, random.random() * self.until[-1], 0, len(self.until) - 1)]


class Demands(msgspec.Struct, frozen=True):
    """Resources of which each amount is drawn and rounded up, so that few different ones come out."""

    cpu: Distribution
    memory: Distribution
    cpu_step_millis: int
    memory_step: int
    most: Resources

    def __call__(self, random: Random) -> Resources:
        """Draw."""
        cpu_millis = min(self.cpu(random) * 1000, self.most.cpu_millis)
        memory = min(self.memory(random), self.most.memory)
        cpu_steps = max(1, math.ceil(cpu_millis / self.cpu_step_millis))
        memory_steps = max(1, math.ceil(memory / self.memory_step))
        # Rounding up does not lead beyond the most.
        return Resources.of(
            min(cpu_steps * self.cpu_step_millis, self.most.cpu_millis),
            min(memory_steps * self.memory_step, self.most.memory),
            0,
            {},
        )


def constant(value: float) -> Constant:
    """Always *value*.

    Raises:
        UsageError: it is no number from 0; infinite is one.
    """
    given: object = value
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise UsageError(f"{brief(given)} is no number from 0")
    return Constant(float(given))


def exponential(mean_s: float) -> Exponential:
    """Exponential, with a mean in seconds.

    Raises:
        UsageError: the mean is not above 0.
    """
    return Exponential(_positive(mean_s, "mean_s"))


def lognormal(mean_s: float, sigma: float) -> Lognormal:
    """Lognormal: skewed, as run times and file sizes are.

    Args:
        mean_s: the mean of what is drawn, in seconds; half of all are below ``mean_s / exp(sigma**2 / 2)``.
        sigma: the standard deviation of the logarithm: with 1 they spread a little, with 2 widely.

    Raises:
        UsageError: an argument is not above 0, or *sigma* above 10.
    """
    if _positive(sigma, "sigma") > 10:
        raise UsageError(f"sigma={sigma:g} is too much: with 3, the longest are thousands of times the mean")
    return Lognormal(_positive(mean_s, "mean_s"), float(sigma))


def bounded_pareto(alpha: float, low_s: float, high_s: float) -> BoundedPareto:
    """Pareto between two bounds: heavy-tailed (Harchol-Balter and Downey, SIGMETRICS 1996, section 1.3).

    Args:
        alpha: the lower, the heavier the tail; lifetimes of Unix processes have about 1.
        low_s: the shortest, in seconds.
        high_s: the longest, in seconds.

    Raises:
        UsageError: an argument is not above 0, or the longest is not above the shortest.
    """
    if not _positive(low_s, "low_s") < _positive(high_s, "high_s"):
        raise UsageError(f"high_s={high_s:g} has to be above low_s={low_s:g}")
    return BoundedPareto(_positive(alpha, "alpha"), float(low_s), float(high_s))


def between(low_s: float, high_s: float) -> Uniform:
    """Uniform between two bounds, in seconds.

    Raises:
        UsageError: they are not in order, below 0 or infinite.
    """
    if not 0 <= low_s <= high_s < math.inf:
        raise UsageError(f"nothing lies between {brief(low_s)} and {brief(high_s)}; write between(1, 5)")
    return Uniform(float(low_s), float(high_s))


def choice(values: Sequence[_T], weights: Sequence[float] | None = None) -> Choice[_T]:
    """One of some values: resources, tasks, jobs or numbers.

    Args:
        values: which.
        weights: how likely each is, in relation to the others; None: all alike.

    Raises:
        UsageError: there are none, or the weights are not as many, negative, or all 0.

    >>> choice(["small", "large"], weights=[9, 1])(Random(0))
    'small'
    """
    values = tuple(values)
    if not values:
        raise UsageError("there is nothing to choose from")
    if weights is None:
        return Choice(values, None)
    if len(weights) != len(values):
        raise UsageError(f"{len(weights)} weights for {len(values)} values; each has one")
    if not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
        raise UsageError(f"weights={brief(list(weights), 100)}: they are numbers from 0, and one is above 0")
    return Choice(values, tuple(accumulate(map(float, weights))))


def demands(
    *,
    cpu: Distribution | float,
    memory: Distribution | float | str,
    most: Resources,
    cpu_step: float = 0.25,
    memory_step: int | str = "256MiB",
) -> Demands:
    """Resources whose amounts are drawn apart from each other, such as heavy-tailed ones.

    Args:
        cpu: what cores are drawn from, or so many.
        memory: what bytes are drawn from, or so much.
        most: what is drawn beyond it is cut to it, such as what a node has.
        cpu_step: drawn cores are rounded up to a multiple of it. Fewer different sizes go faster.
        memory_step: the same for memory, in bytes or as text.

    Raises:
        UsageError: an argument makes no sense.
    """
    drawn_cpu = cpu if callable(cpu) else constant(Resources(cpu=cpu).cpu)
    drawn_memory = memory if callable(memory) else constant(Resources(memory=memory).memory)
    step = Resources(cpu=cpu_step, memory=memory_step)
    if not step.cpu_millis or not step.memory:
        raise UsageError(f"cpu_step={cpu_step!r}, memory_step={memory_step!r}: a step is above 0")
    if not most.cpu_millis or not most.memory:
        raise UsageError(f"most={most}: give the most cpu and the most memory")
    return Demands(drawn_cpu, drawn_memory, step.cpu_millis, step.memory, most)
