"""Round-robin, least loaded, bin packing, spread and chance: each on a cluster small enough to work out."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from minorch.resources import Resources
from minorch.schedulers import BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import NodeView, Scheduler, make_plan
from minorch.testing.builders import cluster, identity, node, stats, task


def places(
    scheduler: Scheduler, nodes: list[NodeView], count: int = 1, *, seed: int = 0, cpu: float = 0
) -> str:
    """Where so many equal tasks go, as the nodes' names in one word."""
    tasks = [task(f"t{at}", cpu=cpu, order=at) for at in range(count)]
    plan = make_plan(cluster(nodes, seed=seed), [tasks], scheduler)
    assert not plan.broken
    return "".join(placement.node for placement in plan.placements)


def four() -> list[NodeView]:
    return [node(name) for name in "abcd"]


# -- round-robin ---------------------------------------------------------------------------------------------


def test_round_robin_takes_one_node_after_the_other():
    assert places(RoundRobin(), four(), 6) == "abcdab"


def test_round_robin_goes_on_from_plan_to_plan():
    scheduler = RoundRobin()
    assert [places(scheduler, four(), 3) for _ in range(3)] == ["abc", "dab", "cda"]


def test_round_robin_passes_over_a_node_that_cannot_and_comes_back_to_it():
    scheduler = RoundRobin()
    a, b, c, d = four()
    away = msgspec.structs.replace(b, ready=False)
    assert places(scheduler, [a, away, c, d], 4) == "acda"
    assert places(scheduler, [a, b, c, d], 3) == "bcd"


def test_round_robin_counts_the_nodes_before_one_as_its_cost():
    scheduler = RoundRobin()
    places(scheduler, four(), 2)
    nodes = cluster(four())
    scheduler.begin(nodes)
    assert scheduler.score(task(), nodes.nodes) == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("names", "then"),
    [
        ("abcde", "cdeab"),  # one joined
        ("bcd", "cdb"),  # one before left
        ("acd", "cda"),  # the last one left
        ("cd", "cd"),  # all up to the last one left
        ("ab", "ab"),  # the next ones left
        ("xy", "xy"),  # all are new
    ],
)
def test_round_robin_is_not_disturbed_by_nodes_that_join_or_leave(names: str, then: str):
    scheduler = RoundRobin()
    assert places(scheduler, four(), 2) == "ab"
    assert places(scheduler, [node(name) for name in names], len(then)) == then


def test_round_robin_before_any_plan_costs_nothing():
    assert RoundRobin().cost(task(), node("a", index=3)) == 0


# -- least loaded --------------------------------------------------------------------------------------------


def test_least_loaded_looks_at_the_fullest_dimension():
    lopsided = node("a", cpu=4, memory=100, reserved=Resources(cpu=1, memory=90))
    even = node("b", cpu=4, memory=100, reserved=Resources(cpu=2, memory=50))
    assert places(LeastLoaded(), [lopsided, even], cpu=1) == "b"


def test_least_loaded_adds_the_task_before_it_compares():
    small = node("a", cpu=2)
    large = node("b", cpu=8, reserved=Resources(cpu=1))
    assert places(LeastLoaded(), [small, large], cpu=1) == "b"


def test_least_loaded_believes_a_measurement_that_says_busier():
    assert places(LeastLoaded(), [node("a", stats=stats(cpu=0.9)), node("b", stats=stats(cpu=0.1))]) == "b"
    assert places(LeastLoaded(), [node("a", stats=stats(memory=0.9)), node("b", stats=stats())]) == "b"
    full = node("a", disk=10, stats=stats(disk=0.9))
    assert places(LeastLoaded(), [full, node("b", disk=10, stats=stats())]) == "b"


def test_least_loaded_does_not_believe_one_that_says_idler_than_reserved():
    reserved = Resources(cpu=3)
    busy = node("a", cpu=4, reserved=reserved, stats=stats(cpu=0.0))
    assert places(LeastLoaded(), [busy, node("b", cpu=4, reserved=Resources(cpu=2))], cpu=1) == "b"


