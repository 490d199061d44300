"""A ledger as a table for pandas, which is an extra. Columns are copied as they are, not value by value."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from minorch.errors import UsageError, brief
from minorch.simulation.results.ledger import ENDINGS, REASONS, Ledger
from minorch.simulation.results.usage import amount_of, unit_of

if TYPE_CHECKING:
    import pandas

__all__ = ["to_frame"]


def to_frame(ledger: Ledger, what: Literal["tasks", "runs"]) -> pandas.DataFrame:
    """A table with a row for each task, or for each run of one.

    Raises:
        UsageError: pandas is not installed, or *what* is neither ``"tasks"`` nor ``"runs"``.
    """
    try:
        import pandas
    except ImportError:
        raise UsageError('a frame needs pandas: pip install "minorch[frame]"') from None
    if what == "tasks":
        return pandas.DataFrame(_tasks(ledger))
    if what == "runs":
        return pandas.DataFrame(_runs(ledger))
    raise UsageError(f'what={brief(what)}: there is a frame of "tasks" and one of "runs"')


def _tasks(ledger: Ledger) -> dict[str, object]:
    arrived, started = ledger.arrived_s, ledger.started_s
    node_of = array("l", [*ledger.run_node, -1])  # -1, the last, for tasks whose latest run is none
    return {
        "job": ledger.job,
        "task": ledger.task,
        "arrived_s": arrived,
        "started_s": started,
        "finished_s": ledger.finished_s,
        "wait_s": array("d", (began - came for began, came in zip(started, arrived, strict=True))),
        "duration_s": ledger.duration_s,
        "ending": _words(ledger.ending, ENDINGS),
        "reason": _words(array("l", (number - 1 for number in ledger.reason)), REASONS[1:]),
        "node": _words(array("l", map(node_of.__getitem__, ledger.last_run)), _names(ledger)),
        "runs": ledger.runs,
        **_amounts(ledger, ledger.requested, "asked"),
        **_amounts(ledger, ledger.used, "used"),
    }


def _runs(ledger: Ledger) -> dict[str, object]:
    return {
        "row": ledger.run_task,
        "job": list(map(ledger.job.__getitem__, ledger.run_task)),
        "task": list(map(ledger.task.__getitem__, ledger.run_task)),
        "node": _words(ledger.run_node, _names(ledger)),
        "began_s": ledger.run_began_s,
        "ended_s": ledger.run_ended_s,
    }


def _names(ledger: Ledger) -> list[str]:
    return [node.name for node in ledger.nodes]


def _words(numbers: Sequence[int], words: Sequence[str | None]) -> pandas.Categorical[str]:
    """Words that are repeated over and over; -1: none."""
    import pandas

    return pandas.Categorical.from_codes(list(numbers), categories=pandas.Index(list(map(str, words))))


def _amounts(ledger: Ledger, shapes: Sequence[int], what: str) -> dict[str, object]:
    """By resource, a column of amounts: ``asked_cpu``, ``used_memory_bytes``."""
    names = dict.fromkeys(name for shape in ledger.shapes for name, amount in shape.amounts() if amount)
    columns: dict[str, object] = {}
    for name in names:
        by_shape = [amount_of(shape, name) for shape in ledger.shapes]
        if unit_of(name) == "bytes":
            columns[f"{what}_{name}_bytes"] = array("q", map(by_shape.__getitem__, shapes))
        else:
            columns[f"{what}_{name}"] = array("d", (by_shape[shape] / 1000 for shape in shapes))
    return columns
