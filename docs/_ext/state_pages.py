"""What the pages show of :mod:`minorch.states`: Markdown tables and SVG drawings. Nothing here knows Sphinx.

Everything is made from the tables in the code when the pages are built, so that it cannot be out of date.
"""

from __future__ import annotations

import ast
import enum
import html
import itertools
from collections.abc import Mapping
from pathlib import Path

from minorch import states

TABLES: Mapping[str, tuple[type[enum.StrEnum], Mapping[enum.StrEnum, frozenset[enum.StrEnum]]]] = {
    "task": (states.TaskState, states.TASK_MOVES),
    "attempt": (states.AttemptState, states.ATTEMPT_MOVES),
    "job": (states.JobState, states.JOB_MOVES),
}

BOX_W, BOX_H = 128, 36
STEP_X, STEP_Y = 184, 150
TOP = 86


def meanings(kind: type[enum.Enum]) -> dict[str, str]:
    """What the source says of each member, in the string below it; its name where it says nothing."""
    source = Path(states.__file__).read_text(encoding="utf-8")
    (body,) = (
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    found = {name: name.replace("_", " ").capitalize() + "." for name in kind.__members__}
    for statement, below in itertools.pairwise(body):
        match statement, below:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def state_table(name: str) -> str:
    """The states of a task, an attempt or a job, what they mean, and where each may lead."""
    kind, moves = TABLES[name]
    means = meanings(kind)
    rows = ["| state | meaning | may become |", "|---|---|---|"]
    for state in moves:
        onward = ", ".join(f"`{other}`" for other in moves if other in moves[state])
        rows.append(f"| `{state}` | {means[state.name]} | {onward or 'nothing: it is over'} |")
    return "\n".join(rows)


def reason_table() -> str:
    """Every reason and what it means."""
    means = meanings(states.Reason)
    rows = ["| reason | meaning |", "|---|---|"]
    rows += [f"| `{reason}` | {means[reason.name]} |" for reason in states.Reason]
    return "\n".join(rows)


def svg(name: str) -> str:
    """The moves as a drawing: states that go on in a row, ends below them."""
    _, moves = TABLES[name]
    rows = ([s for s in moves if moves[s]], [s for s in moves if not moves[s]])
    widest = max(map(len, rows))
    at = {
        state: (STEP_X * (place + (widest - len(row)) / 2) + 12, TOP + STEP_Y * depth)
        for depth, row in enumerate(rows)
        for place, state in enumerate(row)
    }
    width, height = STEP_X * (widest - 1) + BOX_W + 24, TOP + STEP_Y + BOX_H + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'style="max-width:{width}px;width:100%" font-family="sans-serif" font-size="13">',
        f"<title>{html.escape(f'Moves of a {name}; the table says the same')}</title>",
        f'<defs><marker id="tip-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>',
    ]
    for old in moves:
        for new in (state for state in moves if state in moves[old]):
            path = _arrow(at[old], at[new])
            parts.append(
                f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".55" stroke-width="1.3" '
                f'marker-end="url(#tip-{name})" data-move="{old} {new}"/>'
            )
    for state, (x, y) in at.items():
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="{6 if moves[state] else 18}" '
            'fill="currentColor" fill-opacity=".07" stroke="currentColor"/>'
            f'<text x="{x + BOX_W / 2:g}" y="{y + 23:g}" text-anchor="middle" fill="currentColor">'
            f"{state}</text>"
        )
    return "".join([*parts, "</svg>"])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """The way of one arrow: straight to a neighbour or to an end, else an arc above the row."""
    (x1, y1), (x2, y2) = start, end
    if y1 != y2:
        lean = 24 if x2 > x1 else -24 if x2 < x1 else 0
        return f"M{x1 + BOX_W / 2 + lean:g} {y1 + BOX_H}L{x2 + BOX_W / 2 - lean:g} {y2:g}"
    if x2 - x1 == STEP_X:
        return f"M{x1 + BOX_W:g} {y1 + BOX_H / 2:g}L{x2:g} {y2 + BOX_H / 2:g}"
    shift = 16 if x2 > x1 else -16
    a, b = x1 + BOX_W / 2 + shift, x2 + BOX_W / 2 - shift
    lift = y1 - 26 * max(1.6, abs(x2 - x1) / STEP_X + (0.6 if x2 < x1 else 0.9))
    return f"M{a:g} {y1:g}C{a:g} {lift:g} {b:g} {lift:g} {b:g} {y1:g}"
