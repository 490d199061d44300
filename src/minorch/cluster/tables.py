"""Tables as text, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

from minorch.state.pictures import NodeInfo
from minorch.state.rows import readiness

__all__ = ["node_rows", "text_table"]

Rows = Sequence[Sequence[str]]


def text_table(rows: Rows) -> str:
    """Rows as columns of text, the first row as a heading."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def node_rows(nodes: Sequence[NodeInfo]) -> list[list[str]]:
    """One row a node: what it has, what is promised, what is measured."""
    rows = [["node", "ready", "tasks", "reserved", "capacity", "machine cpu", "machine memory"]]
    for node in nodes:
        stats = node.stats
        memory = "" if stats is None else f"{100 * stats.memory_used / max(1, stats.memory_total):.0f} %"
        state = readiness(node)
        rows.append(
            [
                node.name,
                state,
                str(node.tasks),
                str(node.reserved),
                str(node.capacity),
                "" if stats is None else f"{stats.cpu_percent:.0f} %",
                memory,
            ]
        )
    return rows
