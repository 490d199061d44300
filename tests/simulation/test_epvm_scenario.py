"""The experiment of the E-PVM paper: its scenario, and a second simulator that must find the same slowdowns.

The second simulator knows nothing of minorch: one loop over arrivals and endings, written from the paper's
model and formulas.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, log
from pathlib import Path
from statistics import mean, median
from types import ModuleType

import pytest

import minorch as mo
from minorch.simulation import Running

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "epvm_paper.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("epvm_paper", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


paper = load()
SCENARIOS = {
    "as in the example": paper.Scenario(),
    "with more memory": paper.Scenario(memory=320 * paper.KIB, length_s=300.0),
    "with little to do": paper.Scenario(every_s=6.0),
    "on three machines": paper.Scenario(machines=paper.Scenario().machines[2:5], length_s=150.0),
}


# -- the second simulator ----------------------------------------------------------------------------------


class Machine:
    """A machine, and what is left to do of each of its jobs, in seconds of the fastest processor."""

    def __init__(self, speed: float, size: int, thrash: float) -> None:
        self.speed, self.size, self.thrash = speed, size, thrash
        self.left: dict[int, float] = {}
        self.memory: dict[int, int] = {}
        self.used = 0

    def rate(self) -> float:
        share = self.speed / len(self.left)
        return share / self.thrash if self.used > self.size else share

    def next_in(self) -> float:
        return min(self.left.values()) / self.rate() if self.left else inf

    def work(self, seconds: float) -> None:
        if self.left:
            done = seconds * self.rate()
            for job in self.left:
                self.left[job] -= done

    def take(self, job: int, cpu_s: float, memory: int) -> None:
        self.left[job], self.memory[job] = cpu_s, memory
        self.used += memory

    def end(self) -> int:
        job = min(self.left, key=lambda one: self.left[one])
        del self.left[job]
        self.used -= self.memory.pop(job)
        return job


Choose = Callable[[Sequence[Machine], int, int, int], float]


def cost_of(machine: Machine, memory: int, jobs: int, n: int, limit: int) -> float:
    return n ** ((machine.used + memory) / machine.size) + n ** ((len(machine.left) + jobs) / limit)


def choose(strategy: str, machines: Sequence[Machine], number: int, memory: int, limit: int) -> int:
    n = len(machines)
    costs = {
        "PVM": lambda at: (at - number) % n,
        "fewest jobs": lambda at: len(machines[at].left),
        "E-PVM": lambda at: (
            cost_of(machines[at], memory, 1, n, limit) - cost_of(machines[at], 0, 0, n, limit)
        ),
        "Differential-PVM": lambda at: cost_of(machines[at], 0, 0, n, limit),
        "least loaded": lambda at: (machines[at].used + memory) / machines[at].size,
    }
    return min(range(n), key=costs[strategy])


def slowdowns(scenario, strategy: str, seed: int) -> list[float]:
    machines = [Machine(speed, size, scenario.thrash) for speed, size in scenario.machines]
    jobs = list(scenario.workload(seed))
    ended_s = [0.0] * len(jobs)
    now, arrived, limit = 0.0, 0, 1
    while True:
        due_in = jobs[arrived].at_s - now if arrived < len(jobs) else inf
        first = min(machines, key=Machine.next_in)
        passed = min(due_in, first.next_in())
        if passed == inf:
            return [(end - job.at_s) / job.duration_s for end, job in zip(ended_s, jobs, strict=True)]
        over = first if first.next_in() <= due_in else None
        for machine in machines:
            machine.work(passed)
        now += passed
        if over is not None:
            ended_s[over.end()] = now
            continue
        memory = jobs[arrived].work.resources.memory
        chosen = machines[choose(strategy, machines, arrived, memory, limit)]
        chosen.take(arrived, jobs[arrived].duration_s, memory)
        while len(chosen.left) >= limit:
            limit *= 2
        arrived += 1


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("strategy", paper.STRATEGIES)
def test_a_second_simulator_comes_to_the_same_slowdown_of_every_job(strategy: str, scenario: str):
    played = SCENARIOS[scenario]
    for seed in (1, 2):
        found = paper.slowdowns(played.play(paper.STRATEGIES[strategy](), seed))
        assert found == pytest.approx(slowdowns(played, strategy, seed), rel=1e-6)
        assert len(found) > 40


# -- what must be so ---------------------------------------------------------------------------------------


def test_every_job_completes_and_none_is_faster_than_alone_on_the_best_machine():
    scenario = paper.Scenario(memory=320 * paper.KIB)
    for make in paper.STRATEGIES.values():
        found = paper.slowdowns(scenario.play(make(), 3))
        assert len(found) == sum(1 for _ in scenario.workload(3))
        assert min(found) >= 1 - 1e-9


def test_no_job_ever_waits_for_a_machine_however_full():
    scenario = paper.Scenario(memory=64 * 640 * paper.KIB, length_s=60.0)
    result = scenario.play(paper.PaperEPVM(), 1)
    assert {task.wait_s for task in result.records()} == {0.0}


def test_work_is_conserved():
    """A machine that never thrashes does as much as its speed allows, while it has anything to do."""
    scenario = paper.Scenario(machines=[(1.0, 64 * paper.MIB)], thrash=1.0, length_s=100.0)
    result = scenario.play(paper.FewestJobs(), 5)
    free_s = 0.0
    for job in scenario.workload(5):
        free_s = max(free_s, job.at_s) + job.duration_s
    assert result.ended_s == pytest.approx(free_s)


def test_the_speed_of_a_job_is_its_share_of_the_processor_and_a_tenth_of_it_where_memory_is_exceeded():
    """The example of the author's slides: 24 s for three million cycles beside seven others, or 240 s."""
    fast, _, _, slow, _, _ = paper.Scenario().nodes()
    model = paper.Machines(10.0)

    def job(memory: int) -> Running:
        return Running(mo.Task("job", command=["x"]), mo.Resources(cpu=1, memory=memory))

    assert model.speeds(fast, [job(8 * paper.MIB)] * 8) == [1 / 8] * 8
    assert model.speeds(fast, [job(8 * paper.MIB + 1)] * 8) == [1 / 80] * 8
    assert model.speeds(slow, [job(1)]) == [0.665]
    assert model.speeds(slow, [job(33 * paper.MIB)] * 2) == pytest.approx([0.665 / 20] * 2)


