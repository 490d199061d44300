"""One measure of several schedulers side by side, with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, overload

from minorch.errors import UsageError
from minorch.plot.canvas import COLOURS, DARK, axes_for, tidy
from minorch.simulation.comparing.criteria import Measure, measure_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Compared", "ComparedInterval", "ComparedRow", "comparison_bars"]

_MOST_BARS: Final = 50


class ComparedInterval(Protocol):
    """A mean, and between which bounds the true one lies; not a number where there is none."""

    @property
    def mean(self) -> float:
        """The mean over seeds."""

    @property
    def low(self) -> float:
        """Where the interval begins."""

    @property
    def high(self) -> float:
        """Where it ends."""


class ComparedRow(Protocol):
    """One measure of one scheduler."""

    @property
    def scheduler(self) -> str:
        """Its name."""

    @property
    def interval(self) -> ComparedInterval:
        """Of the mean over seeds."""


class Compared(Protocol):
    """What can be drawn: a :class:`~minorch.simulation.Comparison`, or anything that answers like one."""

    @property
    def measures(self) -> Sequence[Measure]:
        """What those measures are called that are shown; others are called what they are always called."""

    @property
    def seeds(self) -> Sequence[int]:
        """What each scheduler was run with."""

    def rows(self, measure: str) -> Sequence[ComparedRow]:
        """One measure of each scheduler, in the order in which they are drawn."""


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
        label: what is written along the axis; None: what the measure is called, its unit, and what is better.
        ax: where to draw; None: a new figure.

    Returns:
        The figure, or *ax* if it was given.

    Raises:
        UsageError: matplotlib is not installed, there is no such measure, or there are more than 50 bars.
    """
    rows = comparison.rows(measure)
    if not 1 <= len(rows) <= _MOST_BARS:
        raise UsageError(f"comparison_bars() draws 1 to {_MOST_BARS} bars, not {len(rows)}")
    drawn, given = axes_for(ax, 6.5, 1.4 + 0.42 * len(rows))
    right = 0.0
    for number, row in enumerate(rows):
        mean, low, high = row.interval.mean, row.interval.low, row.interval.high
        if math.isnan(mean):
            drawn.annotate("no figure", (0.0, number), (6, 0), textcoords="offset points", va="center")
            continue
        drawn.barh(number, mean, height=0.62, color=COLOURS[4])
        end = max(mean, 0.0)
        if low < high:
            ends = [[mean - low], [high - mean]]
            drawn.errorbar(mean, number, xerr=ends, color=DARK, capsize=4.0, linewidth=1.4)
            end = max(high, 0.0)
        drawn.annotate(
            _words(mean),
            (end, number),
            (7, 0),
            textcoords="offset points",
            va="center",
            color=DARK,
            bbox={"facecolor": drawn.get_facecolor(), "edgecolor": "none", "pad": 1.0},  # above the grid
        )
        right = max(right, end)
    drawn.axvline(0.0, color=DARK, linewidth=0.8)
    drawn.set_yticks(range(len(rows)), [row.scheduler for row in rows])
    drawn.tick_params(axis="y", length=0)
    drawn.set_ylim(len(rows) - 0.5, -0.5)
    if right > 0:
        drawn.set_xlim(right=1.14 * right)  # room for the figures behind the bars
    drawn.set_xlabel(_label(comparison, measure) if label is None else label)
    seeds = len(comparison.seeds)
    spread = f"mean of {seeds:,} seeds, and its 95 % interval" if seeds > 1 else "one seed, so no interval"
    drawn.set_title(spread, loc="left", fontsize="medium", color=DARK)
    tidy(drawn, grid="x")
    drawn.spines["left"].set_visible(False)  # the line at zero is there
    return given


def _words(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _label(comparison: Compared, measure: str) -> str:
    """What a measure is called: ``mean wait, s (lower is better)``."""
    known = {one.name: one for one in comparison.measures}.get(measure) or measure_named(measure)
    return f"{known.heading} ({known.better} is better)" if known.better else known.heading
