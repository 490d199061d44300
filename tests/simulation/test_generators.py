"""Workloads that are made up: their statistics, their order, their names, and that a seed is a seed."""

from __future__ import annotations

import os
import pickle
import statistics
import subprocess
import sys
from itertools import islice, pairwise
from math import exp, inf
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from minorch.errors import UsageError
from minorch.model import Job, Task
from minorch.resources import Resources
from minorch.simulation.workloads.arrivals import Arrival, read_arrivals
from minorch.simulation.workloads.distributions import (
    between,
    bounded_pareto,
    choice,
    constant,
    demands,
    exponential,
    lognormal,
)
from minorch.simulation.workloads.generators import bursts, diurnal, poisson, services, varying
from minorch.simulation.workloads.merging import merged
from minorch.simulation.workloads.resampling import resampled

SMALL, LARGE = Resources(cpu=1, memory="2GiB"), Resources(cpu=8, memory="16GiB")


def every_kind(tasks: int = 200) -> dict[str, object]:
    of = {"duration_s": lognormal(60, 1.5), "resources": choice([SMALL, LARGE]), "tasks": tasks}
    sizes = demands(cpu=bounded_pareto(1.1, 0.1, 64), memory="1GiB", most=Resources(cpu=32, memory="64GiB"))
    return {
        "poisson": poisson(5, **of),
        "diurnal": diurnal(5, period_s=100, peak_at_s=50, **of),
        "bursts": bursts(10, exponential(20), within_s=30, **of),
        "varying": varying(lambda at_s: 4 if at_s % 10 < 5 else 0, 4, **of),
        "sizes": poisson(5, tasks=tasks, duration_s=exponential(10), resources=sizes),
        "usage": poisson(5, usage_share=between(0, 1.5), **of),
        "merged": merged(services(3, resources=LARGE, over_s=10), poisson(5, **of)),
        "resampled": resampled(poisson(5, **of), times="gaps"),
    }


@pytest.mark.parametrize("kind", every_kind())
@given(seed=st.integers(-(2**31), 2**31))
@settings(max_examples=15)
def test_arrivals_are_in_order_with_names_of_their_own_and_the_same_for_the_same_seed(kind: str, seed: int):
    workload = every_kind()[kind]
    arrivals = list(read_arrivals(workload, seed))  # raises if the order is broken
    assert 200 <= len(arrivals) <= 203
    assert len({arrival.job.name for arrival in arrivals}) == len(arrivals)
    assert arrivals == list(read_arrivals(workload, seed))
    assert arrivals != list(read_arrivals(workload, seed + 1))


@pytest.mark.parametrize("kind", sorted(set(every_kind()) - {"varying"}))
def test_a_workload_gives_the_same_in_another_process(kind: str):
    workload = every_kind()[kind]
    again = pickle.loads(pickle.dumps(workload))
    assert list(islice(again(7), 50)) == list(islice(workload(7), 50))


def test_nothing_depends_on_the_seed_of_hashes():
    code = (
        "import hashlib; from tests.simulation.test_generators import every_kind\n"
        "from minorch.simulation.workloads.arrivals import read_arrivals\n"
        "made = [list(read_arrivals(w, 5)) for w in every_kind(50).values()]\n"
        "print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(["src", ".", *sys.path]),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(printed) == 1


def test_arrivals_are_made_when_they_are_asked_for():
    def endless(random: Random) -> float:
        drawn.append(1)
        return 1.0

    drawn: list[int] = []
    workload = poisson(1, tasks=10**9, duration_s=endless, resources=SMALL)
    assert len(list(islice(workload(0), 5))) == 5
    assert len(drawn) == 5


def test_a_poisson_process_has_its_rate_and_the_spread_of_one():
    times = [arrival.at_s for arrival in poisson(5, tasks=20_000, duration_s=1, resources=SMALL)(1)]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.2, rel=0.03)


