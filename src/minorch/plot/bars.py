"""One measure of several schedulers side by side, with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, overload

from minorch.errors import UsageError
from minorch.plot.canvas import COLOURS, DARK, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bar", "Compared", "comparison_bars"]

_MOST_BARS: Final = 50


class Bar(NamedTuple):
    """What one scheduler came to."""

    name: str
    mean: float
    low: float
    """Where the interval begins. Not a number: there is none."""
    high: float


class Compared(Protocol):
    """What is drawn: several schedulers, and of each its figures."""

    def bars(self, measure: str) -> Iterable[tuple[str, float, float, float]]:
        """For each scheduler its name, the mean of a measure, and the interval that it is sure to lie in."""


@overload
def comparison_bars(
    comparison: Compared, measure: str = ..., *, label: str | None = ..., ax: None = ...
) -> Figure: ...


@overload
def comparison_bars(
    comparison: Compared, measure: str = ..., *, label: str | None = ..., ax: Axes
) -> Axes: ...


def comparison_bars(
    comparison: Compared,
    measure: str = "bounded_slowdown_mean",
    *,
    label: str | None = None,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Draw one measure of each scheduler as a bar, with its interval.

    Args:
        comparison: what ``compare()`` gave.
        measure: which figure, by its name.
        label: what is written along the axis; None: the measure's name, with its unit behind it.
        ax: where to draw; None: a new figure.

    Returns:
        The figure, or *ax* if it was given.

    Raises:
        UsageError: matplotlib is not installed, there is no such measure, or there are more than 50 bars.
    """
    bars = [Bar(*bar) for bar in comparison.bars(measure)]
    if not 1 <= len(bars) <= _MOST_BARS:
        raise UsageError(f"comparison_bars() draws 1 to {_MOST_BARS} bars, not {len(bars)}")
    drawn, given = axes_for(ax, 6.5, 1.1 + 0.42 * len(bars))
    for number, bar in enumerate(bars):
        drawn.barh(number, 0.0 if math.isnan(bar.mean) else bar.mean, height=0.62, color=COLOURS[4])
        if not math.isnan(bar.low + bar.high):
            drawn.errorbar(
                bar.mean,
                number,
                xerr=[[bar.mean - bar.low], [bar.high - bar.mean]],
                color=DARK,
                capsize=4.0,
                linewidth=1.4,
            )
    right = max((each for bar in bars for each in (bar.mean, bar.high) if not math.isnan(each)), default=0.0)
    for number, bar in enumerate(bars):
        end = max((each for each in (bar.mean, bar.high) if not math.isnan(each)), default=0.0)
        words = "none" if math.isnan(bar.mean) else _words(bar.mean)
        drawn.annotate(
            words, (max(0.0, end), number), (6, 0), textcoords="offset points", va="center", color=DARK
        )
    drawn.set_yticks(range(len(bars)), [bar.name for bar in bars])
    drawn.tick_params(axis="y", length=0)
    drawn.set_ylim(len(bars) - 0.5, -0.5)
    if right > 0:
        drawn.set_xlim(right=1.14 * right)  # room for the figures behind the bars
    drawn.set_xlabel(_label(measure) if label is None else label)
    tidy(drawn, grid="x")
    return given


def _words(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _label(measure: str) -> str:
    """The name of a measure as it is written beside an axis: ``wait_p95_s`` is in seconds."""
    name, _, unit = measure.rpartition("_")
    return f"{name.replace('_', ' ')}, s" if unit == "s" else measure.replace("_", " ")
