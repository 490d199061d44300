"""Tallies count tasks by place and are kept up to date; a neighbourhood says who is in the way, in words."""

from __future__ import annotations

from minorch.model import Affinity, SpreadOver, Task
from minorch.scheduling import Board, NodeView, TaskView
from minorch.scheduling.neighbours import Tally
from minorch.state.shape import TaskGroup
from minorch.testing.builders import cluster, node


def waiting(name: str, job: str = "job", **fields: object) -> TaskView:
    spec = Task(name, command=["x"], **fields)  # type: ignore[arg-type]
    return TaskView(id=f"{job}/{name}", name=name, job_id=job, job=job, task=spec)


def words(board: Board, task: TaskView) -> list[str | None]:
    refusal = board.refusal(task)
    return [None if (found := refusal(view)) is None else found.words for view in board.nodes]


def names(nodes: object) -> list[str]:
    return [view.name for view in nodes]  # type: ignore[attr-defined]


def test_a_tally_counts_by_place_and_what_is_in_none_in_the_sum_alone(monkeypatch):
    monkeypatch.setattr("minorch.scheduling.neighbours._MOST_KNOWN", 1)
    groups = [TaskGroup(job_id="j", job="j", name=name) for name in ("a", "b", "c")]
    asked: list[str] = []

    def counts(group: TaskGroup) -> bool:
        asked.append(group.name)
        return group.name != "b"

    def view(at: int, zone: str | None, **tasks: int) -> NodeView:
        by_group = {group: tasks[group.name] for group in groups if group.name in tasks}
        labels = {} if zone is None else {"zone": zone}
        made = cluster([node(f"n{i}", labels=labels) for i in range(at + 1)]).nodes[at]
        return type(made)(index=at, node=made.node, groups=by_group)

    tally = Tally("zone", counts, [view(0, "x", a=1, b=5), view(1, None, a=2), view(2, "x", c=3)])
    assert (tally.places, tally.total) == ({"x": 4, None: 2}, 6)
    tally.replace(view(2, "x", c=3), view(2, "y", c=1))
    assert (tally.places, tally.total) == ({"x": 1, None: 2, "y": 1}, 4)
    tally.replace(view(0, "x", a=1, b=5), view(0, "x"))
    assert (tally.places, tally.total) == ({None: 2, "y": 1}, 3)
    tally.replace(None, view(3, "z", a=1))
    assert tally.places["z"] == 1
    assert len(asked) > 3  # what is known of groups is forgotten when there are too many


def test_whom_a_task_has_to_be_near_or_apart_from_is_named():
    nodes = cluster([node("a", labels={"zone": "x"}), node("b", labels={"zone": "y"}), node("c")]).nodes
    board = Board(nodes)
    cache = waiting("cache", labels={"app": "db"})
    board.update(board.nodes[0].with_task(cache))

    def near(**about: object) -> list[str | None]:
        return words(board, waiting("web", affinity=[Affinity.near(topology="zone", **about)]))  # type: ignore[arg-type]

    assert near(job="job") == [None, "not near job job: none in this zone", "no label zone"]
    assert near(task="cache") == [None, "not near task cache: none in this zone", "no label zone"]
    assert near(labels={"app": "db"})[1] == "not near tasks with app=db: none in this zone"
    assert near()[1] == "not near its own job: none in this zone"
    assert near(job="none")[0] == "not near job none: none in this zone"
    apart = waiting("web", affinity=[Affinity.apart(job="job", topology="zone")])
    assert words(board, apart) == [
        "job job in this zone already, from which it is apart",
        None,
        "no label zone",
    ]


def test_wishes_are_weighed_and_the_nodes_that_miss_the_least_are_offered():
    nodes = cluster(
        [node(name, labels={"zone": zone}) for name, zone in [("a", "x"), ("b", "y"), ("c", "y")]]
    )
    board = Board(nodes.nodes)
    cache = waiting("cache")
    board.update(board.nodes[1].with_task(cache))
    near = Affinity.near(task="cache", weight=3)
    assert names(board.feasible(waiting("web", affinity=[near]))) == ["b"]
    likes = waiting("web", affinity=[near], preferences={"zone == x": 3})
    assert names(board.feasible(likes)) == ["a", "b"]
    spread = waiting("cache", spread_over=[SpreadOver("zone", weight=1)])
    board.update(board.nodes[0].with_task(spread))
    assert names(board.feasible(spread)) == ["a", "b", "c"]
    board.update(board.nodes[0].with_task(spread))
    assert names(board.feasible(spread)) == ["b", "c"]


def test_what_is_around_a_task_that_looks_at_nobody_is_no_matter():
    board = Board(cluster([node("a", cordoned=True)]).nodes)
    assert board.around(waiting("web"))(board.nodes[0]) is None
    wide = waiting("picky", job="other", affinity=[Affinity.apart(job="job", topology="zone")])
    assert not board.stands_out(waiting("web"))
    board.update(board.nodes[0].with_task(wide))
    assert board.stands_out(waiting("web"))
    assert not board.stands_out(waiting("web", job="third"))
