"""How busy which nodes were when: a map over nodes and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, overload

from minorch.errors import UsageError, brief
from minorch.plot.canvas import MAP, axes_for, label_nodes, label_time, time_unit
from minorch.simulation import SimulationResult
from minorch.simulation.results.usage import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_map", "utilisation_heatmap"]

_BANDS: Final = 200
_SPANS: Final = 300


@overload
def utilisation_heatmap(
    result: SimulationResult,
    resource: str = ...,
    *,
    what: Literal["reserved", "used"] = ...,
    ax: None = ...,
) -> Figure: ...


@overload
def utilisation_heatmap(
    result: SimulationResult, resource: str = ..., *, what: Literal["reserved", "used"] = ..., ax: Axes
) -> Axes: ...


def utilisation_heatmap(
    result: SimulationResult,
    resource: str = "cpu",
    *,
    what: Literal["reserved", "used"] = "reserved",
    ax: Axes | None = None,
) -> Figure | Axes:
    """Draw which share of a resource was taken, over nodes and time.

    Each cell is an average over a span of time, and with more than 200 nodes over a band of them.

    Args:
        result: how a simulation went.
        resource: its name, such as ``cpu`` or ``memory``.
        what: ``reserved`` by tasks that ran, or really ``used`` by them.
        ax: where to draw; None: a new figure.

    Returns:
        The figure, or *ax* if it was given.

    Raises:
        UsageError: matplotlib is not installed, or no node has any of the resource.
    """
    if what not in ("reserved", "used"):
        raise UsageError(f'what={brief(what)}: "reserved" or "used"')
    timeline = Timeline(result.ledger, result.ended_s)
    shares = timeline.grid(resource, bands=_BANDS, spans=_SPANS, what=what)
    percent = [[100 * share for share in row] for row in shares]
    nodes = [node.name for node in result.ledger.nodes]
    drawn, given = axes_for(ax, 7.5, map_height(len(nodes)))
    draw_map(drawn, percent, nodes, result.ended_s, f"{resource} {what}, % of the node", least_top=100.0)
    bands = f", in {len(shares):,} bands" if len(shares) < len(nodes) else ""
    drawn.set_title(f"{result.scheduler}: {resource} {what} on {len(nodes):,} nodes{bands}", loc="left")
    return given


def map_height(nodes: int) -> float:
    """How high a figure of so many nodes is, in inches."""
    return min(6.0, max(2.4, 1.2 + 0.2 * nodes))


def draw_map(
    ax: Axes,
    values: Sequence[Sequence[float]],
    nodes: Sequence[str],
    ended_s: float,
    label: str,
    *,
    least_top: float,
) -> None:
    """Draw values over nodes and time as an image, with a scale beside it.

    Args:
        ax: where.
        values: by band of nodes, the values in equal spans of the time.
        nodes: their names.
        ended_s: when the last span ends, in seconds.
        label: what the values are.
        least_top: the scale goes up to this at the least.
    """
    unit = time_unit(ended_s)
    top = max(least_top, max(map(max, values), default=0.0))
    image = ax.imshow(
        values,
        aspect="auto",
        interpolation="nearest",
        cmap=MAP,
        vmin=0.0,
        vmax=top,
        extent=(0.0, ended_s / unit.seconds or 1.0, len(nodes), 0.0),
    )
    label_nodes(ax, nodes)
    label_time(ax, ended_s)
    figure = ax.get_figure()
    assert figure is not None
    scale = figure.colorbar(image, ax=ax, pad=0.02, fraction=0.05)
    scale.set_label(label)
    scale.outline.set_visible(False)
