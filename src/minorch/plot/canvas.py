"""What all plots have in common: where they draw, their colours, and their axes of time and of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from minorch.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DARK",
    "GREY",
    "LINES",
    "MAP",
    "TimeUnit",
    "axes_for",
    "label_time",
    "label_nodes",
    "tidy",
    "time_unit",
]

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
"""Okabe and Ito's, those first that stand out on white."""
LINES: Final = ("-", "--", "-.", ":")
DARK: Final = "#333333"
GREY: Final = "#999999"
MAP: Final = "cividis"
_MOST_NAMES: Final = 30


class TimeUnit(NamedTuple):
    """In what an axis counts time."""

    name: str
    seconds: float


def time_unit(most_s: float) -> TimeUnit:
    """The unit in which times up to so many seconds are read most easily."""
    for unit in (TimeUnit("d", 86400.0), TimeUnit("h", 3600.0), TimeUnit("min", 60.0)):
        if most_s >= 3 * unit.seconds:
            return unit
    return TimeUnit("s", 1.0)


def axes_for(ax: Axes | None, width: float, height: float) -> tuple[Axes, Figure | Axes]:
    """Where to draw, and what the caller gets back: *ax* and *ax*, or the axes of a new figure and that.

    Args:
        ax: the caller's; None: a new figure is made.
        width: of a new figure, in inches.
        height: of a new figure, in inches.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from minorch.plot.figure import PlotFigure
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise UsageError('a plot needs matplotlib: pip install "minorch[plot]"') from None
    if ax is not None:
        return ax, ax
    figure = PlotFigure(figsize=(width, height), layout="constrained")
    return figure.add_subplot(), figure


def tidy(ax: Axes, *, grid: str | None = None) -> None:
    """Take away the lines that say nothing, and draw a faint grid along one axis."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if grid == "x":
        ax.grid(visible=True, axis="x", color="#DDDDDD", linewidth=0.6)
    elif grid == "y":
        ax.grid(visible=True, axis="y", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)


def label_time(ax: Axes, ended_s: float) -> None:
    """Name the x-axis after its unit of time, and count on it in steps of 1, 2 or 5, and never of 2.5."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    ax.set_xlabel(f"time, {time_unit(ended_s).name}")


def label_nodes(ax: Axes, names: Sequence[str]) -> None:
    """Name the nodes along the y-axis, one a unit and the first on top; many are counted instead."""
    ax.set_ylim(len(names), 0)
    if len(names) <= _MOST_NAMES:
        ax.set_yticks([number + 0.5 for number in range(len(names))], names)
        ax.tick_params(axis="y", length=0)
        ax.set_ylabel("")
    else:
        ax.set_ylabel("node, in the order in which they joined")
        ax.yaxis.set_major_formatter("{x:,.0f}")
