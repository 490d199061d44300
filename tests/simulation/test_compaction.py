"""How few machines would do."""

from __future__ import annotations

import math

import pytest

from minorch import Affinity, Job, Node, PluginError, Resources, Scheduler, Task, UnknownPlugin, UsageError
from minorch.simulation import Ending, Simulation
from minorch.simulation.results.compaction import Compaction, cell_compaction
from tests.simulation.ledgers import machines, ran, result_of


def task(cpu: float, **more: object) -> Task:
    return Task("t", command=["x"], resources=Resources(cpu=cpu), **more)


def test_work_that_fills_half_of_the_machines_needs_half_of_them():
    told = [ran(node, 0.0, None, ending=Ending.RUNNING, asks=Resources(cpu=2)) for node in range(4)]
    found = cell_compaction(result_of(machines(4), told, 5.0), scheduler="bin-pack", seeds=range(3))
    assert found == Compaction(machines=4, tasks=4, pending=0, seeds=[0, 1, 2], needed=[2, 2, 2])
    assert found.fraction == 0.5
    assert str(found) == (
        "50.0 % of 4 machines hold 4 tasks (90th percentile of 3 random orders: 2 to 2 machines)"
    )


def test_it_is_packed_what_ran_at_the_busiest_moment():
    told = [ran(0, 0.0, 5.0), ran(0, 1.0, 2.0), ran(1, 1.0, 2.0, asks=Resources(cpu=4)), ran(1, 7.0, 9.0)]
    found = cell_compaction(result_of(machines(3), told, 9.0), scheduler="bin-pack", seeds=[1])
    assert (found.tasks, found.needed) == (3, [2])


def test_how_many_are_needed_is_where_it_just_fits():
    nodes = [Node(f"n{at}", capacity=Resources(cpu=1 + at % 4)) for at in range(12)]
    work = [task(1, completions=9), task(2, completions=3)]
    found = cell_compaction(work, nodes, "bin-pack", seeds=range(8), pending_share=0.0)
    assert len(set(found.needed)) > 1, "the order of machines matters where they differ"
    total = sum(node.capacity.cpu for node in nodes)
    assert all(1 < needed <= 12 for needed in found.needed)
    assert 15 / total <= found.fraction <= 1


def test_some_may_be_left_over():
    work = [task(4, completions=10)]
    all_of_them = cell_compaction(work, machines(10), seeds=[0], pending_share=0.0)
    most_of_them = cell_compaction(work, machines(10), seeds=[0], pending_share=0.2)
    assert (all_of_them.needed, most_of_them.needed) == ([10], [8])
    assert most_of_them.pending == 2


def test_where_it_does_not_fit_machines_are_added():
    found = cell_compaction([task(3, completions=5)], machines(3), seeds=[0, 1])
    assert found.needed == [5, 5]
    assert found.fraction == pytest.approx(5 / 3)


def test_what_never_fits_is_told():
    with pytest.raises(UsageError, match="1 tasks do not fit into 4 times the 2 nodes"):
        cell_compaction([task(64)], machines(2), seeds=[0])


def test_constraints_and_affinity_of_tasks_are_kept():
    nodes = [Node(f"n{at}", capacity=Resources(cpu=8), labels={"rack": f"r{at % 2}"}) for at in range(6)]
    picky = [task(1, completions=2, constraints=["rack == r1"])]
    apart = [Job("apart", [task(1, completions=4, affinity=[Affinity(anti=True)])])]
    assert cell_compaction(apart, nodes, seeds=[3]).needed == [4]
    for seed in range(5):
        (needed,) = cell_compaction(picky, nodes, "bin-pack", seeds=[seed]).needed
        assert 1 <= needed <= 4


@pytest.mark.parametrize("scheduler", ["round-robin", "least-loaded", "epvm", "bin-pack", "spread", "random"])
def test_every_strategy_can_pack_and_does_so_again(scheduler: str):
    work = [task(1, completions=8), task(2, completions=5)]
    first = cell_compaction(work, machines(8), scheduler, seeds=range(3))
    assert cell_compaction(work, machines(8), scheduler, seeds=range(3)) == first
    assert all(5 <= needed <= 8 for needed in first.needed)


def test_a_strategy_of_ones_own_is_left_as_it_was():
    class Counting(Scheduler):
        asked = 0

        def cost(self, task: object, node: object) -> float:
            self.asked += 1
            return float(self.asked)

    mine = Counting()
    cell_compaction([task(1, completions=3)], machines(3), mine, seeds=[0])
    assert mine.asked == 0


def test_a_strategy_that_fails_is_named():
    def broken(task: object, node: object) -> float:
        return math.nan

    with pytest.raises(PluginError, match="broken"):
        cell_compaction([task(1)], machines(1), broken, seeds=[0])


@pytest.mark.parametrize(
    ("work", "nodes", "more", "words"),
    [
        ([], machines(1), {}, "needs tasks that run"),
        ([task(1)], [], {}, "needs tasks that run, nodes"),
        ([task(1)], None, {}, "nodes"),
        ([task(1)], machines(1), {"seeds": []}, "at least one seed"),
        ([task(1)], machines(1), {"pending_share": 1.0}, "pending_share=1.0"),
        (["x"], machines(1), {}, "packs jobs and tasks, not str"),
    ],
)
def test_what_makes_no_sense_is_refused(work: list, nodes: list | None, more: dict, words: str):
    with pytest.raises(UsageError, match=words):
        cell_compaction(work, nodes, **more)
    with pytest.raises(UnknownPlugin):
        cell_compaction([task(1)], machines(1), "no-such-strategy")


def test_a_simulation_is_packed_with_its_own_strategy():
    work = [(float(at), Job(f"j{at}", [task(1)]), 50.0) for at in range(20)]
    result = Simulation(nodes=machines(20), workload=work, scheduler="least-loaded").run()
    found = cell_compaction(result, seeds=range(3))
    assert (found.tasks, found.needed) == (20, [5, 5, 5])