def test_by_day_more_arrives_than_by_night():
    work = diurnal(0.2, swing=0.8, until_s=864_000, duration_s=1, resources=SMALL)
    hours = [int(arrival.at_s % 86_400 // 3600) for arrival in work(1)]
    by_day, by_night = sum(13 <= hour < 15 for hour in hours), sum(1 <= hour < 3 for hour in hours)
    assert len(hours) == pytest.approx(0.2 * 864_000, rel=0.02)
    assert by_day / by_night == pytest.approx(9, rel=0.15)


def test_a_burst_has_its_size_and_its_width():
    times = [
        arrival.at_s for arrival in bursts(1e6, 10, within_s=2, tasks=100, duration_s=1, resources=SMALL)(1)
    ]
    for first in range(0, 100, 10):
        assert times[first + 9] - times[first] <= 2


def test_a_rate_that_is_higher_than_was_said_is_an_error_and_not_a_wrong_workload():
    with pytest.raises(UsageError, match=r"the rate is 3; it is from 0 to most_per_s=2"):
        list(varying(lambda at_s: 3, 2, tasks=5, duration_s=1, resources=SMALL)(0))


def test_until_ends_what_arrives_and_tasks_does_if_it_comes_first():
    assert all(arrival.at_s <= 10 for arrival in poisson(5, until_s=10, duration_s=1, resources=SMALL)(0))
    assert len(list(poisson(5, until_s=10, tasks=3, duration_s=1, resources=SMALL)(0))) == 3


def test_other_durations_leave_times_and_sizes_as_they_are():
    def of(duration_s):
        work = poisson(5, tasks=50, duration_s=duration_s, resources=choice([SMALL, LARGE]))
        return [(arrival.at_s, arrival.job.tasks[0].resources) for arrival in work(3)]

    assert of(60) == of(lognormal(60, 2)) == of(exponential(5))


def test_tasks_and_jobs_of_ones_own_arrive_under_new_names():
    dag = Job("dag", [Task("a", command=["x"]), Task("b", command=["x"], after=["a"])], priority=3)
    work = choice([dag, Task("t", command=["y"], constraints=["zone == n"])])
    arrivals = list(poisson(1, tasks=30, duration_s=1, work=work, name="mine")(0))
    assert {arrival.job.priority for arrival in arrivals} == {0, 3}
    assert {len(arrival.job.tasks) for arrival in arrivals} == {1, 2}
    assert arrivals[4].job.name == "mine-4"
    assert dag.name == "dag"


def test_task_objects_are_shared_where_few_are_different():
    arrivals = list(poisson(1, tasks=100, duration_s=1, resources=choice([SMALL, LARGE]))(0))
    assert len({id(arrival.job.tasks[0]) for arrival in arrivals}) == 2


def test_services_stay_and_go_beside_a_batch():
    both = merged(services(4, resources=LARGE, over_s=8), poisson(1, tasks=5, duration_s=1, resources=SMALL))
    stay = [arrival for arrival in both(0) if arrival.job.kind == "service"]
    assert [arrival.at_s for arrival in stay] == [0, 2, 4, 6]
    assert {arrival.duration_s for arrival in stay} == {inf}


def test_two_workloads_whose_jobs_have_the_same_names_are_not_merged():
    with pytest.raises(UsageError, match="name="):
        merged(*[poisson(1, tasks=1, duration_s=1, resources=SMALL)] * 2)


def test_a_share_of_what_was_asked_for_is_used():
    (arrival,) = poisson(1, tasks=1, duration_s=1, resources=LARGE, usage_share=0.25)(0)
    assert arrival.usage == Resources(cpu=2, memory="4GiB")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "how much arrives"),
        ({"tasks": -1}, "tasks=-1"),
        ({"tasks": 1.5}, "tasks=1.5"),
        ({"tasks": 1, "resources": None}, "resources= .* or work="),
        ({"tasks": 1, "work": Task("t", command=["x"])}, "one of them"),
        ({"tasks": 1, "duration_s": -1}, "duration_s=-1"),
        ({"tasks": 1, "usage_share": -1}, "usage_share=-1"),
        ({"tasks": 1, "resources": "1 core"}, "is no work"),
        ({"tasks": 1, "rate_per_s": 0}, "rate_per_s=0"),
        ({"tasks": 1, "name": "no name"}, "cannot name a job"),
        ({"until_s": -1}, "until_s=-1"),
    ],
)
def test_an_argument_that_makes_no_sense_is_told(more, words: str):
    with pytest.raises(UsageError, match=words):
        poisson(**{"rate_per_s": 1, "duration_s": 1, "resources": SMALL, **more})


def test_something_drawn_that_is_no_work_is_told():
    with pytest.raises(UsageError, match="drawn was 'x'"):
        list(poisson(1, tasks=1, duration_s=1, resources=choice(["x"]))(0))


# -- distributions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "mean", "median"),
    [
        (exponential(60), 60, 60 * 0.693147),
        (lognormal(60, 1.0), 60, 60 / exp(0.5)),
        (between(20, 100), 60, 60),
        (constant(60), 60, 60),
        (bounded_pareto(2, 1, 1000), 2 * (1 - 1e-3) / (1 - 1e-6), 2**0.5),
    ],
)
def test_a_distribution_has_its_mean_and_median(distribution, mean: float, median: float):
    random = Random(1)
    drawn = [distribution(random) for _ in range(40_000)]
    assert statistics.mean(drawn) == pytest.approx(mean, rel=0.03)
    assert statistics.median(drawn) == pytest.approx(median, rel=0.03)


