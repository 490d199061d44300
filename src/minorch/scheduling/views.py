"""Explanations, plans and proposals as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from minorch.markup import Bar, Cell, Html, Hue, Level, Part, badge, bars, join, meter, note, table, tag, view
from minorch.scheduling.explain import Blocked, Choice, Explanation, Refused
from minorch.scheduling.job_plan import JobPlan, PlannedPlacement
from minorch.scheduling.rebalance import Rebalance

__all__ = ["explanation_view", "plan_view", "rebalance_view"]

_MOST_ROWS: Final = 24
_HUES: Final = (Hue.BLUE, Hue.ORANGE, Hue.GREEN, Hue.PURPLE, Hue.SKY, Hue.VERMILLION)


def explanation_view(why: Explanation) -> str:
    """What each node would cost, and what is against the others."""
    parts = [note(why.detail)]
    if why.blocked is not None:
        parts.append(_blocked(why.blocked, why.outlook))
    if why.choices:
        parts.append(_choices(why.choices, why.fitting))
        parts.append(_refused(why.refused, why.fitting, "Could not take it now"))
    where = f"on {why.node}" if why.node else "on no node"
    return view(f"task {why.task}", *parts, state=why.state, words=where)


def _choices(choices: Sequence[Choice], fitting: int) -> Html:
    names = list(dict.fromkeys(name for choice in choices for name in choice.parts))
    hues = {name: _HUES[at % len(_HUES)] for at, name in enumerate(names)}
    rows = []
    for choice in choices:
        parts = [Part(name, value, hues[name]) for name, value in choice.parts.items()]
        cost = f"{choice.cost:.4g}{', it is here' if choice.here else ''}"
        rows.append(
            Bar(
                f"{choice.rank}. {choice.node}",
                parts or [Part("cost", choice.cost, Hue.BLUE)],
                note=cost,
                strong=choice.here,
            )
        )
    of = (
        f"the {len(choices):,} cheapest of {fitting:,} nodes" if fitting > len(choices) else "lower is better"
    )
    return bars(rows, title="what it would cost to place the task on each node", caption=f"Cost now ({of})")


def _refused(refused: Sequence[Refused], fitting: int, caption: str) -> Html:
    if not refused:
        return Html()
    total = fitting + sum(one.nodes for one in refused)
    rows: list[list[Cell]] = []
    for one in refused:
        level = Level(one.nodes, Hue.VERMILLION, f"{one.nodes:,} of {total:,} nodes")
        rows.append([one.nodes, meter([level], total), one.words])
    return table(
        ["nodes", f"of {total:,}", "why not"], rows, caption=caption, most=_MOST_ROWS, noun="reasons"
    )


def _blocked(blocked: Blocked, outlook: str) -> Html:
    if not blocked.refused:
        return note("It fits nowhere now: there are no nodes yet.")
    reasons = _refused(blocked.refused, 0, "Fits nowhere now")
    words = [str(blocked.nearest)] if blocked.nearest is not None else []
    words += [] if blocked.feasible else ["no node could hold it even when empty"]
    words += [outlook] if outlook else []
    return join([reasons, note("; ".join(words))])


def plan_view(plan: JobPlan) -> str:
    """How many tasks would go to which node, and what the others would wait for."""
    plural = "" if plan.tasks == 1 else "s"
    parts = []
    if plan.refused:
        parts.append(tag("div", badge("would be refused", like="refused"), plan.refused))
    if plan.changes is not None:
        words = f"The one that is {plan.changes.state} is taken to be gone; changes: {plan.changes}"
        parts.append(note(words))
    if plan.before:
        parts.append(note(f"{plan.before:,} tasks that wait already would be placed too"))
    parts += [_placements(plan.placements), _waiting(plan), _preemptions(plan)]
    return view(
        f"plan for {plan.job}",
        *parts,
        words=f"{len(plan.placements):,} of {plan.tasks:,} task{plural} would be placed now",
    )


def _placements(placements: Sequence[PlannedPlacement]) -> Html:
    if not placements:
        return Html()
    nodes: dict[str, list[PlannedPlacement]] = {}
    for placement in placements:
        nodes.setdefault(placement.node, []).append(placement)
    most = max(map(len, nodes.values()))
    rows: list[list[Cell]] = []
    for node, placed in nodes.items():
        level = Level(len(placed), Hue.BLUE, f"{len(placed):,} tasks")
        costs = [placement.cost for placement in placed]
        low, high = f"{min(costs):.4g}", f"{max(costs):.4g}"
        cost = low if low == high else f"{low} to {high}"
        count: Cell = meter([level], most, f"{len(placed):,}") if most > 1 else len(placed)
        rows.append([node, count, _names([one.task for one in placed]), cost])
    heading = ["node", "tasks", "which", "cost"]
    return table(heading, rows, caption="Placed", right=[3], whole=[0], most=_MOST_ROWS, noun="nodes")


def _waiting(plan: JobPlan) -> Html:
    rows: list[list[Cell]] = []
    for wait in plan.waiting:
        state = "failed" if wait.fails else "pending"
        word = "would fail" if wait.fails else "would wait"
        rows.append([len(wait.tasks), badge(word, like=state), _names(wait.tasks), wait.why])
    heading = ["tasks", "", "which", "why"]
    return (
        table(heading, rows, caption="Not placed", whole=[1], most=_MOST_ROWS, noun="reasons")
        if rows
        else Html()
    )


def _preemptions(plan: JobPlan) -> Html:
    rows = [(one.task, one.node, _names(one.moved)) for one in plan.preempted]
    heading = ["task", "node", "in place of"]
    caption = "Would take the room of others"
    return table(heading, rows, caption=caption, most=_MOST_ROWS, noun="tasks") if rows else Html()


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4:,} more" if len(names) > 4 else shown


def rebalance_view(proposal: Rebalance) -> str:
    """The moves, and what each would gain."""
    most = max((move.gain for move in proposal.moves), default=0.0)
    rows: list[list[Cell]] = []
    for move in proposal.moves:
        gain = meter([Level(move.gain, Hue.GREEN, f"gain {move.gain:.4g}")], most, f"{move.gain:.4g}")
        costs = (f"{move.cost_here:.4g}", f"{move.cost_there:.4g}")
        rows.append([move.task, move.source, move.target, *costs, gain])
    count = f"{len(rows):,} move{'' if len(rows) == 1 else 's'}, gain {proposal.gain:.4g}"
    heading = ["task", "from", "to", "cost here", "cost there", "gain"]
    moves = (
        table(heading, rows, right=[3, 4], whole=[1, 2], most=_MOST_ROWS, noun="moves") if rows else Html()
    )
    return view("rebalance", moves, note(proposal.why), words=count if rows else "nothing to move")
