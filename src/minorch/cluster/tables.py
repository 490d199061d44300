"""Tables as text and as HTML, for reprs, notebooks and terminals."""

from __future__ import annotations

import html
from collections.abc import Sequence

from minorch.state.pictures import NodeInfo, TaskInfo

__all__ = ["html_table", "node_rows", "task_rows", "text_table"]

Rows = Sequence[Sequence[str]]


def text_table(rows: Rows) -> str:
    """Rows as columns of text, the first row as a heading."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def html_table(title: str, rows: Rows) -> str:
    """Rows as an HTML table, the first row as a heading."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return (
        f"<table><caption>{html.escape(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def task_rows(tasks: Sequence[TaskInfo]) -> list[list[str]]:
    """One row a task: what became of it, and where."""
    rows = [["task", "state", "reason", "exit", "node", "attempts", "restarts", "ran"]]
    for task in tasks:
        last = task.attempts[-1] if task.attempts else None
        ran = ""
        if last is not None and last.started_at is not None and last.finished_at is not None:
            ran = f"{max(0.0, last.finished_at - last.started_at):.2f} s"
        rows.append(
            [
                task.name,
                str(task.state),
                str(task.reason or ""),
                "" if task.exit_code is None else str(task.exit_code),
                task.node or "",
                str(last.number if last is not None else 0),
                f"{task.restarts}{' (crash looping)' if task.crash_looping else ''}",
                ran,
            ]
        )
    return rows


def node_rows(nodes: Sequence[NodeInfo]) -> list[list[str]]:
    """One row a node: what it has, what is promised, what is measured."""
    rows = [["node", "ready", "tasks", "reserved", "capacity", "machine cpu", "machine memory"]]
    for node in nodes:
        stats = node.stats
        memory = "" if stats is None else f"{100 * stats.memory_used / max(1, stats.memory_total):.0f} %"
        state = _readiness(node)
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


def _readiness(node: NodeInfo) -> str:
    flags = ("lost", "drained", "draining", "cordoned")
    return next((flag for flag in flags if getattr(node, flag)), "yes" if node.ready else "no")