@given(st.integers(), st.floats(0.1, 5), st.floats(0.001, 100), st.floats(1.01, 1e6))
def test_a_bounded_pareto_keeps_its_bounds(seed: int, alpha: float, low: float, times: float):
    drawn = bounded_pareto(alpha, low, low * times)(Random(seed))
    assert low * (1 - 1e-9) <= drawn <= low * times


def test_a_choice_keeps_its_weights():
    random = Random(1)
    pick = choice("abc", weights=[1, 0, 3])
    drawn = [pick(random) for _ in range(10_000)]
    assert drawn.count("b") == 0
    assert drawn.count("c") / drawn.count("a") == pytest.approx(3, rel=0.1)


@given(seed=st.integers())
def test_demands_are_multiples_of_their_steps_within_the_most(seed: int):
    most = Resources(cpu=30.1, memory="60GiB")
    sizes = demands(
        cpu=lognormal(4, 2), memory=lognormal(8e9, 2), most=most, cpu_step=0.5, memory_step="1GiB"
    )
    drawn = sizes(Random(seed))
    assert drawn.fits(most)
    assert drawn.cpu_millis % 500 == 0 or drawn.cpu_millis == most.cpu_millis
    assert drawn.memory > 0
    assert drawn.memory % 2**30 == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential(0),
        lambda: lognormal(60, 0),
        lambda: lognormal(60, 11),
        lambda: bounded_pareto(1, 5, 5),
        lambda: between(5, 1),
        lambda: constant(-1),
        lambda: choice([]),
        lambda: choice([1], weights=[1, 2]),
        lambda: choice([1], weights=[0]),
        lambda: demands(cpu=1, memory=1, most=Resources(cpu=1)),
        lambda: demands(cpu=1, memory=1, most=LARGE, cpu_step=0),
        lambda: diurnal(1, swing=2, tasks=1, duration_s=1, resources=SMALL),
        lambda: bursts(1, 0, tasks=1, duration_s=1, resources=SMALL),
        lambda: bursts(1, 1, within_s=-1, tasks=1, duration_s=1, resources=SMALL),
        lambda: services(1, over_s=-1, resources=SMALL),
        lambda: varying(5, 5, tasks=1, duration_s=1, resources=SMALL),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_made(make):
    with pytest.raises(UsageError):
        make()


# -- samples of a workload -------------------------------------------------------------------

FIXED = [Arrival(float(at**2), Task(f"t{at}", command=["x"]), at + 1.0) for at in range(20)]


def test_a_sample_keeps_when_things_arrive_and_draws_what():
    sample = resampled(FIXED)
    first, second = list(sample(1)), list(sample(2))
    assert [one.at_s for one in first] == [one.at_s for one in second] == [one.at_s for one in FIXED]
    assert [one.duration_s for one in first] != [one.duration_s for one in second]
    assert {one.duration_s for one in first} < {one.duration_s for one in FIXED}
    assert len({one.job.name for one in first}) == 20


def test_a_sample_draws_an_arrival_with_its_own_duration():
    for one in resampled(FIXED)(1):
        assert one.job.tasks[0].name == f"t{one.duration_s - 1:.0f}"


def test_times_can_be_drawn_for_more_or_fewer_tasks():
    times = [one.at_s for one in FIXED]
    drawn = [one.at_s for one in resampled(FIXED, tasks=100, times="drawn")(1)]
    assert len(drawn) == 100
    assert set(drawn) <= set(times)
    assert drawn == sorted(drawn)
    spaced = [one.at_s for one in resampled(FIXED, tasks=7, times="gaps")(1)]
    gaps = {later - sooner for sooner, later in pairwise(times)}
    assert len(spaced) == 7
    assert {later - sooner for sooner, later in pairwise(spaced)} <= gaps


def test_a_workload_that_is_longer_than_memory_is_sampled_from_all_of_it():
    sample = resampled(FIXED, most_jobs=3, tasks=None)
    assert len({one.duration_s for one in sample(1)}) <= 3
    assert {one.duration_s for one in sample(1)} != {1.0, 2.0, 3.0}


@pytest.mark.parametrize("given_", [{"tasks": 0}, {"times": "odd"}, {"most_jobs": 0}])
def test_a_sample_that_makes_no_sense_is_refused(given_):
    with pytest.raises(UsageError):
        resampled(FIXED, **given_)


def test_there_is_no_sample_of_nothing_and_no_more_times_are_kept_than_there_are():
    with pytest.raises(UsageError, match="empty"):
        resampled([])(0)
    with pytest.raises(UsageError, match='times="gaps"'):
        resampled(FIXED, tasks=21)(0)
