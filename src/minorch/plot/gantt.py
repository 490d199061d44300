"""What ran where and when: a Gantt chart of runs, or of how many there were."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, overload

from minorch.plot.canvas import COLOURS, DARK, GREY, axes_for, label_nodes, label_time, tidy, time_unit
from minorch.plot.heatmap import draw_map, map_height
from minorch.simulation import Ending, SimulationResult
from minorch.simulation.results.ledger import ENDINGS, Ledger
from minorch.simulation.results.usage import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gantt"]

_MOST_BARS: Final = 5000
_MOST_LANES: Final = 300
"""So many bars can be told apart above each other."""
_MOST_JOBS: Final = 7
"""So many jobs have a colour each; of more, the colour says how a run ended."""
_MOST_FAULTS: Final = 500
_BANDS: Final = 200
_SPANS: Final = 300

_COLOUR_OF: Final[Mapping[str, str]] = {
    "completed": COLOURS[0],
    "failed": COLOURS[5],
    "stopped": GREY,
    "had to run again": COLOURS[1],
    "still running": COLOURS[4],
}


class _Bar(NamedTuple):
    """One run: where it is drawn, and what its colour stands for."""

    node: int
    lane: int
    began_s: float
    ended_s: float
    kind: str


@overload
def gantt(result: SimulationResult, *, ax: None = ...) -> Figure: ...


@overload
def gantt(result: SimulationResult, *, ax: Axes) -> Axes: ...


def gantt(result: SimulationResult, *, ax: Axes | None = None) -> Figure | Axes:
    """Draw every run as a bar, by node and time.

    Runs on one node at the same time lie below each other.  A colour stands for a job if there are seven at
    most, and else for how the run ended.  Hatched is when a node was down or cut off.  Where there are too
    many bars to be told apart (5,000, or 300 below each other), the number of tasks that run is drawn
    instead, over nodes and time.

    Args:
        result: how a simulation went.
        ax: where to draw; None: a new figure.

    Returns:
        The figure, or *ax* if it was given.

    Raises:
        UsageError: matplotlib is not installed.
    """
    ledger = result.ledger
    nodes, runs = len(ledger.nodes), len(ledger.run_task)
    names = [node.name for node in ledger.nodes]
    bars = list(_bars(ledger, result.ended_s)) if runs <= _MOST_BARS and nodes <= _MOST_LANES else []
    lanes = 1 + max((bar.lane for bar in bars), default=0)
    if runs > len(bars) or nodes * lanes > _MOST_LANES:
        drawn, given = axes_for(ax, 7.5, map_height(nodes))
        values = Timeline(ledger, result.ended_s).running_grid(bands=_BANDS, spans=_SPANS)
        draw_map(drawn, values, names, result.ended_s, "tasks running on a node", least_top=1.0)
        bands = f", in {len(values):,} bands" if len(values) < nodes else ""
        drawn.set_title(f"{result.scheduler}: {runs:,} runs on {nodes:,} nodes{bands}", loc="left")
        return given
    drawn, given = axes_for(ax, 7.5, min(8.0, max(2.0, 1.0 + max(0.12 * nodes * lanes, 0.25 * nodes))))
    _draw_bars(drawn, bars, lanes, time_unit(result.ended_s).seconds)
    _draw_faults(drawn, result)
    for number in range(1, nodes):
        drawn.axhline(number, color="#DDDDDD", linewidth=0.6, zorder=0)
    if bars or result.faults:
        drawn.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    label_nodes(drawn, names)
    unit = time_unit(result.ended_s)
    drawn.set_xlim(0.0, result.ended_s / unit.seconds or 1.0)
    label_time(drawn, result.ended_s)
    drawn.set_title(f"{result.scheduler}: {runs:,} runs on {nodes:,} nodes", loc="left")
    tidy(drawn, grid="x")
    return given


def _draw_bars(ax: Axes, bars: Sequence[_Bar], lanes: int, unit_s: float) -> None:
    """Draw runs, each node with so many lanes, all of a colour at once."""
    from matplotlib.collections import PolyCollection

    corners: dict[str, list[Sequence[tuple[float, float]]]] = {}
    height = 0.9 / lanes
    for bar in bars:
        top = bar.node + 0.05 + bar.lane * height
        left, right, low = bar.began_s / unit_s, bar.ended_s / unit_s, top + height
        corners.setdefault(bar.kind, []).append([(left, top), (right, top), (right, low), (left, low)])
    kinds = [kind for kind in _COLOUR_OF if kind in corners] or list(corners)
    for number, kind in enumerate(kinds):
        ax.add_collection(
            PolyCollection(
                corners[kind],
                facecolors=_COLOUR_OF.get(kind, COLOURS[number]),
                edgecolors="white",
                linewidths=0.5 if len(bars) <= 500 else 0.0,
                rasterized=len(bars) > 500,
                label=kind,
            )
        )


def _draw_faults(ax: Axes, result: SimulationResult) -> None:
    """Hatch when nodes were away; of very many faults, the first."""
    from matplotlib.patches import Rectangle

    unit_s = time_unit(result.ended_s).seconds
    told: set[str] = set()
    for fault in result.faults[:_MOST_FAULTS]:
        number = result.ledger.node_numbers[fault.node]
        ended_s = result.ended_s if fault.ended_s is None else fault.ended_s
        words = "node down" if fault.kind == "crash" else "node cut off"
        ax.add_patch(
            Rectangle(
                (fault.began_s / unit_s, number + 0.02),
                (ended_s - fault.began_s) / unit_s,
                0.96,
                facecolor="none",
                edgecolor=DARK,
                linewidth=0.6,
                hatch="////" if fault.kind == "crash" else "....",
                label="" if words in told else words,
            )
        )
        told.add(words)


def _bars(ledger: Ledger, simulation_ended_s: float) -> Iterator[_Bar]:
    """Every run, in a lane of its node that is free."""
    by_job = len(set(ledger.job)) <= _MOST_JOBS
    free: list[list[int]] = [[] for _ in ledger.nodes]
    busy: list[list[tuple[float, int]]] = [[] for _ in ledger.nodes]
    lanes = [0] * len(ledger.nodes)
    order = sorted(range(len(ledger.run_task)), key=ledger.run_began_s.__getitem__)
    for run in order:
        node, began_s, ended_s = ledger.run_node[run], ledger.run_began_s[run], ledger.run_ended_s[run]
        if math.isnan(ended_s):
            ended_s = simulation_ended_s
        while busy[node] and busy[node][0][0] <= began_s:
            heapq.heappush(free[node], heapq.heappop(busy[node])[1])
        if free[node]:
            lane = heapq.heappop(free[node])
        else:
            lane, lanes[node] = lanes[node], lanes[node] + 1
        heapq.heappush(busy[node], (ended_s, lane))
        kind = ledger.job[ledger.run_task[run]] if by_job else _kind(ledger, run)
        yield _Bar(node, lane, began_s, ended_s, kind)


def _kind(ledger: Ledger, run: int) -> str:
    """How a run ended, in words."""
    task = ledger.run_task[run]
    if math.isnan(ledger.run_ended_s[run]):
        return "still running"
    ending = ENDINGS[ledger.ending[task]]
    if ledger.last_run[task] != run or ending in (Ending.RUNNING, Ending.WAITING):
        return "had to run again"
    return str(ending)