def test_the_strategies_see_the_memory_that_is_there():
    """A third of a machine's memory costs what the paper says, and not next to nothing."""
    (node,) = paper.Scenario(machines=[(1.0, 60 * paper.MIB)]).nodes()
    task = mo.TaskView(
        id="t",
        name="t",
        job_id="j",
        job="j",
        task=mo.Task("t", command=["x"], resources=mo.Resources(memory=20 * paper.MIB)),
    )
    view = mo.NodeView(index=0, node=node, reserved=mo.Resources(memory=20 * paper.MIB), tasks=0)
    assert paper.PaperEPVM().parts(task, view)["memory"] == pytest.approx(2 ** (2 / 3) - 2 ** (1 / 3))
    assert paper.MemoryLoaded().cost(task, view) == pytest.approx(2 / 3, rel=1e-2)


# -- what is drawn -----------------------------------------------------------------------------------------


def test_arrivals_and_sizes_are_distributed_as_the_scenario_says():
    scenario = paper.Scenario(length_s=50_000.0)
    jobs = list(scenario.workload(1))
    gaps = [later.at_s - job.at_s for job, later in pairwise(jobs)]
    assert mean(gaps) == pytest.approx(scenario.every_s, rel=0.03)
    assert median(gaps) == pytest.approx(scenario.every_s * log(2), rel=0.03)
    cpu_s = [job.duration_s for job in jobs]
    memory = [job.work.resources.memory for job in jobs]
    assert min(cpu_s) >= scenario.cpu_s
    assert max(memory) == scenario.memory_most
    for times in (2, 10, 50):  # one in so many needs more than so many times the least
        assert mean(one > times * scenario.cpu_s for one in cpu_s) == pytest.approx(1 / times, rel=0.1)
        assert mean(one > times * scenario.memory for one in memory) == pytest.approx(1 / times, rel=0.1)
    usual = scenario.memory * (1 + log(scenario.memory_most / scenario.memory))
    assert mean(memory) == pytest.approx(usual, rel=0.03)


def test_the_same_seed_gives_every_strategy_the_same_jobs():
    scenario = paper.Scenario()
    assert list(scenario.workload(7)) == list(scenario.workload(7))
    assert list(scenario.workload(7)) != list(scenario.workload(8))


def test_jobs_that_are_not_done_by_the_end_count_only_where_that_is_wanted():
    scenario = replace(paper.Scenario(), length_s=120.0)
    everything = paper.slowdowns(scenario.play(paper.PaperEPVM(), 2))
    done = paper.slowdowns(replace(scenario, counted="done").play(paper.PaperEPVM(), 2))
    assert len(done) < len(everything)
    assert set(done) <= set(everything)


def test_by_execution_all_executions_weigh_the_same_and_by_job_all_jobs():
    scenario = paper.Scenario(length_s=20.0)
    outcome = paper.experiment(scenario, seeds=2, executions=2, progress=False)["E-PVM"]
    played = [paper.slowdowns(scenario.play(paper.PaperEPVM(), number)) for number in range(4)]
    assert len({len(one) for one in played}) > 1
    for seed, (one, other) in enumerate([played[:2], played[2:]]):
        assert outcome.by_execution[seed] == pytest.approx((mean(one) + mean(other)) / 2)
        assert outcome.by_job[seed] == pytest.approx(mean(one + other))
