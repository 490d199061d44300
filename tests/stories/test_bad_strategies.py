"""Strategies that answer nonsense, nodes that have nothing, tasks by the hundred thousand: all is well."""

from __future__ import annotations

import collections
import random
from collections.abc import Sequence

import pytest

from minorch.manager import Manager
from minorch.model import Job, Task
from minorch.resources import Resources
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import NodeView, Scheduler, TaskView
from minorch.states import Reason, TaskState
from tests.stories.world import World, machine, sleeper


class Nonsense(Scheduler):
    """Gives a cost that is none, of node b alone and for tasks called ``bad`` alone."""

    depends_on = "node"

    def __init__(self, value: object) -> None:
        self.value = value

    def cost(self, task: TaskView, node: NodeView) -> float:
        if node.name == "b" and task.task.labels.get("is") == "bad":
            if isinstance(self.value, BaseException):
                raise self.value
            return self.value  # type: ignore[return-value]
        return 1.0


BAD = {"is": "bad"}
VALUES = [
    *(float("nan"), float("inf"), float("-inf"), "cheap", None, True, [], 10**400, 1j),
    *(ValueError("no"), SystemExit(3), RecursionError("deep"), KeyError()),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_cost_that_is_none_spoils_its_task_and_names_strategy_task_and_node(value: object, indexed: bool):
    strategy = Nonsense(value)
    if not indexed:
        strategy.depends_on = "anything"
    world = World(*"abc", scheduler=strategy)
    world.submit([sleeper("bad", labels=BAD, completions=3), sleeper("good", completions=3)])
    for number in range(3):
        task = world.task(f"bad[{number}]")
        assert task.reason is Reason.PLUGIN_ERROR
        assert "scheduler Nonsense failed on task job/bad" in task.message
        assert "node b" in task.message or isinstance(value, SystemExit)
        assert world.states()[f"good[{number}]"] == "RUNNING"
    world.manager.cordon("b", world.now)
    world.submit(Job("later", [sleeper("bad", labels=BAD)]))
    assert world.states("later") == {"bad": "RUNNING"}  # nobody asks about a node that takes no tasks


class Stranger(Scheduler):
    """Remembers a node that it saw once, and answers with it."""

    seen: NodeView | None = None

    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        if task.name == "candidates" and self.seen is not None:
            return [self.seen]
        return [*nodes, None] if task.name == "nothing" else nodes  # type: ignore[list-item]

    def pick(self, task: TaskView, nodes: Sequence[NodeView], costs: Sequence[float]) -> NodeView:
        self.seen = self.seen or nodes[0]
        return self.seen if task.name == "pick" else nodes[0]


def test_a_view_that_is_out_of_date_is_a_stranger():
    world = World("a", scheduler=Stranger())
    world.submit([sleeper("first"), *(sleeper(name) for name in ("candidates", "pick", "nothing", "last"))])
    assert world.states() == {
        "first": "RUNNING",
        "candidates": "FAILED",
        "pick": "FAILED",
        "nothing": "FAILED",
        "last": "RUNNING",
    }
    assert "pick() returned a node that was no candidate" in world.task("pick").message


class Vandal(Scheduler):
    """Writes into whatever it is given."""

    done: int = 0

    def cost(self, task: TaskView, node: NodeView) -> float:
        for change in (
            lambda: setattr(node, "tasks", 0),
            lambda: setattr(task, "priority", 9),
            lambda: setattr(node.node, "capacity", Resources(cpu=999)),
            lambda: setattr(task.task, "name", "mine"),
            lambda: setattr(node.reserved, "memory", 0),
        ):
            with pytest.raises(AttributeError):
                change()
            self.done += 1
        for counts in (node.job_tasks, node.groups):
            counts.clear()  # type: ignore[attr-defined]
        return 0.0


def test_what_a_strategy_writes_into_a_view_never_reaches_the_tables():
    world = World("a", scheduler=(vandal := Vandal()))
    world.check_every = 10**9  # the board is what it wrote into
    world.submit(Job("one", [sleeper(completions=3)]))
    world.submit(Job("two", [sleeper()]))
    assert vandal.done
    entry = world.desk.state.nodes["a"]
    assert sorted(entry.job_tasks.values()) == [1, 3]
    assert sorted(entry.groups.values()) == [1, 3]
    for name in ("sleep[0]", "sleep[1]", "sleep[2]"):
        world.exit(name, job="one")
    assert world.job("one").state == "COMPLETED"


@pytest.mark.parametrize("make", [LeastLoaded, BinPack, Spread, EPVM, RoundRobin, RandomChoice])
def test_nodes_that_have_nothing_take_what_asks_for_nothing(make: type[Scheduler]):
    world = World(scheduler=make())
    world.submit([sleeper(completions=3), sleeper("big", resources=Resources(cpu=1))], wait_for_nodes=True)
    world.pass_time(100)
    assert set(world.states().values()) == {"PENDING"}
    world.add(machine("none", capacity=Resources(), max_tasks=2))
    world.add(machine("closed", max_tasks=0))
    world.run()
    assert sorted(world.states().values()) == ["PENDING", "PENDING", "RUNNING", "RUNNING"]
    told = world.manager.explain(world.task("big").id, world.now)
    assert "1 node: holds its most tasks (0)" in str(told)


def test_a_plan_that_takes_seconds_is_told_and_harms_nothing():
    clock = iter(range(0, 10_000, 3))
    world = World("a")
    world.manager._planner._stopwatch = lambda: float(next(clock))
    world.submit(sleeper())
    assert world.task().state is TaskState.RUNNING
    assert "scheduler_slow" in world.kinds()


def test_two_hundred_thousand_tasks_of_one_shape_are_taken_in_planned_and_stopped():
    world = World(*(machine(f"n{at}", max_tasks=50) for at in range(20)))
    numbers = iter(range(10**9))
    manager = Manager(
        scheduler=LeastLoaded(),
        ids=lambda: f"{next(numbers):032x}",
        random=random.Random(0),
        now=world.now,
        cluster_id=world.cluster_id,
    )
    for report in world.heard:
        manager.receive(report, world.now)
    job = manager.submit(Job("many", [Task("many", command=["x"], completions=200_000)]), world.now)
    manager.submit(Job("other", [Task("other", command=["x"])], priority=1), world.now)
    manager.settle(world.now)
    states = collections.Counter(task.state for task in manager.job("many").tasks)
    assert states == {TaskState.SCHEDULED: 20 * 50 - 1, TaskState.PENDING: 200_000 - 20 * 50 + 1}
    assert manager.job("other").tasks[0].state is TaskState.SCHEDULED
    manager.stop(job, world.now)
    manager.settle(world.now)
    states = collections.Counter(task.state for task in manager.job("many").tasks)
    assert states[TaskState.STOPPED] == 200_000 - 20 * 50 + 1
