"""A job is judged by what some node could hold were it empty; nodes that could lately are asked first."""

from __future__ import annotations

import pytest

from minorch.errors import UnschedulableError
from minorch.manager.answers import check_feasible
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.state.records import NodeRecord
from minorch.state.tables import NodeEntry

NODES = {
    f"n{number}": NodeEntry(
        NodeRecord(
            index=number,
            node=Node(f"n{number}", capacity=Resources(cpu=4), labels={"number": str(number)}),
        ),
        0.0,
    )
    for number in range(20)
}


def asks_for(number: int) -> Job:
    return Job("j", [Task("t", command=["x"], constraints=[f"number == {number}"])])


def test_the_latest_nodes_that_could_hold_a_task_are_remembered_and_no_more_than_some():
    recent: dict[str, None] = {}
    for number in range(20):
        check_feasible(asks_for(number), NODES, recent)
    assert list(recent) == [f"n{number}" for number in range(4, 20)]
    check_feasible(asks_for(4), NODES, recent)
    assert list(recent)[-1] == "n4"


def test_what_is_remembered_changes_no_verdict():
    recent: dict[str, None] = {"gone": None, "n1": None}
    check_feasible(asks_for(1), NODES, recent)
    with pytest.raises(UnschedulableError, match="fits on no node, even if empty"):
        check_feasible(asks_for(99), NODES, recent)
    check_feasible(asks_for(3), NODES)
    assert list(recent) == ["gone", "n1"]
