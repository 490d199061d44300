"""What would be better off elsewhere: on boards small enough to work out, and bounded on large ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from minorch.schedulers import LeastLoaded, Spread
from minorch.scheduling import Board, NodeView, Rebalance, Scheduler, TaskView
from minorch.scheduling.rebalance import MOST_LOOKS, Placed, propose_moves
from minorch.testing.builders import cluster, node, task


class Unindexed(LeastLoaded):
    """Promises nothing."""

    depends_on = "anything"


def propose(
    scheduler: Scheduler,
    nodes: Sequence[NodeView],
    tasks: Sequence[tuple[TaskView, int]],
    *,
    max_moves: int = 10,
    waiting: int = 0,
    most_looks: int = MOST_LOOKS,
) -> Rebalance:
    """Ask about tasks, which are put on their nodes here."""
    views = list(cluster(nodes).nodes)
    for each, at in tasks:
        views[at] = views[at].with_task(each)
    view = cluster(views)
    return propose_moves(
        view,
        Board(view.nodes),
        [Placed(each, at) for each, at in tasks],
        scheduler,
        max_moves=max_moves,
        waiting=waiting,
        most_looks=most_looks,
    )


def crowd(count: int, *, different: bool = False) -> list[tuple[TaskView, int]]:
    """So many tasks on the first node, of one shape or each of its own."""
    return [(task(f"t{at}", cpu=0.1 + different * at / 1000, order=at), 0) for at in range(count)]


def test_without_tasks_there_is_nothing_to_move():
    assert propose(LeastLoaded(), [node("a")], []) == Rebalance()
    assert str(Rebalance()) == "nothing to move"


def test_where_everything_is_where_it_would_go_nothing_is_moved():
    tasks = [(task("x", cpu=1), 0), (task("y", cpu=1), 1)]
    assert propose(LeastLoaded(), [node("a"), node("b")], tasks).moves == []


@pytest.mark.parametrize("scheduler", [LeastLoaded(), Unindexed(), Spread()])
def test_moves_go_on_until_none_pays(scheduler: Scheduler):
    proposal = propose(scheduler, [node("a"), node("b"), node("c")], crowd(9))
    targets = [move.target for move in proposal.moves]
    assert sorted(targets) == ["b"] * 3 + ["c"] * 3
    assert proposal.why == ""


def test_the_best_move_comes_first():
    large, small = task("large", cpu=3), task("small", cpu=1)
    proposal = propose(LeastLoaded(), [node("a"), node("b")], [(large, 0), (small, 0)], max_moves=1)
    assert [move.task for move in proposal.moves] == ["job/small"]  # from full to a quarter, not three


def test_room_that_one_move_gives_back_is_used_by_another():
    class ByLabel(Scheduler):
        depends_on = "node"

        def cost(self, task: TaskView, node: NodeView) -> float:
            return float(node.labels["cost"])

    nodes = [node("a", cpu=1, labels={"cost": "9"}), node("b", cpu=1, labels={"cost": "5"})]
    tasks = [(task("x", cpu=1), 0), (task("y", cpu=1), 1)]
    third = node("c", cpu=1, labels={"cost": "1"})
    assert [(move.task, move.target) for move in propose(ByLabel(), [*nodes, third], tasks).moves] == [
        ("job/x", "c")
    ]
    chain = [(task("x", cpu=1, constraints=["cost in 5, 9"]), 0), (task("y", cpu=1), 1)]
    assert [(move.task, move.target) for move in propose(ByLabel(), [*nodes, third], chain).moves] == [
        ("job/y", "c"),
        ("job/x", "b"),
    ]


def test_another_node_at_the_same_cost_is_not_better():
    class Last(Scheduler):
        def pick(self, task: TaskView, nodes: Sequence[NodeView], costs: Sequence[float]) -> NodeView:
            return nodes[-1]

    assert propose(Last(), [node("a"), node("b")], crowd(2)).moves == []


def test_a_task_is_not_moved_to_a_node_where_it_failed_before():
    tasks = [(task(f"t{at}", cpu=1, avoid=["b"]), 0) for at in range(3)]
    assert propose(LeastLoaded(), [node("a"), node("b")], tasks).moves == []


def test_only_what_costs_most_is_asked_about_when_there_is_too_much_to_look_at():
    nodes = [node(f"n{at}", cpu=64) for at in range(50)]
    proposal = propose(Unindexed(), nodes, crowd(40, different=True), most_looks=1_100)
    assert proposal.tasks == 40
    assert 0 < proposal.asked < 40
    assert proposal.moves
    assert proposal.why == "not every task was asked about to the end"


def test_shapes_that_are_indexed_cost_few_looks():
    nodes = [node(f"n{at}", cpu=64) for at in range(50)]
    proposal = propose(LeastLoaded(), nodes, crowd(40), most_looks=1_100)
    assert proposal.asked == 40
    assert len(proposal.moves) == 10


def test_what_waits_is_told_with_the_moves():
    proposal = propose(LeastLoaded(), [node("a"), node("b")], crowd(4), waiting=1_200, max_moves=1)
    assert proposal.why == "1,200 tasks that wait may take the room that moves give back"
    assert str(proposal).splitlines()[0].endswith(f"({proposal.why})")


def test_many_moves_are_shown_in_part():
    proposal = propose(
        LeastLoaded(), [node(name, cpu=64, max_tasks=200) for name in "ab"], crowd(120), max_moves=55
    )
    assert len(proposal.moves) == 55
    assert str(proposal).splitlines()[-1] == "  and 5 more"


def test_no_task_is_moved_twice():
    tasks = [(task(f"t{at}", cpu=1 + at / 10), at % 2) for at in range(4)]
    proposal = propose(LeastLoaded(), [node("a"), node("b"), node("c")], tasks)
    moved = [move.task for move in proposal.moves]
    assert moved
    assert len(moved) == len(set(moved))
    assert all(move.gain > 0 for move in proposal.moves)
