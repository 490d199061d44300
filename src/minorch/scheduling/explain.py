"""Why a task is where it is, or why it is nowhere: counts and words, no decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from minorch.scheduling.filters import FILTERS, Filters, Refusal, amount
from minorch.scheduling.scheduler import Scheduler, checked
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["Blocked", "Choice", "Explanation", "NearestMiss", "Refused", "count_refusals", "rank_choices"]

_CHOICES_SHOWN: Final = 10


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """So many nodes, refused for the same thing."""

    nodes: int
    words: str

    def __str__(self) -> str:
        return f"{self.nodes:,} node{'' if self.nodes == 1 else 's'}: {self.words}"


class NearestMiss(msgspec.Struct, frozen=True, kw_only=True):
    """The node that lacks least for a task to fit there."""

    node: str
    lacks: Sequence[str]
    """In words: everything that stands against it."""
    empty: bool = False
    """Whether that is so even if the node were ready and empty, as no node could ever hold the task."""

    def __str__(self) -> str:
        return f"nearest: {self.node}{' even when empty' if self.empty else ''}, {', '.join(self.lacks)}"


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task fits nowhere now. The counts add up to the number of nodes."""

    refused: Sequence[Refused] = ()
    feasible: bool = False
    """Whether some node could hold it if the node were ready and empty: it waits. If not, it never fits."""
    nearest: NearestMiss | None = None
    """Of the nodes that could ever hold it, or of all if none could: the one against which least stands.

    That is the one with the fewest things against it, where each resource that is short counts by itself; of
    those the one that is short by the smallest part of what the task asks for; of those the first to join.
    What filters of one's own say, and where other tasks are, counts only where nothing else is against it.
    A node that is not ready comes after all that are."""

    def __str__(self) -> str:
        if not self.refused:
            return "there are no nodes yet"
        words = [str(refused) for refused in self.refused]
        if self.nearest is not None:
            words.append(str(self.nearest))
        if not self.feasible:
            words.append("no node could hold it even when empty")
        return "; ".join(words)


def count_refusals(
    task: TaskView,
    nodes: Sequence[NodeView],
    filters: Filters | None = None,
    refusal: Callable[[NodeView], Refusal | None] | None = None,
) -> Blocked:
    """Ask every node why it refuses *task*, and count; the commonest reason first.

    Args:
        task: the task.
        nodes: the nodes.
        filters: what decides whether a node can take it.
        refusal: their answer for a node and this task, with what depends on other nodes.
    """
    filters = filters or Filters()
    chosen = filters
    objection_to = refusal or (lambda node: chosen.refusal(task, node))
    counts: dict[str, int] = {}
    least: dict[str, int] = {}
    for node in nodes:
        objection = objection_to(node)
        if objection is None:
            continue
        counts[objection.words] = counts.get(objection.words, 0) + 1
        if objection.lacking:
            least[objection.words] = min(objection.lacking, least.get(objection.words, objection.lacking))
    refused = [
        Refused(nodes=counts[words], words=_in_full(words, least.get(words)))
        for words in sorted(counts, key=lambda words: (-counts[words], words))
    ]
    able = [node for node in nodes if filters.could_ever_hold(task, node)]
    all_refuse = bool(nodes) and sum(counts.values()) == len(nodes)
    nearest = _nearest(task, able, nodes, objection_to) if all_refuse else None
    return Blocked(refused=refused, feasible=bool(able), nearest=nearest)


def _in_full(words: str, lacking: int | None) -> str:
    if lacking is None:
        return words
    return f"{words} by {amount(words.split()[0], lacking)} at least"


def _nearest(
    task: TaskView,
    able: Sequence[NodeView],
    nodes: Sequence[NodeView],
    objection_to: Callable[[NodeView], Refusal | None],
) -> NearestMiss:
    """The node that lacks least, among those that could ever hold the task, or among all when empty."""
    looked_at = able or [NodeView(index=node.index, node=node.node) for node in nodes]
    rows = []
    for at, node in enumerate(looked_at):
        objections = [found for objects in FILTERS if (found := objects(task, node)) is not None]
        if not objections:
            last = objection_to(node)
            assert last is not None
            objections = [last]
        count, shortfall = len(objections), 0.0
        if any(objection.kind == "resources" for objection in objections):
            short = _shortages(task, node)
            count += len(short) - 1
            shortfall = sum(short.values())
        away = bool(able) and not node.ready
        rows.append((away, count, shortfall, at, objections))
    *_, best, against = min(rows, key=lambda row: row[:4])
    node = looked_at[best]
    lacks: list[str] = []
    for objection in against:
        if objection.kind == "resources":
            for name, lacking in task.resources.shortfall(node.free).amounts():
                lacks += [f"{name} short by {amount(name, lacking)}"] if lacking else []
        else:
            lacks.append(objection.words)
    return NearestMiss(node=node.name, lacks=lacks, empty=not able)


