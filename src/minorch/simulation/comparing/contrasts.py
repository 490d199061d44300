"""Pairs of schedulers: by how much they differ in one measure, and whether that is more than chance.

Runs with the same seed are pairs: they have the same workload and meet the same faults, so that what is hard
for one scheduler is for the other, and falls out of the difference.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from minorch.simulation.comparing.intervals import (
    CONFIDENCE,
    Interval,
    constant,
    holm,
    mean_interval,
    paired_p,
)

__all__ = ["Difference", "Verdict", "differences_of", "finite"]

_SIGNIFICANT: Final = 1 - CONFIDENCE


class Verdict(enum.StrEnum):
    """What is to be made of the difference between two schedulers."""

    BETTER = "better"
    WORSE = "worse"
    NOT_SIGNIFICANT = "not significant"
    """These seeds do not show whether there is a difference. There may be one."""
    SAME = "the same in every run"
    CONSTANT = "the same difference in every run"
    """Nothing was left to chance, so there is nothing to be sure or unsure about."""
    UNTESTED = "not tested"
    """There were fewer than two pairs of runs."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """By how much a scheduler differs from the baseline, from run to run with the same seed."""

    baseline: str
    interval: Interval
    """Of the differences, scheduler less baseline; by itself, whatever else is compared."""
    p: float
    """How likely such a difference is by chance, corrected for all of the same measure (Holm)."""
    verdict: Verdict


def differences_of(
    values: Mapping[str, Sequence[float]],
    *,
    better: Literal["lower", "higher"],
    baseline: str | None,
    best: str,
) -> dict[str, Difference]:
    """By scheduler, how it differs from the baseline in one measure.

    A baseline that was chosen because it came out best is one that was compared with all others before it
    was chosen, and so were they with each other: all pairs are tested then, not only those that are shown.

    Args:
        values: by scheduler, the figure for each seed; not a number: there is none.
        better: what is better.
        baseline: with which the others are compared, if it was named beforehand.
        best: with which they are, if none was.
    """
    if baseline is not None:
        pairs = [(name, baseline) for name in values if name != baseline]
    else:
        baseline = best
        pairs = list(itertools.combinations(values, 2))
    p_values = {pair: _p_of(values[pair[0]], values[pair[1]]) for pair in pairs}
    tested = [pair for pair in pairs if not math.isnan(p_values[pair])]
    corrected = dict(zip(tested, holm([p_values[pair] for pair in tested]), strict=True))
    found = {}
    for pair in pairs:
        if baseline in pair:
            name = pair[0] if pair[1] == baseline else pair[1]
            p = corrected.get(pair, math.nan)
            found[name] = _difference(better, values[name], values[baseline], baseline, p)
    return found


def finite(values: Sequence[float]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if math.isfinite(value)]


def _pairs(values: Sequence[float], others: Sequence[float]) -> tuple[list[float], float]:
    """The differences where there are both, and how large the figures are."""
    both = [pair for pair in zip(values, others, strict=True) if all(map(math.isfinite, pair))]
    scale = max((abs(value) for pair in both for value in pair), default=0.0)
    return [value - other for value, other in both], scale


def _p_of(values: Sequence[float], others: Sequence[float]) -> float:
    differences, scale = _pairs(values, others)
    return math.nan if constant(differences, scale) else paired_p(differences)


def _difference(
    better: Literal["lower", "higher"],
    values: Sequence[float],
    others: Sequence[float],
    baseline: str,
    p: float,
) -> Difference:
    differences, scale = _pairs(values, others)
    interval = mean_interval(differences)
    if len(differences) < 2:
        verdict = Verdict.UNTESTED
    elif constant(differences, scale):
        verdict = Verdict.SAME if constant([interval.mean, 0.0], scale) else Verdict.CONSTANT
    elif p >= _SIGNIFICANT:
        verdict = Verdict.NOT_SIGNIFICANT
    else:
        verdict = Verdict.BETTER if (interval.mean < 0) == (better == "lower") else Verdict.WORSE
    return Difference(baseline=baseline, interval=interval, p=p, verdict=verdict)
