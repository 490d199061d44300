"""Nodes as HTML, for notebooks: how much of each is reserved, and how busy its machine is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from minorch.markup import (
    Bar,
    Cell,
    Html,
    Hue,
    Level,
    Part,
    badge,
    bars,
    counts,
    join,
    legend,
    meter,
    note,
    number_words,
    table,
    view,
)
from minorch.resources import Resources, format_size
from minorch.state.pictures import NodeInfo
from minorch.state.rows import readiness

__all__ = ["node_counts", "nodes_table", "nodes_view"]

_MOST_NODES: Final = 24
_MOST_NAMED: Final = 12
"""Of more nodes than those it is drawn how full they are all together, and so many are named: those that are
not ready first."""
_MOST_RESOURCES: Final = 6
_RESERVED, _MEASURED = Hue.BLUE, Hue.ORANGE
_STATES: Final = ("ready", "not ready", "lost", "cordoned", "draining", "drained")


def nodes_view(nodes: Sequence[NodeInfo]) -> str:
    """Nodes as a picture of its own."""
    if len(nodes) == 1:
        return view(
            f"node {nodes[0].name}", nodes_table(nodes), state=_state(nodes[0]), words=_labels(nodes[0])
        )
    return view(f"{len(nodes):,} nodes", node_counts(nodes), nodes_table(nodes))


def node_counts(nodes: Sequence[NodeInfo], label: str = "") -> Html:
    """How many nodes are in which state."""
    states = dict.fromkeys(_STATES, 0)
    for node in nodes:
        states[_state(node)] += 1
    return counts(states, label)


def nodes_table(nodes: Sequence[NodeInfo]) -> Html:
    """A row for each node, with a meter for each resource that any has; of many nodes a summary first."""
    if not nodes:
        return note("there are no nodes")
    every = [name for node in nodes for name, amount in node.capacity.amounts() if amount]
    names = list(dict.fromkeys(every))[:_MOST_RESOURCES]
    many = len(nodes) > _MOST_NODES
    shown = sorted(nodes, key=lambda node: _state(node) == "ready")[:_MOST_NAMED] if many else nodes
    rows: list[list[Cell]] = [_row(node, names) for node in shown]
    if many:
        reserved, capacity = _sum([node.reserved for node in nodes]), _sum([node.capacity for node in nodes])
        total = sum(node.tasks for node in nodes)
        rows.insert(
            0,
            [
                "all together",
                "",
                total,
                *(_meter(name, reserved, capacity, short=True) for name in names),
                "",
            ],
        )
    heading = ["node", "state", "tasks", *names, "message"]
    measured = any(node.stats is not None for node in shown)
    keys = [("reserved, of what the node has", _RESERVED)]
    keys += [("measured, of the whole machine", _MEASURED)] if measured else []
    left = len(nodes) - len(shown)
    return join(
        [
            _fullness(nodes, names) if many else Html(),
            table(heading, rows, whole=[0, 1], sparse=True),
            note(f"and {left:,} more nodes" if left else ""),
            legend(keys),
        ]
    )


def _row(node: NodeInfo, names: Sequence[str]) -> list[Cell]:
    meters = [_meter(name, node.reserved, node.capacity, _measured(node, name)) for name in names]
    return [node.name, badge(_state(node)), node.tasks, *meters, node.message]


def _state(node: NodeInfo) -> str:
    return {"yes": "ready", "no": "not ready"}.get(word := readiness(node), word)


def _labels(node: NodeInfo) -> str:
    words = [node.node.runtime, *(f"{name}={value}" for name, value in node.node.labels.items())]
    return " · ".join([*words, *(f"taint {taint}" for taint in node.node.taints)][:12])


def _meter(
    name: str, reserved: Resources, capacity: Resources, measured: float | None = None, *, short: bool = False
) -> Html:
    taken, whole = dict(reserved.amounts()).get(name, 0), dict(capacity.amounts()).get(name, 0)
    if not whole:
        return Html()
    words = _of(name, taken, whole)
    levels = [Level(taken / whole, _RESERVED, f"{words} reserved")]
    if measured is not None:
        levels.append(Level(measured, _MEASURED, f"{100 * measured:.0f} % of the machine in use"))
    return meter(levels, 1.0, f"{100 * taken / whole:.0f} %" if short else words)


def _measured(node: NodeInfo, name: str) -> float | None:
    """Which part of a machine is in use, as its worker last measured it."""
    stats = node.stats
    if stats is None:
        return None
    if name == "cpu":
        return stats.cpu_percent / 100
    used, total = {
        "memory": (stats.memory_used, stats.memory_total),
        "disk": (stats.disk_used, stats.disk_total),
    }.get(name, (0, 0))
    return used / total if total else None


def _of(name: str, taken: int, whole: int) -> str:
    """So much of so much, in the same unit."""
    if name not in ("memory", "disk"):
        return f"{number_words(taken / 1000)} of {number_words(whole / 1000)}"
    amount, unit = format_size(whole).split()
    unit_bytes = whole / float(amount) if float(amount) else 1.0
    return f"{taken / unit_bytes:.3g} of {float(amount):g} {unit}"


def _sum(amounts: Sequence[Resources]) -> Resources:
    total = Resources()
    for amount in amounts:
        total = total + amount
    return total


def _fullness(nodes: Sequence[NodeInfo], names: Sequence[str]) -> Html:
    """How many nodes are how full, by the resource of which most is reserved."""
    nodes_by_fifth = [0] * 5
    for node in nodes:
        taken, whole = dict(node.reserved.amounts()), dict(node.capacity.amounts())
        share = max((taken.get(name, 0) / whole[name] for name in names if whole.get(name)), default=0.0)
        nodes_by_fifth[min(4, int(5 * share))] += 1
    rows = [
        Bar(f"{20 * at} to {20 * at + 20} %", [Part("nodes", count, _RESERVED)], note=f"{count:,}")
        for at, count in enumerate(nodes_by_fifth)
    ]
    return bars(rows, title="how many nodes are how full", caption="Nodes by what is reserved of them")
