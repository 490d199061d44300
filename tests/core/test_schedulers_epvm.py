"""E-PVM against values worked out by hand from TPDS 11(7), section 4."""

from __future__ import annotations

import math

import pytest

from minorch.errors import UsageError
from minorch.resources import Resources
from minorch.schedulers.epvm import EPVM
from minorch.scheduling import NodeView, make_plan
from minorch.testing.builders import cluster, node, task


def four(*views: NodeView) -> list[NodeView]:
    """A cluster of four nodes, so that n = 4; the rest of them are empty."""
    return [*views, *(node(f"rest{at}") for at in range(4 - len(views)))]


# -- the paper's terms: n^(memory share) + n^(load / L) ------------------------------------------------------


def test_in_the_paper_an_empty_node_costs_the_rise_from_nothing():
    # n = 4, L = 1: memory 4^(1/2) - 4^0 = 1; load 4^(1/1) - 4^0 = 3
    scheduler = EPVM(terms="paper")
    scheduler.begin(cluster(four(node("a", memory=8))))
    assert scheduler.load_limit == 1
    assert scheduler.cost(task(memory=4), node("a", memory=8)) == pytest.approx(1 + 3)


def test_in_the_paper_a_node_that_becomes_full_costs_the_last_step():
    # n = 4, one task seen so L = 2: memory 4^1 - 4^(1/2) = 2; load 4^(2/2) - 4^(1/2) = 2
    half = node("a", memory=8, reserved=Resources(memory=4), tasks=1)
    scheduler = EPVM(terms="paper")
    scheduler.begin(cluster(four(half)))
    assert scheduler.cost(task(memory=4), half) == pytest.approx(2 + 2)


def test_in_the_paper_l_doubles_when_it_is_reached_and_never_shrinks():
    scheduler = EPVM(terms="paper")
    limits = []
    for tasks in (0, 1, 2, 3, 4, 7, 8, 0):
        scheduler.begin(cluster([node("a", tasks=tasks), node("b")]))
        limits.append(scheduler.load_limit)
    assert limits == [1, 2, 4, 4, 8, 8, 16, 16]


def test_in_the_paper_l_is_global_and_grows_within_a_plan():
    # n = 4. L = 1: an empty node costs 4^1 - 4^0 = 3. After one placement L = 2: 4^(1/2) - 1 = 1.
    scheduler = EPVM(terms="paper")
    plan = make_plan(cluster(four()), [[task(f"t{at}", order=at) for at in range(9)]], scheduler)
    costs = [placement.cost for placement in plan.placements]
    assert costs[:4] == pytest.approx([3, 1, 1, 1])
    # all have 1 task: 4^(2/2) - 4^(1/2) = 2 for the fifth; then L = 4: 4^(2/4) - 4^(1/4) for three more
    assert costs[4:8] == pytest.approx([2, *[2 - math.sqrt(2)] * 3])
    # all have 2 tasks, L = 4: 4^(3/4) - 4^(2/4)
    assert costs[8] == pytest.approx(2**1.5 - 2)
    assert scheduler.load_limit == 4


def test_in_the_paper_memory_that_is_not_known_has_no_term():
    scheduler = EPVM(terms="paper")
    scheduler.begin(cluster(four(node("a", memory=0))))
    assert scheduler.cost(task(cpu=1), node("a", memory=0)) == pytest.approx(3)


def test_a_doubling_of_l_and_a_change_of_n_say_that_costs_hold_no_more():
    assert EPVM.depends_on == "node"
    scheduler = EPVM(terms="paper")
    generations = []
    for tasks in (0, 1, 2, 2, 4):  # L is 1, 2, 4, 4, 8
        scheduler.placed(task(), node("a", tasks=tasks))
        generations.append((scheduler.load_limit, scheduler.generation))
    assert generations == [(1, 0), (2, 1), (4, 2), (4, 2), (8, 3)]
    scheduler = EPVM()
    # An eighth of 9 is more than 1.
    for count, generation in ((2, 0), (8, 1), (8, 1), (9, 2), (10, 2), (11, 3)):
        scheduler.begin(cluster(node(f"n{at}") for at in range(count)))
        assert scheduler.generation == generation


