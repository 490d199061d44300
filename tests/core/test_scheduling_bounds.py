"""What a board remembers is bounded, and what it forgets it finds out again."""

from __future__ import annotations

import pytest

from minorch.model import SpreadOver
from minorch.schedulers import LeastLoaded, RoundRobin
from minorch.scheduling import Board, NodeView, Scheduler, TaskView, board as module, make_plan
from minorch.testing.builders import cluster, node, task


def nodes() -> list[NodeView]:
    return list(cluster([node(f"n{at}", cpu=8, labels={"zone": "ab"[at % 2]}) for at in range(6)]).nodes)


def shapes(count: int) -> list[TaskView]:
    return [task(f"t{at}", cpu=1, memory=at, order=at) for at in range(count)]


def placed(board: Board, tasks: list[TaskView], scheduler: Scheduler) -> list[tuple[str, str]]:
    plan = make_plan(cluster(board.nodes), [[one] for one in tasks], scheduler, board=board)
    return [(placement.task.name, placement.node) for placement in plan.placements]


@pytest.mark.parametrize("make", [LeastLoaded, RoundRobin])
def test_the_shape_that_was_not_asked_about_for_longest_goes(make, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ENTRIES", 0)
    small = Board(nodes())
    expected = placed(Board(nodes(), indexed=False), shapes(20), make())
    assert placed(small, shapes(20), make()) == expected
    assert len(small._looks) == module._LEAST_SHAPES


def test_whether_a_shape_could_ever_be_held_is_remembered_of_so_many(monkeypatch):
    monkeypatch.setattr(module, "_SHORTEST_LOG", 3)
    board = Board(nodes())
    for one in shapes(20):
        assert board.could_ever_hold(one)
        assert len(board._holders) <= 4
    assert not board.could_ever_hold(task(cpu=9))


def test_so_many_tallies_are_kept(monkeypatch):
    monkeypatch.setattr(module, "_MOST_TALLIES", 2)
    board = Board(nodes())
    tasks = [task(f"t{at}", job=f"j{at % 4}", order=at, spread_over=[SpreadOver("zone")]) for at in range(12)]
    where = dict(placed(board, tasks, Scheduler()))
    assert len(board._tallies) == 2
    assert len(where) == 12
