"""Looking at some nodes only, drawn at random from the seeded source."""

from __future__ import annotations

import pytest

from minorch.errors import UsageError
from minorch.schedulers import EPVM, LeastLoaded
from minorch.scheduling import Board, NodeView, Plan, Scheduler, TaskView, make_plan
from minorch.testing.builders import cluster, node, task


class Fewest(Scheduler):
    """Counts how many nodes it is asked about."""

    asked = 0

    def cost(self, task: TaskView, node: NodeView) -> float:
        self.asked += 1
        return node.tasks


def plan(scheduler: Scheduler, nodes: int, *, seed: int = 0, tasks: int = 1, indexed: bool = True) -> Plan:
    view = cluster([node(f"n{at}", cpu=1000) for at in range(nodes)], seed=seed)
    waiting = [[task(f"t{at}", cpu=1, order=at) for at in range(tasks)]]
    return make_plan(view, waiting, scheduler, board=Board(view.nodes, indexed=indexed))


def where(plan: Plan) -> list[str]:
    return [placement.node for placement in plan.placements]


@pytest.mark.parametrize(("sample", "asked"), [(3, 3), ("log2", 10), (1, 1)])
def test_so_many_nodes_are_asked_and_no_more(sample, asked):
    scheduler = Fewest(sample=sample)
    assert len(plan(scheduler, 1000).placements) == 1
    assert scheduler.asked == asked


def test_a_sample_as_large_as_the_cluster_is_all_of_it():
    scheduler = Fewest(sample=5)
    assert where(plan(scheduler, 5)) == ["n0"]
    assert scheduler.asked == 5


@pytest.mark.parametrize("make", [Fewest, LeastLoaded, EPVM])
def test_the_same_seed_draws_the_same_with_index_and_scan(make):
    one, other, third = (
        where(plan(make(sample="log2"), 200, seed=seed, tasks=50, indexed=indexed))
        for seed, indexed in ((1, True), (1, False), (2, True))
    )
    assert one == other
    assert one != third


def test_where_few_nodes_will_do_all_are_looked_at():
    nodes = [node(f"n{at}", cpu=1) for at in range(400)] + [node("large", cpu=64)]
    found = make_plan(cluster(nodes), [[task(cpu=8)]], LeastLoaded(sample=2))
    assert where(found) == ["large"]


def test_what_it_is_to_avoid_is_not_drawn():
    names = [f"n{at}" for at in range(30)]
    nodes = cluster([node(name) for name in names])
    found = make_plan(nodes, [[task(avoid=names[:29])]], LeastLoaded(sample=8))
    assert where(found) == ["n29"]


@pytest.mark.parametrize("sample", [0, -1, 1.5, True, "log10", "two"])
def test_what_is_no_sample_is_refused(sample):
    with pytest.raises(UsageError, match="sample="):
        EPVM(sample=sample)
