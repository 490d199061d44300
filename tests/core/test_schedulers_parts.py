"""What a cost is made of: the parts that a strategy names add up to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import NodeView, Scheduler, TaskView
from minorch.testing.builders import cluster, identity, node, stats, task

NODES = st.builds(
    lambda cpu, used, tasks, slots, measured, gpu: node(
        "a",
        cpu=cpu,
        memory=8 * 2**30 if cpu else 0,
        tasks=tasks,
        max_tasks=slots,
        job_tasks={identity("job"): tasks},
        holds=[task("old", cpu=used, memory="1GiB", gpu=gpu)],
        stats=None if measured is None else stats(cpu=measured, memory=measured / 2),
        gpu=2 * gpu,
    ),
    st.sampled_from([0, 2, 4]),
    st.sampled_from([0, 0.5, 1]),
    st.integers(0, 5),
    st.sampled_from([0, 10, 100]),
    st.none() | st.floats(0, 1),
    st.sampled_from([0, 1]),
)
TASKS = st.builds(
    lambda cpu, memory, gpu: task(cpu=cpu, memory=memory, gpu=gpu),
    st.sampled_from([0, 0.5, 1]),
    st.sampled_from([0, "512MiB"]),
    st.sampled_from([0, 1]),
)


@pytest.mark.parametrize(
    "make", [EPVM, lambda: EPVM(terms="paper"), BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread]
)
@given(there=NODES, new=TASKS)
def test_the_parts_of_a_cost_add_up_to_it(make: type[Scheduler], there: NodeView, new: TaskView) -> None:
    scheduler = make()
    scheduler.begin(cluster([there]))
    parts = scheduler.parts(new, there)
    assert parts
    assert sum(parts.values()) == pytest.approx(scheduler.cost(new, there), rel=1e-9, abs=1e-9)


def test_the_largest_share_is_named_by_what_it_is_a_share_of():
    parts = LeastLoaded().parts(task(cpu=3, memory="1GiB"), node("a", cpu=4, memory="8GiB"))
    assert parts["largest share (cpu)"] == 0.75
    assert list(parts) == ["largest share (cpu)", "mean share / 1000"]


def test_a_node_without_any_capacity_has_nothing_to_fill():
    nothing = node("a", cpu=0, memory=0, max_tasks=0)
    assert LeastLoaded().parts(task(), nothing) == {"nothing to fill": 0.0}
    assert BinPack().parts(task(), nothing) == {"nothing to fill": 1.0}


def test_epvm_names_a_term_for_each_resource_that_is_asked_for():
    there = node("a", cpu=4, gpu=2)
    assert list(EPVM().parts(task(cpu=1, gpu=1), there)) == ["slots", "cpu", "gpu"]
    assert list(EPVM(terms="paper").parts(task(cpu=1), there)) == ["memory", "load"]


def test_without_parts_of_its_own_a_strategy_has_one_even_if_it_scores_all_nodes_at_once():
    class AllAtOnce(Scheduler):
        def score(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[float]:
            return [7.0 for _ in nodes]

    assert AllAtOnce().parts(task(), node("a")) == {"cost": 7.0}
