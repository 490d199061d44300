"""Results of simulations as HTML, for notebooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from minorch.markup import (
    Bar,
    Cell,
    Html,
    Hue,
    Level,
    Part,
    Series,
    bars,
    counts,
    lines,
    meter,
    note,
    table,
    time_words,
    view,
)
from minorch.simulation.results.measures import percentile, waits_s
from minorch.simulation.results.summary import PERCENTILES, Summary, amount_words, facts, number_words
from minorch.simulation.results.usage import Timeline

if TYPE_CHECKING:
    from minorch.simulation.results.result import SimulationResult

__all__ = ["result_view", "summary_view"]

_HUES: Final = (Hue.BLUE, Hue.ORANGE, Hue.GREEN, Hue.PURPLE)
_MOST_RESOURCES: Final = len(_HUES)
_SPANS: Final = 200
_MOST_POINTS: Final = 200
_MOST_NODES: Final = 8
_BUCKETS: Final = ("completed", "failed", "stopped", "running", "waiting", "refused")


def summary_view(summary: Summary) -> str:
    """The figures of a simulation as a picture of its own."""
    return view(_title(summary), *_figures(summary), words=_words(summary))


def result_view(result: SimulationResult) -> str:
    """A result as a picture of its own: its figures, and how it went."""
    summary, timeline = result.summary(), Timeline(result.ledger, result.ended_s)
    return view(
        _title(summary),
        *_figures(summary),
        _over_time(timeline),
        _waits(result, summary),
        _busiest_nodes(timeline),
        words=_words(summary),
    )


def _title(summary: Summary) -> str:
    return f"{summary.scheduler}, seed {summary.seed}"


def _words(summary: Summary) -> str:
    return f"{summary.nodes:,} nodes, {time_words(summary.ended_s)} simulated in {time_words(summary.wall_s)}"


def _figures(summary: Summary) -> list[Html]:
    ends = summary.outcomes
    spreads: list[list[Cell]] = [
        [name, *(number_words(getattr(spread, each)) for each in PERCENTILES), spread.count]
        for name, spread in (
            ("wait, s", summary.wait_s),
            ("slowdown", summary.slowdown),
            (f"bounded slowdown ({summary.tau_s:g} s)", summary.bounded_slowdown),
        )
    ]
    parts = {part.resource: part for part in summary.fragmentation}
    uses: list[list[Cell]] = []
    for use in summary.use:
        part = parts.get(use.resource)
        uses.append(
            [
                use.resource,
                amount_words(use.resource, use.capacity),
                _share(use.reserved_mean, "reserved on average"),
                _percent(use.reserved_peak),
                _share(use.used_mean, "used on average"),
                _percent(use.used_peak),
                _percent(part.stranded_mean) if part else "",
                _percent(part.mean) if part else "",
            ]
        )
    columns = range(1, 1 + len(PERCENTILES))
    return [
        counts({name: getattr(ends, name) for name in _BUCKETS}, f"{ends.arrived:,} tasks:"),
        table(["", ""], [[name, words] for name, words in facts(summary) if name != "tasks"], whole=[0]),
        table(["", *PERCENTILES, "tasks"], spreads, right=columns, whole=[0]),
        table(
            ["", "in all", "reserved", "at peak", "used", "at peak", "stranded", "fragmented"],
            uses,
            right=[1, 3, 5, 6, 7],
            whole=[0],
        ),
    ]


def _share(share: float, words: str) -> Html:
    told = _percent(share)
    return meter(
        [Level(share, Hue.BLUE if "reserved" in words else Hue.ORANGE, f"{told} {words}")], 1.0, told
    )


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f} %"


def _over_time(timeline: Timeline) -> Html:
    """What was reserved of each resource over time."""
    shown = []
    for resource, hue in zip(timeline.resources, _HUES, strict=False):
        series = timeline.series(resource, spans=_SPANS)
        steps = [*series.reserved, *series.reserved[-1:]]  # so that the last span is drawn to its end
        points = [(edge, 100 * share) for edge, share in zip(series.edges_s, steps, strict=True)]
        shown.append(Series(resource, points, hue))
    more = ", of the first resources" if len(timeline.resources) > _MOST_RESOURCES else ""
    return lines(
        shown,
        title="utilisation over time",
        caption=f"reserved over time{more}",
        unit="%",
        end_s=timeline.ended_s,
        high=100.0,
        steps=True,
    )


def _waits(result: SimulationResult, summary: Summary) -> Html:
    """Which share of the tasks had begun within which time."""
    waits = sorted(waits_s(result.ledger))
    accepted = summary.outcomes.arrived - summary.outcomes.refused
    if not waits:
        return note("no task ever ran")
    if waits[-1] <= 0:
        return note(
            f"no task waited{f', but {accepted - len(waits):,} never ran' if accepted > len(waits) else ''}"
        )
    parts = [at / _MOST_POINTS for at in range(_MOST_POINTS + 1)]
    points = [(percentile(waits, 100 * part), 100 * part * len(waits) / accepted) for part in parts]
    return lines(
        [Series("tasks that had begun", [(0.0, 0.0), *points], Hue.BLUE)],
        title="how long tasks waited",
        caption="tasks that had begun to run within so long a wait",
        unit="%",
        begin_s=0.0,
        high=100.0,
    )


def _busiest_nodes(timeline: Timeline) -> Html:
    """The nodes of which most was reserved, of the first resource."""
    if not timeline.resources:
        return Html()
    resource = timeline.resources[0]
    shares = timeline.node_means(resource)
    order = sorted(range(len(shares)), key=lambda number: (-shares[number], number))
    rows = [
        Bar(
            timeline.ledger.nodes[number].name,
            [Part("", 100 * shares[number], Hue.BLUE)],
            _percent(shares[number]),
        )
        for number in order
    ]
    return bars(
        rows,
        title="the busiest nodes",
        caption=f"busiest nodes: {resource} reserved on average",
        most=_MOST_NODES,
        noun="nodes",
        least_high=100.0,
    )
