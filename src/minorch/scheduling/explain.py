"""Why a task is where it is, or why it is nowhere: counts and words, no decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from minorch.scheduling.filters import Filters, Refusal, amount
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["Blocked", "Explanation", "Refused", "count_refusals"]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """So many nodes, refused for the same thing."""

    nodes: int
    words: str

    def __str__(self) -> str:
        return f"{self.nodes:,} node{'' if self.nodes == 1 else 's'}: {self.words}"


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task fits nowhere now. The counts add up to the number of nodes."""

    refused: Sequence[Refused] = ()
    feasible: bool = False
    """Whether some node could hold it if the node were ready and empty: it waits. If not, it never fits."""

    def __str__(self) -> str:
        if not self.refused:
            return "there are no nodes yet"
        end = "" if self.feasible else "; no node could hold it even when empty"
        return "; ".join(str(refused) for refused in self.refused) + end


def count_refusals(
    task: TaskView,
    nodes: Sequence[NodeView],
    filters: Filters | None = None,
    refusal: Callable[[NodeView], Refusal | None] | None = None,
) -> Blocked:
    """Ask every node why it refuses *task*, and count; the commonest reason first."""
    filters = filters or Filters()
    counts: dict[str, int] = {}
    least: dict[str, int] = {}
    for node in nodes:
        objection = filters.refusal(task, node) if refusal is None else refusal(node)
        if objection is None:
            continue
        counts[objection.words] = counts.get(objection.words, 0) + 1
        if objection.lacking:
            least[objection.words] = min(objection.lacking, least.get(objection.words, objection.lacking))
    refused = [
        Refused(nodes=counts[words], words=_in_full(words, least.get(words)))
        for words in sorted(counts, key=lambda words: (-counts[words], words))
    ]
    return Blocked(refused=refused, feasible=any(filters.could_ever_hold(task, node) for node in nodes))


def _in_full(words: str, lacking: int | None) -> str:
    if lacking is None:
        return words
    return f"{words} by {amount(words.split()[0], lacking)} at least"


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``cluster.explain(task)``; ``str()`` gives it in words."""

    task: str
    """Job and task name."""
    state: str
    node: str | None = None
    """Where it is placed, or was last."""
    costs: Sequence[tuple[str, float]] = ()
    """The cheapest nodes for it now and what each would cost, cheapest first."""
    blocked: Blocked | None = None
    detail: str = ""
    """What it waits for, or how it ended."""

    def __str__(self) -> str:
        lines = [f"{self.task} is {self.state}{f' on {self.node}' if self.node else ''}"]
        if self.detail:
            lines.append(f"  {self.detail}")
        if self.blocked is not None:
            lines.append("  fits nowhere now:")
            lines += [f"    {refused}" for refused in self.blocked.refused] or ["    there are no nodes yet"]
            if self.blocked.refused:
                lines.append(
                    "  it waits until there is room"
                    if self.blocked.feasible
                    else "  no node could hold it even when empty"
                )
        if self.costs:
            lines.append("  cost of placing it now:")
            lines += [f"    {name}: {cost:.4g}" for name, cost in self.costs]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain
