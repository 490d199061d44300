"""A plan places what fits, counts why the rest does not, and keeps a faulty strategy's damage to one task."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from minorch.errors import PluginError
from minorch.scheduling import (
    ClusterView,
    FunctionScheduler,
    NodeView,
    Plan,
    Scheduler,
    TaskView,
    make_plan,
)
from minorch.scheduling.plan import ask
from minorch.testing.builders import cluster, node, task


def decisions(plan: Plan) -> list[tuple[str, str]]:
    return [(placement.task.name, placement.node) for placement in plan.placements]


def fewest(_task: TaskView, view: NodeView) -> float:
    return view.tasks


def test_the_base_class_costs_nothing_and_takes_the_first():
    plan = make_plan(cluster([node("a"), node("b")]), [[task("t")]], Scheduler())
    assert decisions(plan) == [("t", "a")]
    assert plan.placements[0].cost == 0.0


def test_a_function_is_a_strategy():
    strategy = FunctionScheduler(fewest)
    plan = make_plan(
        cluster([node("a", tasks=1), node("b")]), [[task("t1"), task("t2"), task("t3")]], strategy
    )
    assert decisions(plan) == [("t1", "b"), ("t2", "a"), ("t3", "b")]
    assert repr(strategy) == "FunctionScheduler('fewest')"


def test_a_nameless_function_shows_itself():
    class Cost:
        def __call__(self, task: TaskView, node: NodeView) -> float:
            return 1.0

        def __repr__(self) -> str:
            return "Cost()"

    assert repr(FunctionScheduler(Cost())) == "FunctionScheduler(Cost())"


def test_what_is_placed_takes_room_for_the_rest_of_the_plan():
    tasks = [task(f"t{at}", cpu=2, order=at) for at in range(4)]
    plan = make_plan(cluster([node("a", cpu=4), node("b", cpu=2)]), [tasks], FunctionScheduler(fewest))
    assert decisions(plan) == [("t0", "a"), ("t1", "b"), ("t2", "a")]
    assert {tasks[3].id: "2 nodes: cpu short by 2 at least; nearest: a, cpu short by 2"} == {
        task_id: str(blocked) for task_id, blocked in plan.blocked.items()
    }


def test_the_rest_of_a_group_is_not_tried_but_other_groups_are():
    large = [task("large", cpu=8), task("large2", cpu=8, order=1)]
    plan = make_plan(cluster([node("a", cpu=4)]), [large, [task("small", cpu=1, order=2)]], Scheduler())
    assert decisions(plan) == [("small", "a")]
    assert list(plan.blocked) == [large[0].id]


def test_groups_are_merged_by_turn():
    one = [task("a0", order=0), task("a3", order=3)]
    other = [task("b1", order=1, cpu=1), task("b2", order=2, cpu=1)]
    plan = make_plan(cluster([node("n")]), [other, [], one], Scheduler())
    assert [name for name, _ in decisions(plan)] == ["a0", "b1", "b2", "a3"]


def test_groups_are_read_only_as_far_as_they_are_placed():
    def endless():
        for at in range(10**9):
            yield task(f"t{at}", cpu=1, order=at)

    plan = make_plan(cluster([node("a", cpu=3)]), [endless()], Scheduler())
    assert len(plan.placements) == 3


def test_a_node_that_it_failed_on_is_taken_only_if_no_other_will_do():
    nodes = cluster([node("a"), node("b", cpu=1)])
    strategy = Scheduler()
    tasks = [task("t0", cpu=1, avoid=["a"]), task("t1", cpu=1, order=1, avoid=["a"])]
    assert decisions(make_plan(nodes, [tasks], strategy)) == [("t0", "b"), ("t1", "a")]


def test_without_tasks_the_strategy_is_not_asked():
    class Raises(Scheduler):
        def begin(self, cluster: ClusterView) -> None:
            raise AssertionError

    plan = make_plan(cluster([node("a")]), [], Raises())
    assert [*plan.placements, *plan.blocked, *plan.broken] == []


# -- strategies that break the contract ----------------------------------------------------------------------


class Faulty(Scheduler):
    """Does wrong for tasks called ``bad`` alone."""

    def wrong(self, task: TaskView) -> bool:
        return task.name == "bad"


class Raises(Faulty):
    def cost(self, task: TaskView, node: NodeView) -> float:
        if self.wrong(task):
            raise KeyError("gpu")
        return 0.0


class GivesText(Faulty):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return "cheap" if self.wrong(task) else 0.0  # type: ignore[return-value]


class GivesBool(Faulty):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return self.wrong(task) or 0.0


class GivesNaN(Faulty):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return float("nan") if self.wrong(task) else 0.0


class GivesInfinity(Faulty):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return float("inf") if self.wrong(task) else 0.0


class TooFewCosts(Faulty):
    def score(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[float]:
        return [0.0] * (len(nodes) - self.wrong(task))


class NoCandidates(Faulty):
    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        return [] if self.wrong(task) else nodes


class ForeignCandidate(Faulty):
    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        return [node("stranger")] if self.wrong(task) else nodes


class ForeignPick(Faulty):
    def pick(self, task: TaskView, nodes: Sequence[NodeView], costs: Sequence[float]) -> NodeView:
        return node("stranger") if self.wrong(task) else nodes[0]


class RaisesAfterwards(Faulty):
    def placed(self, task: TaskView, node: NodeView) -> None:
        if self.wrong(task):
            raise RuntimeError("late")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Raises(), "KeyError: 'gpu'"),
        (GivesText(), "the cost of node a is 'cheap', not a finite number"),
        (GivesBool(), "the cost of node a is True, not a finite number"),
        (GivesNaN(), "the cost of node a is nan, not a finite number"),
        (GivesInfinity(), "the cost of node a is inf, not a finite number"),
        (TooFewCosts(), "score() returned 0 costs for 1 nodes"),
        (NoCandidates(), "candidates() returned none of the nodes it was given, or others"),
        (ForeignCandidate(), "candidates() returned none of the nodes it was given, or others"),
        (ForeignPick(), "pick() returned a node that was no candidate"),
        (RaisesAfterwards(), "RuntimeError: late"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Scheduler) else "",
)
def test_a_faulty_strategy_spoils_one_task_takes_no_room_and_is_named(strategy: Scheduler, words: str):
    bad, good = task("bad", cpu=1), task("good", cpu=1, order=1)
    plan = make_plan(cluster([node("a", cpu=1)]), [[bad, good]], strategy)
    assert decisions(plan) == [("good", "a")]
    name = type(strategy).__name__
    assert list(plan.broken) == [bad.id]
    start = f"scheduler {name} failed on task job/bad"
    assert plan.broken[bad.id].removeprefix(start).removeprefix(" and node a").startswith(f": {words}")


def test_a_strategy_that_cannot_begin_is_asked_again_for_each_task():
    class Late(Scheduler):
        tries = 0

        def begin(self, cluster: ClusterView) -> None:
            self.tries += 1
            if self.tries == 1:
                raise RuntimeError("not yet")

    first, second, third = (task(f"t{at}", order=at) for at in range(3))
    strategy = Late()
    plan = make_plan(cluster([node("a")]), [[first, second, third]], strategy)
    assert list(plan.broken) == [first.id]
    assert decisions(plan) == [("t1", "a"), ("t2", "a")]
    assert strategy.tries == 2


def test_asking_gives_the_node_and_its_cost():
    nodes = cluster([node("a", tasks=3), node("b", tasks=2)]).nodes
    chosen, cost = ask(FunctionScheduler(fewest), task(), nodes)
    assert (chosen, cost) == (nodes[1], 2.0)
    assert isinstance(cost, float)


def test_a_stranger_behind_all_that_were_offered_is_one_too():
    class Last(Scheduler):
        def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
            return [node("stranger", index=7)]

    with pytest.raises(PluginError, match="or others"):
        ask(Last(), task(), [node("a")])


def test_some_of_the_nodes_that_were_offered_are_candidates_in_any_order():
    class Backwards(Scheduler):
        def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
            return list(reversed(nodes))

    nodes = cluster([node("a"), node("b")]).nodes
    assert ask(Backwards(), task(), nodes) == (nodes[0], 0.0)


def test_a_strategy_that_scores_all_nodes_at_once_is_asked_by_the_index_too():
    class Scores(Scheduler):
        depends_on = "node"

        def score(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[float]:
            return [float(node.tasks) for node in nodes]

    tasks = [task(f"t{at}", order=at) for at in range(3)]
    plan = make_plan(cluster([node("a", tasks=1), node("b")]), [tasks], Scores())
    assert decisions(plan) == [("t0", "b"), ("t1", "a"), ("t2", "b")]


def test_asking_a_faulty_strategy_raises():
    with pytest.raises(PluginError, match="no candidate"):
        ask(ForeignPick(), task("bad"), [node("a")])


def test_equal_costs_go_to_the_lower_index_whatever_the_order():
    nodes = cluster([node("a"), node("b")]).nodes
    assert Scheduler().pick(task(), [nodes[1], nodes[0]], [1.0, 1.0]) is nodes[0]
