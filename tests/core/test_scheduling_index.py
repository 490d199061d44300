"""What the index keeps: sets of nodes, costs by node, and that it answers as a scan does."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, strategies as st

import minorch.scheduling.board
from minorch.model import Affinity, Task
from minorch.resources import Resources
from minorch.schedulers import LeastLoaded, RoundRobin
from minorch.scheduling import Board, NodeView, TaskView, make_plan
from minorch.scheduling.index import Indices, NodeList
from minorch.testing import builders


@given(
    first=st.sets(st.integers(0, 20_000)), toggled=st.lists(st.integers(0, 20_000)), at=st.integers(0, 30_000)
)
def test_indices_are_a_sorted_set(first: set[int], toggled: list[int], at: int):
    indices, expected = Indices(sorted(first)), set(first)
    for index in toggled:
        (indices.remove if index in expected else indices.add)(index)
        expected ^= {index}
    ascending = sorted(expected)
    assert list(indices) == ascending
    assert len(indices) == len(ascending)
    assert [indices[rank] for rank in range(len(indices))] == ascending
    assert (at in indices) == (at in expected)
    assert indices.rank(at) == sum(index < at for index in ascending)
    assert list(indices.without([at, *ascending[:2]])) == [i for i in ascending[2:] if i != at]
    assert list(indices) == ascending
    for beyond in (-1, len(indices)):
        with pytest.raises(IndexError):
            indices[beyond]


def test_a_list_of_nodes_is_a_sequence():
    every = [builders.node(f"n{index}", index=index) for index in range(4)]
    nodes = NodeList(every, Indices([0, 2, 3]))
    assert [nodes[0], nodes[1], nodes[-1]] == [every[0], every[2], every[3]]
    assert nodes[1:] == [every[2], every[3]]
    assert every[2] in nodes
    assert every[1] not in nodes
    other: list[object] = ["n2"]
    assert other[0] not in nodes
    assert msgspec.structs.replace(every[2], tasks=1) not in nodes
    assert list(nodes.without([2])) == [every[0], every[3]]
    assert nodes.from_index(1) == 1
    assert "n3" in repr(nodes)


def _both(nodes: list[NodeView], groups: list[list[TaskView]]) -> list[list[tuple[str, str]]]:
    """Who goes where, by index and by scan."""
    found = []
    for indexed in (True, False):
        board = Board(nodes, indexed=indexed)
        plan = make_plan(builders.cluster(nodes), groups, LeastLoaded(), board=board)
        found.append([(each.task.job, each.node) for each in plan.placements])
    return found


def _task(job: str, *, apart_from: str = "") -> TaskView:
    wishes = [Affinity(job=apart_from, anti=True)] if apart_from else []
    task = Task("t", command=["true"], affinity=wishes)
    return TaskView(id=builders.identity(job), name="t", job_id=builders.identity(job), job=job, task=task)


def test_tasks_of_one_shape_are_told_apart_where_another_must_be_apart_from_one_of_them():
    one, other, picky = _task("one"), _task("other"), _task("picky", apart_from="one")
    nodes = [
        builders.node("n0", holds=[picky]),
        builders.node("n1", index=1, tasks=5, reserved=Resources(cpu=3)),
    ]
    assert one.shape == other.shape
    assert _both(nodes, [[other], [one]]) == [[("other", "n0"), ("one", "n1")]] * 2


def test_who_came_before_those_that_are_apart_is_looked_at_anew_when_they_come_and_go():
    one, other, picky = _task("one"), _task("other"), _task("picky", apart_from="one")
    board = Board([builders.node("n0"), builders.node("n1", index=1, tasks=9)])
    scheduler = LeastLoaded()

    def chosen() -> list[str]:
        found = [board.cheapest(task, scheduler) for task in (one, other)]
        return [each[0].name for each in found if each is not None]

    assert chosen() == ["n0", "n0"]
    board.update(board.nodes[0].with_task(picky))
    assert chosen() == ["n1", "n0"]
    board.update(board.nodes[0].with_task(picky))
    board.update(board.nodes[0].without_task(picky))
    assert chosen() == ["n1", "n0"]
    board.update(board.nodes[0].without_task(picky))
    assert chosen() == ["n0", "n0"]


def test_a_node_that_is_kept_for_a_task_is_not_offered_to_others_of_its_shape():
    mine, other = builders.task("mine"), builders.task("other")
    board = Board([builders.node("n0"), builders.node("n1", index=1, tasks=9)])
    board.update(msgspec.structs.replace(board.nodes[0], held_for=mine.id))
    found = [board.cheapest(task, LeastLoaded()) for task in (mine, other)]
    assert [each[0].name for each in found if each is not None] == ["n1", "n1"]


def test_what_is_known_of_descriptions_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(minorch.scheduling.board, "_MOST_DESCRIPTIONS", 1)
    task = builders.task(constraints=["zone == a"])
    nodes = [builders.node(f"n{at}", index=at, labels={"zone": "abca"[at]}) for at in range(4)]
    assert [node.name for node in Board(nodes).feasible(task)] == ["n0", "n3"]


def test_a_heap_that_has_grown_long_is_made_anew():
    board, scheduler, task = (
        Board([builders.node(f"n{at}", index=at) for at in range(3)]),
        LeastLoaded(),
        None,
    )
    task = builders.task(cpu=0.001)
    chance = random.Random(0)
    for turn in range(3000):  # three nodes that change all the time leave many entries that never surface
        node = board.nodes[chance.randrange(1, 3)]
        board.update(msgspec.structs.replace(node, reserved=Resources(cpu=chance.randrange(1, 4000) / 1000)))
        if not turn % 2:
            assert board.cheapest(task, scheduler) is not None
    scan = Board(board.nodes, indexed=False).feasible(task)
    best = min((scheduler.cost(task, node), node.index) for node in scan)
    found = board.cheapest(task, scheduler)
    assert found is not None
    assert (found[1], found[0].index) == best


def test_nodes_to_avoid_are_taken_if_there_are_no_others():
    scheduler = LeastLoaded()
    for indexed in (True, False):
        board = Board([builders.node("n0"), builders.node("n1", index=1, tasks=9)], indexed=indexed)
        for avoid, cheapest, offered in (
            ({"n0", "gone"}, "n1", ["n1"]),
            ({"n0", "n1"}, "n0", ["n0", "n1"]),
            ({"gone"}, "n0", ["n0", "n1"]),
        ):
            task = builders.task(avoid=avoid)
            assert [node.name for node in board.feasible(task)] == offered
            if board.indexes(task, scheduler):
                found = board.cheapest(task, scheduler)
                assert found is not None
                assert found[0].name == cheapest


def test_a_log_that_nobody_reads_is_shortened_and_what_it_was_for_made_anew():
    board, scheduler = Board([builders.node("n0"), builders.node("n1", index=1)]), LeastLoaded()
    read, unread = builders.task(cpu=0.1), builders.task(cpu=0.2)
    for task in (read, unread):
        assert board.cheapest(task, scheduler) is not None
    for _ in range(3000):
        board.update(board.nodes[0].with_task(read))
        board.update(board.nodes[0].without_task(read))
        assert board.cheapest(read, scheduler) is not None
    board.update(board.nodes[0].with_task(read))
    for task in (read, unread):
        found = board.cheapest(task, scheduler)
        assert found is not None
        assert found[0].name == "n1"


@pytest.mark.parametrize("more", [Resources(), Resources(cpu=1, memory="1GiB", gpu=1)])
def test_shares_are_those_with_names(more: Resources):
    held = Resources(cpu=1, disk="1GiB", gpu=0.5)
    for node in (
        builders.node("n", disk="9GiB", gpu=2, licence=3, reserved=held),
        builders.node("none", cpu=0, memory=0),
    ):
        assert node.shares(more) == list(node.share(more).values())


def test_a_rotation_goes_on_while_nodes_stay_and_when_they_change():
    scheduler, task = RoundRobin(), builders.task()

    def place(names: str) -> str:
        view = builders.cluster([builders.node(name) for name in names])
        (placement,) = make_plan(view, [[task]], scheduler).placements
        return placement.node

    assert [place("abc") for _ in range(4)] == ["a", "b", "c", "a"]
    assert place("xabc") == "b"
    assert place("xacd") == "c"
