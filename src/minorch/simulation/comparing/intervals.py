"""How sure a mean is: Student's t, intervals of means, and what to do about many tests at once.

Nothing here knows what the figures are.  Sums are exact (:func:`math.fsum`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from minorch.errors import UsageError

__all__ = [
    "CONFIDENCE",
    "Interval",
    "constant",
    "holm",
    "mean_interval",
    "paired_p",
    "t_quantile",
    "t_within",
    "two_sided",
]

CONFIDENCE: Final = 0.95
_HALVINGS: Final = 200
"""More than a float has bits: the bracket is as small as it can be long before."""
_ROUNDING: Final = 1e-9
"""Figures that differ by less, as a share of what they are about, are the same figure, rounded."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean, and between which bounds the true one lies, with a confidence of 95 %."""

    mean: float
    low: float
    """Not a number, as is *high*: fewer than two values, so nothing is known of how they spread."""
    high: float
    count: int
    """Of how many values."""

    @property
    def spreads(self) -> bool:
        """Whether the bounds say anything: there are two values at least, and they are not all the same."""
        return self.low < self.high


def t_within(t: float, freedom: int) -> float:
    """The probability that a variable with Student's t distribution is within *t* of 0.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4: finite sums in the angle
    ``atan(t / sqrt(freedom))``, all terms of one sign, exact but for rounding (about 1e-15).

    Args:
        t: 0 or more.
        freedom: the degrees of freedom, 1 or more.
    """
    return _within_angle(math.atan(t / math.sqrt(freedom)), freedom)


def _within_angle(angle: float, freedom: int) -> float:
    sine, cosine = math.sin(angle), math.cos(angle)
    if freedom == 1:
        return 2 * angle / math.pi
    terms, term = [], 1.0 if freedom % 2 == 0 else cosine
    for at in range(3 if freedom % 2 else 2, freedom + 1, 2):
        terms.append(term)
        term *= (at - 1) / at * cosine * cosine
        if term < 1e-18:
            break
    if freedom % 2 == 0:
        return min(1.0, sine * math.fsum(terms))
    return min(1.0, 2 / math.pi * (angle + sine * math.fsum(terms)))


def two_sided(t: float, freedom: int) -> float:
    """The probability that a variable with Student's t distribution is further from 0 than *t* is."""
    return 1.0 - t_within(abs(t), freedom)


def t_quantile(probability: float, freedom: int) -> float:
    """The value below which a variable with Student's t distribution is with this probability.

    It is where :func:`t_within` gives twice what lies between it and the middle, found by bisection of the
    angle, which is between 0 and a right one whatever the degrees of freedom.

    Args:
        probability: above 0 and below 1.
        freedom: the degrees of freedom, 1 or more.

    Raises:
        UsageError: an argument is out of its range.

    >>> round(t_quantile(0.975, 9), 3)
    2.262
    """
    if not 0 < probability < 1 or freedom < 1:
        raise UsageError(f"there is no t quantile for {probability!r} with {freedom!r} degrees of freedom")
    wanted = abs(2 * probability - 1)
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _within_angle(middle, freedom) < wanted:
            low = middle
        else:
            high = middle
    return math.copysign(math.sqrt(freedom) * math.tan(low), probability - 0.5)


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of some values and its 95 % confidence interval, by Student's t.

    It is ``mean ± t * s / sqrt(n)``, where *s* is the standard deviation with ``n - 1`` below the line and
    *t* the 97.5 % quantile for ``n - 1`` degrees of freedom: Student, "The Probable Error of a Mean",
    Biometrika 6(1), 1908.  It holds for values that are drawn independently of one another and roughly
    normal; their mean is nearly so much sooner than they are.

    Returns:
        The mean is not a number if there are no values.
    """
    count = len(values)
    mean = math.fsum(values) / count if count else math.nan
    if count < 2:
        return Interval(mean=mean, low=math.nan, high=math.nan, count=count)
    half = t_quantile((1 + CONFIDENCE) / 2, count - 1) * _error(values, mean)
    return Interval(mean=mean, low=mean - half, high=mean + half, count=count)


def paired_p(differences: Sequence[float]) -> float:
    """How likely differences are to be so far from 0 on average, or further, if the true mean is 0.

    The two-sided p-value of Student's t test on differences between pairs; not a number if there are fewer
    than two, or they are all the same, for then there is nothing to go by.
    """
    count = len(differences)
    if count < 2:
        return math.nan
    mean = math.fsum(differences) / count
    error = _error(differences, mean)
    return two_sided(mean / error, count - 1) if error else math.nan


def _error(values: Sequence[float], mean: float) -> float:
    """The standard error of the mean; two values at least."""
    squares = math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1) / len(values))


def constant(values: Sequence[float], scale: float = 0.0) -> bool:
    """Whether all values are the same, but for rounding.

    Args:
        values: the values.
        scale: how large the figures are that they were worked out from, if they are larger than they.
    """
    if not values:
        return True
    reach = max(scale, max(map(abs, values)))
    return max(values) - min(values) <= _ROUNDING * reach


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several tests, so that the least of them is not taken for more than it is.

    The smallest is multiplied by how many there are, the next by one less, and so on; none becomes smaller
    than one before it.  If each that is below 5 % is believed then, the chance to believe anything that is
    not so is 5 % at most, whatever depends on what: Holm, "A Simple Sequentially Rejective Multiple Test
    Procedure", Scandinavian Journal of Statistics 6(2), 1979.

    Args:
        p_values: in any order.

    Returns:
        The corrected ones in the same order, at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = least
    return corrected
