"""Measures of a ledger: by hand on small ones, and against naive definitions on random ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from minorch import Node, Resources, UsageError
from minorch.simulation import Ending, Ledger
from minorch.simulation.results.fragmentation import fragmentation
from minorch.simulation.results.measures import (
    Percentiles,
    bounded_slowdowns,
    fairness,
    job_slowdowns,
    makespan,
    outcomes,
    percentile,
    slowdowns,
    waits_s,
)
from minorch.simulation.results.usage import Timeline, amount_of
from tests.simulation.ledgers import END_S, MIXED, Told, ledger_of, ledgers, machines, ran

numbers = st.floats(-1e9, 1e9)


# -- percentiles ----------------------------------------------------------------------------------


@given(st.lists(numbers, min_size=1, max_size=200), st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], percent: float):
    numpy = pytest.importorskip("numpy")
    ours, theirs = percentile(sorted(values), percent), float(numpy.percentile(values, percent))
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-6)


def test_percentiles_of_many_values_are_those_of_numpy():
    numpy = pytest.importorskip("numpy")
    dice = random.Random(3)
    values = [dice.lognormvariate(3, 2) for _ in range(10_007)]
    spread = Percentiles.of(values)
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert getattr(spread, name) == float(numpy.percentile(values, percent))
    assert spread.mean == pytest.approx(float(numpy.mean(values)))
    assert spread.most == max(values)


@given(st.lists(numbers, min_size=1), st.floats(0, 100), st.floats(0, 100))
def test_a_greater_percentile_is_no_less(values: list[float], one: float, other: float):
    values.sort()
    low, high = sorted([one, other])
    assert values[0] <= percentile(values, low) <= percentile(values, high) + 1e-6 <= values[-1] + 1e-6


def test_a_distribution_of_nothing_has_a_count_and_no_figures():
    spread = Percentiles.of([])
    assert spread.count == 0
    assert all(math.isnan(each) for each in (spread.mean, spread.p50, spread.p99, spread.most))
    assert math.isnan(percentile([], 50))


@given(st.lists(numbers), st.randoms())
def test_a_distribution_does_not_depend_on_order(values: list[float], dice: random.Random):
    before = repr(Percentiles.of(values))
    dice.shuffle(values)
    assert repr(Percentiles.of(values)) == before


# -- where tasks end up ---------------------------------------------------------------------------


STORY = [
    ran(0, 5.0, 25.0, duration_s=20.0, job="a"),  # waits 5 s, is there 25 s
    Told(at_s=10.0, runs=[(0, 10.0, 12.0)], duration_s=2.0, job="a"),  # no wait
    Told(at_s=10.0, runs=[(0, 20.0, 20.0)], duration_s=0.0, job="b"),  # no length
    Told(at_s=10.0, runs=[(1, 12.0, 15.0), (1, 20.0, 30.0)], duration_s=10.0, job="c"),  # again
    Told(at_s=11.0, runs=[(1, 12.0, 14.0)], ending=Ending.FAILED, duration_s=5.0, job="d"),
    Told(at_s=12.0, runs=[(1, 12.0, None)], ending=Ending.RUNNING, duration_s=math.inf, job="e"),
    Told(at_s=13.0, ending=Ending.WAITING, job="f"),
    Told(at_s=90.0, ending=Ending.REFUSED, asks=Resources(cpu=99), job="g"),
    Told(at_s=14.0, runs=[(0, 20.0, 21.0)], ending=Ending.STOPPED, duration_s=math.inf, job="h"),
]


def test_each_arrival_is_in_one_bucket():
    found = outcomes(ledger_of(machines(2), STORY))
    assert (found.completed, found.failed, found.stopped, found.running) == (4, 1, 1, 1)
    assert (found.waiting, found.refused, found.arrived) == (1, 1, 9)
    assert (found.unplaced, found.retries) == (1, 1)


@given(ledgers())
def test_buckets_add_up_to_what_arrived(ledger: Ledger):
    found = outcomes(ledger)
    buckets = (found.completed, found.failed, found.stopped, found.running, found.waiting, found.refused)
    assert sum(buckets) == found.arrived == len(ledger)
    records = list(map(ledger.record, range(len(ledger))))
    assert found.unplaced == sum(one.runs == 0 and one.ending is not Ending.REFUSED for one in records)
    assert found.retries == sum(max(0, one.runs - 1) for one in records)


def test_only_tasks_that_ran_have_waited():
    assert sorted(waits_s(ledger_of(machines(2), STORY))) == [0.0, 0.0, 1.0, 2.0, 5.0, 6.0, 10.0]


def test_only_tasks_that_completed_and_have_a_length_have_a_slowdown():
    assert list(slowdowns(ledger_of(machines(2), STORY))) == [25 / 20, 1.0, 20 / 10]


def test_short_runs_count_as_tau_in_a_bounded_slowdown():
    ledger = ledger_of(machines(2), STORY)
    assert list(bounded_slowdowns(ledger)) == [25 / 20, 1.0, 1.0, 20 / 10]
    assert list(bounded_slowdowns(ledger, tau_s=5.0)) == [25 / 20, 1.0, 10 / 5, 20 / 10]


@pytest.mark.parametrize("tau_s", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("measure", [bounded_slowdowns, job_slowdowns])
def test_tau_is_above_zero(measure: Callable[[Ledger, float], object], tau_s: float):
    with pytest.raises(UsageError, match="tau_s"):
        measure(ledger_of(machines(1), []), tau_s)


@given(ledgers())
def test_bounded_slowdowns_are_as_feitelson_has_them(ledger: Ledger):
    expected = []
    for one in map(ledger.record, range(len(ledger))):
        if one.ending is Ending.COMPLETED and one.duration_s < math.inf:
            assert one.finished_s is not None
            expected.append(max(1.0, (one.finished_s - one.arrived_s) / max(one.duration_s, 10.0)))
    assert list(bounded_slowdowns(ledger)) == expected


def test_jobs_count_by_themselves_and_users_together():
    ledger = ledger_of(machines(2), STORY)
    assert list(job_slowdowns(ledger)) == [1.25, 1.0, 1.0, 2.0]  # a arrived twice
    assert list(job_slowdowns(ledger, user=lambda job: "x" if job in "ab" else "y")) == [
        pytest.approx((1.25 + 1 + 1) / 3),
        2.0,
    ]


# -- makespan -------------------------------------------------------------------------------------


def test_a_makespan_goes_from_the_first_arrival_to_the_last_end():
    told = [Told(at_s=3.0, runs=[(0, 4.0, 9.0)]), Told(at_s=5.0, runs=[(0, 9.0, 17.0)])]
    found = makespan(ledger_of(machines(1), told), 100.0)
    assert (found.makespan_s, found.over) == (14.0, True)


def test_a_makespan_with_work_left_is_at_least_until_the_end():
    told = [Told(at_s=3.0, runs=[(0, 4.0, 9.0)]), Told(at_s=5.0, ending=Ending.WAITING)]
    found = makespan(ledger_of(machines(1), told), 100.0)
    assert (found.makespan_s, found.over) == (97.0, False)


def test_services_and_refusals_do_not_lengthen_a_makespan():
    told = [
        Told(at_s=0.0, ending=Ending.REFUSED),
        Told(at_s=3.0, runs=[(0, 4.0, 9.0)]),
        Told(at_s=4.0, runs=[(0, 4.0, None)], ending=Ending.RUNNING, duration_s=math.inf),
        Told(at_s=50.0, ending=Ending.REFUSED),
    ]
    found = makespan(ledger_of(machines(1), told), 100.0)
    assert (found.makespan_s, found.over) == (6.0, True)


def test_nothing_has_no_makespan():
    assert math.isnan(makespan(ledger_of(machines(1), [Told(ending=Ending.REFUSED)]), 9.0).makespan_s)


# -- fairness -------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_fairness_is_between_one_part_and_the_whole(values: list[float]):
    assert 1 / len(values) - 1e-9 <= fairness(values) <= 1 + 1e-9
    assert fairness([7.0] * len(values)) == pytest.approx(1.0)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50), st.floats(1e-3, 1e3))
def test_fairness_does_not_depend_on_the_unit(values: list[float], factor: float):
    assert fairness([value * factor for value in values]) == pytest.approx(fairness(values))


def test_fairness_of_nothing_is_no_number():
    assert math.isnan(fairness([]))
    assert math.isnan(fairness([0.0, 0.0]))
    assert fairness([0.0, 5.0]) == 0.5


# -- usage over time ------------------------------------------------------------------------------


def _level(ledger: Ledger, resource: str, what: str, moment_s: float, node: int | None = None) -> int:
    """What is had of a resource right after a moment: by definition."""
    column = ledger.requested if what == "reserved" else ledger.used
    total = 0
    for run in map(ledger.run, range(len(ledger.run_task))):
        ended_s = END_S if run.ended_s is None else run.ended_s
        if run.began_s <= moment_s < ended_s and node in (None, ledger.node_numbers[run.node]):
            total += amount_of(ledger.shapes[column[run.task]], resource)
    return total


def _moments(ledger: Ledger) -> list[float]:
    times = {0.0, END_S, *ledger.run_began_s, *(each for each in ledger.run_ended_s if each == each)}
    return sorted(times)


@given(ledgers(), st.sampled_from(["reserved", "used"]))
def test_means_and_peaks_are_as_defined(ledger: Ledger, what: str):
    moments = _moments(ledger)
    for use in Timeline(ledger, END_S).use():
        capacity = sum(amount_of(node.capacity, use.resource) for node in MIXED)
        levels = [_level(ledger, use.resource, what, moment) for moment in moments]
        whole = sum(
            level * (end - begin) for level, (begin, end) in zip(levels[:-1], pairwise(moments), strict=True)
        )
        assert getattr(use, f"{what}_mean") == pytest.approx(whole / END_S / capacity)
        assert getattr(use, f"{what}_peak") == pytest.approx(max(levels[:-1]) / capacity)


@given(ledgers(), st.integers(1, 9), st.sampled_from(["cpu", "memory", "gpu"]))
def test_a_series_and_a_grid_average_what_is_reserved(ledger: Ledger, spans: int, resource: str):
    timeline = Timeline(ledger, END_S)
    series = timeline.series(resource, spans)
    grid = timeline.grid(resource, bands=3, spans=spans)
    moments = sorted({*_moments(ledger), *series.edges_s})
    for at, (begin, end) in enumerate(pairwise(series.edges_s)):
        inside = [each for each in pairwise(moments) if begin <= each[0] and each[1] <= end]

        def averaged(
            node: int | None, inside: list[tuple[float, float]] = inside, width: float = end - begin
        ) -> float:
            return sum(_level(ledger, resource, "reserved", a, node) * (b - a) for a, b in inside) / width

        capacities = [amount_of(node.capacity, resource) for node in MIXED]
        assert series.reserved[at] == pytest.approx(averaged(None) / sum(capacities), abs=1e-9)
        for number, capacity in enumerate(capacities):
            expected = averaged(number) / capacity if capacity else 0.0
            assert grid[number][at] == pytest.approx(expected, abs=1e-9)


@given(ledgers())
def test_all_means_of_nodes_are_the_mean_of_the_cell(ledger: Ledger):
    timeline = Timeline(ledger, END_S)
    cell = {use.resource: use.reserved_mean for use in timeline.use()}
    for resource in timeline.resources:
        capacities = [amount_of(node.capacity, resource) for node in MIXED]
        means = timeline.node_means(resource)
        whole = sum(mean * capacity for mean, capacity in zip(means, capacities, strict=True))
        on_others = sum(  # what runs where there is none of it
            amount * length
            for node, amount, length in zip(
                ledger.run_node, timeline.amounts(resource), timeline.lengths_s, strict=True
            )
            if not capacities[node]
        )
        assert whole + on_others / END_S == pytest.approx(
            cell[resource] * sum(capacities), rel=1e-9, abs=1e-6
        )


@given(ledgers())
def test_busy_time_is_that_of_all_runs(ledger: Ledger):
    timeline = Timeline(ledger, END_S)
    runs = list(map(ledger.run, range(len(ledger.run_task))))
    lengths = [(END_S if run.ended_s is None else run.ended_s) - run.began_s for run in runs]
    assert timeline.busy_s == pytest.approx(sum(lengths))
    again = [
        length
        for at, (run, length) in enumerate(zip(runs, lengths, strict=True))
        if any(later.task == run.task for later in runs[at + 1 :]) and ledger.duration_s[run.task] < math.inf
    ]
    assert timeline.wasted_s == pytest.approx(sum(again))
    running = timeline.running_grid(bands=1, spans=4)[0]
    assert sum(running) * END_S / 4 * len(MIXED) == pytest.approx(sum(lengths), rel=1e-9, abs=1e-6)


@given(ledgers())
def test_the_busiest_moment_is_at_the_peak_of_the_scarcest(ledger: Ledger):
    timeline = Timeline(ledger, END_S)
    peaks = {use.resource: use.reserved_peak for use in timeline.use()}
    scarcest = max(peaks, key=lambda name: peaks[name])
    capacity = sum(amount_of(node.capacity, scarcest) for node in MIXED)
    moment_s = timeline.busiest_s
    assert _level(ledger, scarcest, "reserved", moment_s) / capacity == pytest.approx(peaks[scarcest])
    at_once = [ledger.run(run) for run in timeline.running_at(moment_s)]
    assert sum(amount_of(ledger.shapes[ledger.requested[run.task]], scarcest) for run in at_once) == _level(
        ledger, scarcest, "reserved", moment_s
    )


def test_a_run_that_follows_another_at_once_is_not_counted_beside_it():
    told = [ran(0, 0.0, 5.0), ran(0, 5.0, 9.0), ran(0, 5.0, 5.0)]
    (cpu, _) = Timeline(ledger_of(machines(1), told), 10.0).use()
    assert cpu.reserved_peak == 1 / 4
    assert cpu.reserved_mean == 9 / 10 / 4


def test_a_ledger_that_was_not_filled_in_the_order_of_time_gives_the_same():
    ledger = ledger_of(machines(2), STORY)
    turned = ledger_of(machines(2), [])
    order = list(reversed(range(len(ledger.run_task))))
    for row in range(len(ledger)):
        one = ledger.record(row)
        turned.arrive(one.job, one.task, one.arrived_s, one.duration_s, one.resources, one.resources)
    for run in order:
        turned.begin(ledger.run_task[run], ledger.run_node[run], ledger.run_began_s[run])
    for number, run in enumerate(order):
        if ledger.run_ended_s[run] == ledger.run_ended_s[run]:
            turned.end(number, ledger.run_ended_s[run])
    assert Timeline(turned, 50.0).use() == Timeline(ledger, 50.0).use()


def test_an_unknown_resource_is_told_with_those_there_are():
    timeline = Timeline(ledger_of(MIXED, []), 10.0)
    with pytest.raises(UsageError, match='no node has any "gpus"; did you mean "gpu"'):
        timeline.series("gpus")
    with pytest.raises(UsageError, match="spans=0"):
        timeline.series("cpu", 0)
    with pytest.raises(UsageError, match="1,000,000 together"):
        timeline.grid("cpu", bands=10_000, spans=10_000)


def test_a_simulation_of_no_length_has_nothing_reserved():
    timeline = Timeline(ledger_of(MIXED, [ran(0, 0.0, 0.0)]), 0.0)
    assert {use.reserved_mean for use in timeline.use()} == {0.0}
    assert timeline.grid("cpu", bands=2, spans=2) == [[0.0, 0.0], [0.0, 0.0]]
    assert timeline.series("cpu", 2).reserved == [0.0, 0.0]


# -- fragmentation --------------------------------------------------------------------------------


def test_memory_without_cores_is_stranded():
    nodes = [Node(f"n{at}", capacity=Resources(cpu=4, memory="8GiB")) for at in range(2)]
    told = [ran(0, 0.0, None, ending=Ending.RUNNING, asks=Resources(cpu=4, memory="2GiB"))]
    cpu, memory = fragmentation(Timeline(ledger_of(nodes, told), 10.0))
    # 4 cores are free on n1, where such a task fits; 6 GiB on n0, where none does for want of cores.
    assert (cpu.mean, cpu.stranded_mean) == (0.0, 0.0)
    assert (memory.mean, memory.at_peak) == (6 / 14, 6 / 14)
    assert (memory.stranded_mean, memory.stranded_at_peak) == (6 / 16, 6 / 16)


def test_what_is_too_little_of_itself_is_fragmented_and_not_stranded():
    told = [ran(0, 0.0, None, ending=Ending.RUNNING, asks=Resources(cpu=3))]
    (cpu,) = fragmentation(Timeline(ledger_of(machines(1), told), 10.0))
    assert (cpu.mean, cpu.stranded_mean) == (1.0, 0.0)


def test_gpus_are_no_good_to_tasks_that_ask_for_none():
    node = Node("gpus", capacity=Resources(cpu=8, gpu=2))
    told = [
        ran(0, 0.0, None, ending=Ending.RUNNING, asks=Resources(cpu=1)),
        ran(0, 0.0, None, ending=Ending.RUNNING, asks=Resources(cpu=1, gpu=1)),
    ]
    cpu, gpu = fragmentation(Timeline(ledger_of([node], told), 10.0))
    assert (cpu.mean, gpu.mean, gpu.stranded_mean) == (0.0, 0.5, 0.0)


def test_a_node_without_a_place_strands_everything():
    node = Node("one", capacity=Resources(cpu=8), max_tasks=1)
    told = [ran(0, 0.0, None, ending=Ending.RUNNING)]
    (cpu,) = fragmentation(Timeline(ledger_of([node], told), 10.0))
    assert (cpu.mean, cpu.stranded_mean) == (1.0, 7 / 8)


@given(ledgers(), st.integers(1, 5))
def test_fragmentation_is_as_defined(ledger: Ledger, moments: int):
    timeline = Timeline(ledger, END_S)
    tasks = [
        ledger.shapes[ledger.requested[row]]
        for row in range(len(ledger))
        if ledger.record(row).ending is not Ending.REFUSED
    ]
    times = [END_S * (at + 0.5) / moments for at in range(moments)]
    for part in fragmentation(timeline, moments=moments):
        resource = part.resource
        free_sum = fragmented = stranded = 0.0
        for moment_s in times:
            for number, node in enumerate(MIXED):
                free = {
                    name: max(
                        0, amount_of(node.capacity, name) - _level(ledger, name, "reserved", moment_s, number)
                    )
                    for name in timeline.resources
                }
                held = sum(
                    run.began_s <= moment_s < (END_S if run.ended_s is None else run.ended_s)
                    and run.node == node.name
                    for run in map(ledger.run, range(len(ledger.run_task)))
                )
                free_sum += free[resource]
                for task in tasks:
                    asked = amount_of(task, resource)
                    fits = held < node.max_tasks and all(
                        amount_of(task, name) <= amount for name, amount in free.items()
                    )
                    if not fits or not asked:
                        fragmented += free[resource] / len(tasks)
                    if not fits and 0 < asked <= free[resource]:
                        stranded += free[resource] / len(tasks)
        assert part.mean == pytest.approx(fragmented / free_sum if free_sum else math.nan, nan_ok=True)
        capacity = sum(amount_of(node.capacity, resource) for node in MIXED)
        assert part.stranded_mean == pytest.approx(stranded / capacity / moments)
        assert part.covered == 1.0


def test_of_many_different_tasks_the_commonest_are_looked_at():
    told = [ran(0, 0.0, 1.0, asks=Resources(cpu=1 + number % 4 // 3)) for number in range(8)]
    told += [ran(0, 2.0, 3.0, asks=Resources(cpu=3))]
    (cpu,) = fragmentation(Timeline(ledger_of(machines(1), told), 10.0), shapes=1)
    assert cpu.covered == 6 / 9


def test_fragmentation_needs_moments_and_shapes():
    timeline = Timeline(ledger_of(machines(1), []), 10.0)
    assert fragmentation(timeline) == []
    with pytest.raises(UsageError, match="at least 1 each"):
        fragmentation(timeline, moments=0)