# -- the default: every resource that the task asks for, and a slot ------------------------------------------


def test_by_default_each_resource_that_is_asked_for_and_a_slot_have_a_term():
    # n = 4: cpu 4^(1/2) - 1 = 1; memory 4^1 - 4^(1/2) = 2; gpu 4^(1/2) - 1 = 1; slot 4^(1/2) - 1 = 1
    view = node("a", cpu=2, memory=8, gpu=2, reserved=Resources(memory=4), max_tasks=2)
    scheduler = EPVM()
    scheduler.begin(cluster(four(view)))
    assert scheduler.cost(task(), view) == pytest.approx(1)
    assert scheduler.cost(task(cpu=1), view) == pytest.approx(2)
    assert scheduler.cost(task(cpu=1, memory=4), view) == pytest.approx(4)
    assert scheduler.cost(task(cpu=1, memory=4, gpu=1), view) == pytest.approx(5)
    assert scheduler.cost(task(disk=1), view) == pytest.approx(1)  # it has no disk, and could not be offered
    assert scheduler.load_limit == 1


def test_a_disk_has_a_term_too():
    view = node("a", disk=10, max_tasks=1)
    scheduler = EPVM()
    scheduler.begin(cluster(four(view)))
    assert scheduler.cost(task(disk=5), view) == pytest.approx(3 + 1)


def test_the_fuller_of_two_nodes_costs_more():
    empty, half = node("a"), node("b", reserved=Resources(cpu=2))
    plan = make_plan(cluster([half, empty]), [[task(cpu=1)]], EPVM())
    assert [placement.node for placement in plan.placements] == ["a"]


def test_tasks_that_ask_for_nothing_are_spread_by_slots():
    nodes = cluster([node("a"), node("b"), node("c", max_tasks=10)])
    plan = make_plan(nodes, [[task(f"t{at}", order=at) for at in range(4)]], EPVM())
    assert [placement.node for placement in plan.placements] == ["a", "b", "a", "b"]


def test_on_a_single_node_the_base_is_two_and_everything_fits():
    # the paper's n = 1 would make every cost 0
    only = node("a", cpu=2)
    scheduler = EPVM()
    scheduler.begin(cluster([only]))
    slot = 2**0.01 - 1
    assert scheduler.cost(task(cpu=2), only) == pytest.approx(1 + slot)
    assert len(make_plan(cluster([only]), [[task(cpu=2)]], scheduler).placements) == 1


def test_before_any_plan_costs_are_finite():
    assert EPVM().cost(task(cpu=1), node("a", cpu=2)) > 0


def test_an_overcommitted_node_costs_much_but_never_overflows():
    scheduler = EPVM()
    scheduler.begin(cluster([node(f"n{at}") for at in range(1000)]))
    over = node("a", cpu=0.001, reserved=Resources(cpu=10_000_000))
    cost = scheduler.cost(task(cpu=1_000_000), over)
    assert math.isfinite(cost)
    assert cost > 1e90


def test_a_tiny_task_on_a_vast_node_still_costs_something():
    scheduler = EPVM()
    scheduler.begin(cluster(four()))
    vast = node("a", memory="1024TiB", reserved=Resources(memory="512TiB"), max_tasks=0)
    assert 0 < scheduler.cost(task(memory=1), vast) < 1e-14


def test_unknown_terms_are_refused_with_the_nearest():
    with pytest.raises(UsageError) as caught:
        EPVM(terms="papers")  # type: ignore[arg-type]
    assert str(caught.value) == "'papers' is none of requests, paper; did you mean \"paper\"?"


def test_it_shows_its_terms():
    assert repr(EPVM()) == "EPVM(terms='requests')"