def test_least_loaded_counts_a_node_without_stats_by_its_reservations_never_as_idle():
    silent = node("a", cpu=4, reserved=Resources(cpu=3))
    measured = node("b", cpu=4, reserved=Resources(cpu=1), stats=stats(cpu=0.3))
    assert places(LeastLoaded(), [silent, measured], cpu=1) == "b"


def test_least_loaded_breaks_ties_by_the_mean_so_that_equal_tasks_alternate():
    shared = stats(memory=0.6)  # workers of one machine measure the same
    assert places(LeastLoaded(), [node("a", stats=shared), node("b", stats=shared)], 4, cpu=1) == "abab"
    assert places(LeastLoaded(), [node("a"), node("b")], 4) == "abab"


def test_least_loaded_leaves_out_what_was_not_measured_and_takes_more_than_all_as_all():
    odd = msgspec.structs.replace(stats(), memory_used=5, memory_total=0, disk_total=0)
    over = msgspec.structs.replace(stats(), cpu_percent=900.0)
    scheduler = LeastLoaded()
    assert scheduler.cost(task(), node("a", stats=odd)) == scheduler.cost(task(), node("a"))
    assert scheduler.cost(task(), node("a", stats=over)) == pytest.approx(1.0, abs=1e-3)


def test_least_loaded_on_a_node_with_nothing_costs_nothing():
    assert LeastLoaded().cost(task(), node("a", cpu=0, memory=0, max_tasks=0)) == 0.0


# -- bin packing ---------------------------------------------------------------------------------------------


def test_bin_pack_fills_one_node_before_the_next():
    nodes = [node(name, cpu=2) for name in "abc"]
    assert places(BinPack(), nodes, 5, cpu=1) == "aabbc"


def test_bin_pack_goes_on_with_the_fullest():
    nodes = [node("a"), node("b", reserved=Resources(cpu=3)), node("c", reserved=Resources(cpu=1))]
    assert places(BinPack(), nodes, 3, cpu=1) == "bcc"


def test_bin_pack_keeps_a_gpu_for_those_that_ask_for_it():
    assert places(BinPack(), [node("a", gpu=1), node("b")], cpu=1) == "b"


def test_bin_pack_costs_what_is_left():
    half = node("a", cpu=4, memory=0, max_tasks=2, reserved=Resources(cpu=1), tasks=0)
    assert BinPack().cost(task(cpu=1), half) == 0.5
    assert BinPack().cost(task(), node("a", cpu=0, memory=0, max_tasks=0)) == 1.0


# -- spread --------------------------------------------------------------------------------------------------


def test_spread_keeps_the_tasks_of_a_job_apart():
    crowded = node("a", tasks=50)
    mate = node("b", holds=[task("mate")])
    assert places(Spread(), [crowded, mate]) == "a"


def test_spread_then_takes_the_node_with_the_fewest_tasks_then_the_least_reserved():
    assert places(Spread(), [node("a", tasks=2), node("b", tasks=1, reserved=Resources(cpu=4))]) == "b"
    assert (
        places(Spread(), [node("a", reserved=Resources(cpu=2)), node("b", reserved=Resources(cpu=1))]) == "b"
    )
    assert places(Spread(), four(), 5) == "abcda"


def test_spread_weighs_one_task_of_the_job_more_than_any_number_of_others():
    most = node("a", tasks=1_000_000, reserved=Resources(cpu=400), max_tasks=1_000_000)
    mate = node("b", tasks=1, job_tasks={identity("job"): 1})
    assert Spread().cost(task(), most) < Spread().cost(task(), mate)
    assert Spread().cost(task(), node("a", cpu=0, memory=0)) == 0


# -- chance --------------------------------------------------------------------------------------------------


def test_random_choice_follows_the_seed():
    one, same, other = (places(RandomChoice(), four(), 20, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_random_choice_gives_each_node_its_turn():
    counts = Counter(places(RandomChoice(), [node(name, max_tasks=1000) for name in "abcd"], 400))
    assert all(60 < counts[name] < 140 for name in "abcd")


def test_random_choice_before_any_plan_takes_the_first():
    nodes = cluster(four()).nodes
    assert RandomChoice().pick(task(), nodes, [0.0] * 4) is nodes[0]
