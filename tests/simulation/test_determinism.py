"""A strategy that does not decide the same each time is found, with the decision where it first shows."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import minorch as mo
from minorch.builtins import default_registry
from minorch.errors import PluginError, UsageError
from minorch.model import Node
from minorch.scheduling import ClusterView, NodeView, TaskView
from minorch.simulation.comparing.determinism import check_deterministic
from minorch.simulation.faults import Faults
from minorch.simulation.models import CpuSharing, Model, Running
from minorch.simulation.simulation import Simulation
from minorch.simulation.workloads.arrivals import Arrival

NAMES = ("amber", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel")
NODES = [Node(name, capacity=mo.Resources(cpu=4, memory="8GiB")) for name in NAMES]


def drawn(seed: int, tasks: int = 30) -> Iterator[Arrival]:
    dice, at_s = random.Random(seed), 0.0
    for number in range(tasks):
        at_s += dice.expovariate(1.0)
        resources = mo.Resources(cpu=dice.choice([1, 2]), memory="1GiB")
        yield Arrival(at_s, mo.Task(f"t{number}", command=["x"], resources=resources), dice.uniform(5, 20))


def made(scheduler: object, **more: object) -> Callable[[], Simulation]:
    arguments = {"nodes": NODES, "workload": drawn, "seed": 3, "scheduler": scheduler, **more}
    return lambda: Simulation(**arguments)  # type: ignore[arg-type]


class Careless(mo.Scheduler):
    """Draws from the random module from the tenth task on."""

    def cost(self, task: TaskView, node: NodeView) -> float:
        return random.random() if int(task.name[1:]) >= 10 else node.index


class Careful(mo.Scheduler):
    """Draws from what it is given."""

    def begin(self, cluster: ClusterView) -> None:
        self.random = cluster.random

    def cost(self, task: TaskView, node: NodeView) -> float:
        return self.random.random()


class ByASet(mo.Scheduler):
    """Takes the first of a set of names."""

    def cost(self, task: TaskView, node: NodeView) -> float:
        return list(set(NAMES)).index(node.name)


@pytest.mark.parametrize(
    "name", [info.name for info in default_registry().describe() if info.kind == "scheduler"]
)
def test_the_built_in_strategies_are_deterministic(name: str):
    check_deterministic(made(name))


def test_one_that_draws_from_what_it_is_given_is_deterministic_also_with_faults_and_a_model():
    faults = Faults(crash_every_s=100.0, repair_s=5.0, straggler_share=0.2)
    found = check_deterministic(made(Careful(), faults=faults, model=CpuSharing()))
    assert len(found.ledger) == 30


def test_one_that_draws_from_the_random_module_is_found_where_it_first_does():
    random.seed(1)
    with pytest.raises(PluginError) as caught:
        check_deterministic(made(Careless()))
    told = str(caught.value)
    begins = r'scheduler "Careless\(\)" is not deterministic: with seed 3, start (\d+) was '
    decisions = r"t\1/t\1 on (\w+) at (\S+) s the first time, and t\1/t\1 on (\w+) at \3 s when"
    found = re.match(begins + decisions, told)
    assert found is not None, told
    number = int(found[1])
    assert 10 <= number < 15, "or one of those after it, for there was one node, or chance chose it twice"
    assert found[2] != found[4]
    assert {found[2], found[4]} <= set(NAMES)
    assert float(found[3]) >= next(itertools.islice(drawn(3), number, None)).at_s
    assert "in the same process" in told


def test_one_that_remembers_something_outside_of_itself_is_found():
    calls = itertools.count()

    def turn(task: TaskView, node: NodeView) -> float:
        return next(calls) % 7

    with pytest.raises(PluginError, match=r'scheduler "turn" is not deterministic: with seed 3, start'):
        check_deterministic(made(turn))


def test_one_that_goes_through_a_set_is_found_in_another_process():
    make = made(ByASet())
    check_deterministic(make)  # which finds nothing: in one process, sets have one order
    with pytest.raises(
        PluginError, match=r"ByASet.* was t\d+/t\d+ on .* in a process with PYTHONHASHSEED=\d"
    ):
        check_deterministic(make, hash_seeds=[1, 2])


def test_the_order_of_a_set_is_told_the_same_way_whatever_the_hash_seed_of_this_process():
    script = """
from minorch.errors import PluginError
from tests.simulation.test_determinism import ByASet, check_deterministic, made
try:
    check_deterministic(made(ByASet()), hash_seeds=[1, 2])
except PluginError as error:
    print(type(error).__name__, str(error).split(" the first time")[0])
"""
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout.startswith('PluginError scheduler "ByASet()" is not deterministic'), done.stderr


def test_a_strategy_is_the_same_in_processes_of_other_hash_seeds():
    result = check_deterministic(made("least-loaded"), hash_seeds=[1, 2])
    assert len(result.ledger) == 30


def test_how_it_went_already_need_not_be_found_out_again():
    first = made("spread")().run()
    runs = itertools.count()

    def make() -> Simulation:
        next(runs)
        return made("spread")()

    assert check_deterministic(make, first=first) is first
    assert next(runs) == 1


def test_only_what_happens_until_then_is_compared():
    arrivals_s = [arrival.at_s for arrival in drawn(3)]
    check_deterministic(made(Careless()), until=arrivals_s[10] - 0.001)
    with pytest.raises(PluginError):
        # One task alone is drawn to the same node twice now and then; not ten of them.
        check_deterministic(made(Careless()), until=arrivals_s[20])


def test_another_workload_is_not_the_fault_of_the_strategy():
    def careless(seed: int) -> Iterator[Arrival]:
        for number, arrival in enumerate(drawn(seed)):
            extra_s = random.random() if number >= 5 else 0.0
            yield Arrival(arrival.at_s, arrival.work, 10.0 + extra_s)

    with pytest.raises(
        UsageError, match=r"the workload was not the same in the same process: arrival 5 was t5/t5"
    ):
        check_deterministic(made("spread", workload=careless))


def test_a_workload_that_can_be_read_only_once_is_told():
    once = drawn(3)
    with pytest.raises(UsageError, match=r"ran once, and then could not again: the workload is empty"):
        check_deterministic(made("spread", workload=once))


def test_a_model_that_is_not_deterministic_is_told():
    class Weather(Model):
        def speeds(self, node: Node, running: list[Running]) -> list[float]:  # type: ignore[override]
            return [random.uniform(0.5, 1.0) for _ in running]

    with pytest.raises(
        PluginError, match=r'scheduler "spread" or the model is not .*: with seed 3, the start of t'
    ):
        check_deterministic(made("spread", model=Weather()))


def test_what_cannot_be_sent_to_another_process_is_refused():
    lock = threading.Lock()

    def locked(seed: int) -> Iterator[Arrival]:
        with lock:
            return drawn(seed)

    with pytest.raises(UsageError, match="could not be run in another process"):
        check_deterministic(made("spread", workload=locked), hash_seeds=[1])