def _shortages(task: TaskView, node: NodeView) -> dict[str, float]:
    """By resource: which part of what the task asks for is not there."""
    wanted = dict(task.resources.amounts())
    return {
        name: min(1.0, lacking / wanted[name])
        for name, lacking in task.resources.shortfall(node.free).amounts()
        if lacking
    }


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A node that could take a task, and what it would cost to place it there."""

    node: str
    cost: float
    parts: Mapping[str, float] = {}
    """What the cost is made of, by name, as the strategy tells."""
    rank: int = 1
    """1: the cheapest."""
    here: bool = False
    """Whether the task is on this node."""

    def __str__(self) -> str:
        parts = " + ".join(f"{name} {value:.4g}" for name, value in self.parts.items())
        made_of = f" = {parts}" if len(self.parts) > 1 else ""
        return f"{self.rank}. {self.node}: {self.cost:.4g}{made_of}{' (it is here)' if self.here else ''}"


def rank_choices(
    scheduler: Scheduler, task: TaskView, nodes: Sequence[NodeView], here: str | None
) -> Sequence[Choice]:
    """Return the cheapest of *nodes*, at most ten, and behind them the one that the task is on.

    Args:
        scheduler: a strategy that has begun.
        task: the task, counted on none of the nodes.
        nodes: those that could take it.
        here: the name of the node that it is on; None: it is on none.

    Raises:
        PluginError: a cost or a part of one is not a finite number.
        Exception: whatever the strategy raises.
    """
    costs = [checked(cost, node) for cost, node in zip(scheduler.score(task, nodes), nodes, strict=True)]
    order = sorted(range(len(nodes)), key=lambda at: (costs[at], nodes[at].index))
    return [
        Choice(
            node=nodes[at].name,
            cost=costs[at],
            parts={
                str(name): checked(part, nodes[at]) for name, part in scheduler.parts(task, nodes[at]).items()
            },
            rank=rank,
            here=nodes[at].name == here,
        )
        for rank, at in enumerate(order, 1)
        if rank <= _CHOICES_SHOWN or nodes[at].name == here
    ]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``cluster.explain(task)``; ``str()`` gives it in words."""

    task: str
    """Job and task name."""
    state: str
    node: str | None = None
    """Where it is placed, or was last."""
    detail: str = ""
    """What it waits for, or how it ended."""
    fitting: int = 0
    """How many nodes could take it now."""
    choices: Sequence[Choice] = ()
    """The ten cheapest of them, cheapest first, and the one that it is on wherever that ranks.

    Each costs what it would cost to place the task there now; a task that is placed is not counted where it
    is. Of nodes that meet fewer of its preferences than others, none is shown."""
    refused: Sequence[Refused] = ()
    """The nodes that could not take it now, by what is against them. With *fitting*, that is all nodes."""
    blocked: Blocked | None = None
    """Why it fits nowhere; None: it fits somewhere, or is placed already."""
    outlook: str = ""
    """What becomes of it if it fits nowhere and nothing changes."""

    def __str__(self) -> str:
        lines = [f"{self.task} is {self.state}{f' on {self.node}' if self.node else ''}"]
        if self.detail:
            lines.append(f"  {self.detail}")
        if self.blocked is not None:
            lines.append("  fits nowhere now:")
            lines += [f"    {refused}" for refused in self.blocked.refused] or ["    there are no nodes yet"]
            if self.blocked.nearest is not None:
                lines.append(f"  {self.blocked.nearest}")
            if self.outlook:
                lines.append(f"  {self.outlook}")
        if self.choices:
            lines.append(f"  cost of placing it now, on {_of(len(self.choices), self.fitting)}:")
            lines += [f"    {choice}" for choice in self.choices]
            if self.refused:
                lines.append("  could not take it now:")
                lines += [f"    {refused}" for refused in self.refused]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain

    def _repr_html_(self) -> str:
        from minorch.scheduling.views import explanation_view

        return explanation_view(self)


def _of(shown: int, count: int) -> str:
    if shown == count:
        return f"the {count:,} nodes that could take it" if count > 1 else "the only node that could take it"
    return f"{shown:,} of the {count:,} nodes that could take it"
