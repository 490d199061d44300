"""How long tasks waited, for one scheduler or several."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Final, overload

from minorch.errors import UsageError, brief
from minorch.plot.canvas import COLOURS, LINES, axes_for, tidy
from minorch.simulation import SimulationResult
from minorch.simulation.results.measures import outcomes, percentile, waits_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["wait_cdf"]

_MOST_POINTS: Final = 1000
_MOST_LINES: Final = 32
_TICKS: Final = {
    0.0: "0",
    1.0: "1 s",
    10.0: "10 s",
    60.0: "1 min",
    600.0: "10 min",
    3600.0: "1 h",
    36_000.0: "10 h",
    86_400.0: "1 d",
    864_000.0: "10 d",
    8_640_000.0: "100 d",
    86_400_000.0: "1,000 d",
}
"""Times in seconds, as they are written along an axis."""

Results = SimulationResult | Iterable[SimulationResult] | Mapping[str, SimulationResult]


@overload
def wait_cdf(results: Results, *, ax: None = ...) -> Figure: ...


@overload
def wait_cdf(results: Results, *, ax: Axes) -> Axes: ...


def wait_cdf(results: Results, *, ax: Axes | None = None) -> Figure | Axes:
    """Draw which share of the tasks had begun to run within which time, one line for each scheduler.

    The share is of all tasks that were not refused: a line that ends below 100 % left the rest waiting.
    Results of the same scheduler, as with several seeds, are one line together.  The time is logarithmic
    above a second, and linear below.

    Args:
        results: a result, several, or several by the name of their line.
        ax: where to draw; None: a new figure.

    Returns:
        The figure, or *ax* if it was given.

    Raises:
        UsageError: matplotlib is not installed, or there are no results, or too many lines.
    """
    lines = _lines(results)
    drawn, given = axes_for(ax, 7.0, 4.0)
    styles = cycle(LINES)
    most_s = 1.0
    for number, (name, same) in enumerate(lines.items()):
        waits = sorted(wait for result in same for wait in waits_s(result.ledger))
        ends = [outcomes(result.ledger) for result in same]
        accepted = sum(end.arrived - end.refused for end in ends)
        times, shares = _steps(waits, accepted)
        left = accepted - len(waits)
        drawn.plot(
            times,
            shares,
            drawstyle="steps-post",
            color=COLOURS[number % len(COLOURS)],
            linestyle=next(styles),
            linewidth=1.8,
            label=f"{name}{f' ({left:,} never ran)' if left else ''}",
        )
        most_s = max(most_s, times[-1] if len(times) else 0.0)
    drawn.set_xscale("symlog", linthresh=1.0, linscale=0.5)
    ticks = {at: words for at, words in _TICKS.items() if at <= most_s}
    drawn.set_xticks(list(ticks), list(ticks.values()))
    drawn.set_xticks([], minor=True)
    drawn.set_xlim(0.0, most_s)
    drawn.set_ylim(0.0, 101.0)
    drawn.set_xlabel("wait until the first run")
    drawn.set_ylabel("tasks that had begun, %")
    drawn.legend(frameon=False, loc="best")
    tidy(drawn, grid="y")
    return given


def _lines(results: Results) -> dict[str, list[SimulationResult]]:
    """By the name of a line, its results."""
    if isinstance(results, SimulationResult):
        results = [results]
    named: Iterable[tuple[str, object]] = (
        results.items()
        if isinstance(results, Mapping)
        else ((getattr(one, "scheduler", ""), one) for one in results)
    )
    lines: dict[str, list[SimulationResult]] = {}
    for name, one in named:
        if not isinstance(one, SimulationResult):
            raise UsageError(f"wait_cdf() takes results of simulations, not {brief(one, 60)}")
        lines.setdefault(str(name), []).append(one)
    if not 1 <= len(lines) <= _MOST_LINES:
        raise UsageError(f"wait_cdf() draws 1 to {_MOST_LINES} lines, not {len(lines)}")
    return lines


def _steps(waits: Sequence[float], accepted: int) -> tuple[Sequence[float], Sequence[float]]:
    """Times, and the share that had begun by then, in per cent; of very many, some."""
    if not waits:
        return array("d", [0.0]), array("d", [0.0])
    if len(waits) <= _MOST_POINTS:
        counts: Sequence[float] = range(1, len(waits) + 1)
        times: Sequence[float] = waits
    else:
        parts = [number / (_MOST_POINTS - 1) for number in range(_MOST_POINTS)]
        times = [percentile(waits, 100 * part) for part in parts]
        counts = [1 + part * (len(waits) - 1) for part in parts]
    return (
        array("d", [0.0, *times]),
        array("d", [0.0, *(100 * count / accepted for count in counts)]),
    )
