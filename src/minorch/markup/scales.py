"""Where the marks of an axis are, and how numbers and times are written there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["Tick", "is_drawable", "number_ticks", "number_words", "time_ticks", "time_words"]

Tick = tuple[float, str]
"""Where a mark is, and what is written there."""

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0
_CENTURY_S: Final = 36_525 * _DAY_S
_UNITS: Final = (
    # from this length on, unit in seconds, its name, steps in units that are looked for before powers of ten
    (3 * _DAY_S, _DAY_S, "d", ()),
    (3 * _HOUR_S, _HOUR_S, "h", (1, 2, 3, 4, 6, 12)),
    (3 * _MINUTE_S, _MINUTE_S, "min", (1, 2, 5, 10, 15, 20, 30)),
    (1.0, 1.0, "s", (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30)),
    (0.0, 1e-3, "ms", ()),
)


def is_drawable(value: float) -> bool:
    """Whether a number can be drawn: it is one, and so far from the largest that sums are numbers too."""
    return abs(value) < 1e300


def number_ticks(high: float, low: float = 0.0, most: int = 5) -> Sequence[Tick]:
    """Round numbers from *low* to *high*, at most so many and one."""
    step = _step(high - low, most, ())
    first = math.ceil(low / step - 1e-9)
    count = min(most + 1, math.floor(high / step + 1e-9) - first + 1)
    return [(at * step, number_words(at * step)) for at in range(first, first + count)]


def time_ticks(span_s: float, most: int = 8) -> Sequence[Tick]:
    """Round times from 0 to a length in seconds, in one unit that suits it: ``5 min``, ``10 min``."""
    unit_s, name, steps = next(unit[1:] for unit in _UNITS if span_s >= unit[0])
    step = _step(span_s / unit_s, most, steps)
    count = min(most + 1, math.floor(span_s / unit_s / step + 1e-9) + 1)
    ticks = [(at * step * unit_s, f"{number_words(at * step)} {name}") for at in range(count)]
    return [(0.0, "0"), *ticks[1:]]


def _step(length: float, most: int, steps: Sequence[float]) -> float:
    for step in steps:
        if length / step <= most:
            return step
    least = max(length / most, 1e-300)
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 5, 10, 20) if power * digit >= least * (1 - 1e-9))


def number_words(value: float) -> str:
    """A number in few letters: ``0.25``, ``1,500``, ``2.5M``, ``1e+12``."""
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        return f"{value:.3g}"
    if size >= 1e6:
        return f"{value / 1e6:.4g}M"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def time_words(seconds: float) -> str:
    """A length of time for a person: ``85 ms``, ``1.24 s``, ``3 min 20 s``, ``2 h 5 min``, ``4 d 3 h``."""
    if not math.isfinite(seconds):
        return "for ever" if seconds > 0 else "unknown"
    if seconds < 0:
        return f"-{time_words(-seconds)}"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    if seconds >= _CENTURY_S:
        return f"{seconds / _CENTURY_S:.3g} centuries"
    whole = round(seconds)
    large_s, small_s, large, small = next(row for row in _PAIRS if whole >= row[0])
    units, rest = whole // large_s, whole % large_s // small_s
    return f"{units:,} {large} {rest} {small}" if rest else f"{units:,} {large}"


_PAIRS: Final = ((86_400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s"))
