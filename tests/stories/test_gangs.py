"""All members of a gang are placed in one settlement, or none; what did not fit leaves no trace."""

from __future__ import annotations

import random

import pytest

from minorch.manager import ManagerConfig
from minorch.model import Affinity, Job, SpreadOver
from minorch.resources import Resources
from minorch.schedulers import EPVM, LeastLoaded, RandomChoice, RoundRobin
from minorch.scheduling import ClusterView, NodeView, Scheduler, TaskView
from minorch.states import Reason, TaskState
from tests.stories.world import World, machine, sleeper


def cores(count: float) -> Resources:
    return Resources(cpu=count)


def gang(name: str, *tasks: object, **fields: object) -> Job:
    return Job(name, list(tasks), gang=True, **fields)  # type: ignore[arg-type]


def test_a_gang_begins_as_a_whole_in_one_settlement():
    world = World("a", "b")
    world.submit(Job("full", [sleeper(resources=cores(3), completions=2)]))
    world.submit(gang("gang", sleeper(resources=cores(2), completions=4)))
    assert set(world.states("gang").values()) == {"PENDING"}
    told = str(world.manager.explain(world.task("sleep[0]", "gang").id, world.now))
    assert "is placed together with all 4 tasks of its job, or not at all" in told
    world.exit("sleep[0]", job="full")
    assert set(world.states("gang").values()) == {"PENDING"}
    world.exit("sleep[1]", job="full")
    assert set(world.states("gang").values()) == {"RUNNING"}
    times = {event.at for event in world.events if event.kind == "task_scheduled" and event.job == "gang"}
    assert len(times) == 1


def test_what_a_gang_cannot_take_as_a_whole_goes_to_others_meanwhile():
    world = World("a")
    world.submit(Job("full", [sleeper(resources=cores(2))]))
    world.submit(gang("gang", sleeper(resources=cores(2), completions=2), priority=9))
    world.submit(Job("small", [sleeper(resources=cores(1), completions=2)]))
    assert set(world.states("small").values()) == {"RUNNING"}
    assert set(world.states("gang").values()) == {"PENDING"}


def test_a_gang_of_several_shapes_is_placed_hardest_first_where_the_order_written_does_not_do():
    large, small = machine("large", capacity=cores(4)), machine("small", capacity=cores(1))
    world = World(large, small)
    world.submit(gang("gang", sleeper("little", resources=cores(1)), sleeper("big", resources=cores(4))))
    assert world.where("big", "gang").node.name == "large"
    assert world.where("little", "gang").node.name == "small"


def test_members_may_have_to_be_near_each_other_in_whatever_order_they_are_written():
    world = World("a", "b")
    near = [Affinity.near(task="cache")]
    world.submit(gang("gang", sleeper("web", affinity=near, completions=3), sleeper("cache")))
    assert set(world.states("gang").values()) == {"RUNNING"}
    assert {world.where(name, "gang").node.name for name in world.states("gang")} == {"a"}


def test_members_that_want_what_cannot_be_wait_together():
    world = World("a")
    world.submit(gang("gang", sleeper(), sleeper("web", affinity=[Affinity.near(job="nobody")])))
    assert set(world.states("gang").values()) == {"PENDING"}
    world.submit(Job("nobody", [sleeper()]))
    assert set(world.states("gang").values()) == {"RUNNING"}


def test_members_that_would_have_to_be_tried_again_and_again_wait(monkeypatch):
    monkeypatch.setattr("minorch.scheduling.plan._MOST_ROUNDS", 2)
    chain = [sleeper(f"t{at}", affinity=[Affinity.near(task=f"t{at + 1}")]) for at in range(4)]
    world = World("a")
    world.submit(gang("gang", *chain, sleeper("t4")))
    assert set(world.states("gang").values()) == {"PENDING"}
    world.submit(gang("other", *chain[:1], sleeper("t1")))
    assert set(world.states("other").values()) == {"RUNNING"}


def test_a_gang_spread_over_zones_is_spread():
    world = World(*(machine(f"{zone}{at}", labels={"zone": zone}) for zone in "xy" for at in range(2)))
    world.submit(gang("gang", sleeper(spread_over=[SpreadOver("zone")], completions=6)))
    zones = [world.where(name, "gang").node.labels["zone"] for name in world.states("gang")]
    assert sorted(zones) == ["x"] * 3 + ["y"] * 3


def test_a_gang_of_which_one_member_fits_nowhere_fails_as_a_whole():
    world = World()
    world.submit(gang("gang", sleeper(), sleeper("big", resources=cores(64))))
    world.submit(Job("beside", [sleeper()]))
    world.add("a")
    world.pass_time(29)
    assert set(world.states("gang").values()) == {"PENDING"}
    world.pass_time(10)
    assert {task.reason for task in world.job("gang").tasks} == {Reason.UNSCHEDULABLE}
    assert "no node could hold it even when empty" in world.task("sleep", "gang").message
    assert world.states("beside") == {"sleep": "RUNNING"}


def test_or_it_waits_as_a_whole_for_a_node_that_can_hold_that_one():
    world = World("a")
    world.submit(gang("gang", sleeper(), sleeper("big", resources=cores(64)), wait_for_nodes=True))
    world.pass_time(1000)
    assert set(world.states("gang").values()) == {"PENDING"}
    world.add(machine("large", capacity=cores(64)))
    world.run()
    assert set(world.states("gang").values()) == {"RUNNING"}


def test_a_member_that_is_lost_with_its_node_is_placed_alone_later():
    world = World("a", "b")
    world.submit(gang("gang", sleeper(resources=cores(3), completions=2)))
    lost = world.task("sleep[1]", "gang").node
    world.machines[lost].deaf = True
    world.pass_time(20)
    assert world.states("gang") == {"sleep[0]": "RUNNING", "sleep[1]": "PENDING"}
    assert "placed together" in str(world.manager.explain(world.task("sleep[1]", "gang").id, world.now))
    world.add("c")
    world.run()
    assert set(world.states("gang").values()) == {"RUNNING"}
    assert world.where("sleep[1]", "gang").node.name == "c"
    assert world.task("sleep[0]", "gang").attempts[-1].number == 1


def test_a_gang_of_which_a_member_is_stopped_needs_room_for_the_others_alone():
    world = World("a")
    tasks = [sleeper(name, resources=cores(2)) for name in "xyz"]
    world.submit(gang("gang", *tasks))
    assert set(world.states("gang").values()) == {"PENDING"}
    world.stop("z", "gang")
    assert world.states("gang") == {"x": "RUNNING", "y": "RUNNING", "z": "STOPPED"}


def test_gangs_go_by_priority_and_one_that_does_not_fit_blocks_no_other():
    world = World("a")
    world.submit(Job("full", [sleeper(resources=cores(4))]))
    world.submit(gang("large", sleeper(resources=cores(2), completions=3), priority=9))
    world.submit(gang("low", sleeper(resources=cores(2), completions=2)))
    world.submit(gang("high", sleeper(resources=cores(2), completions=2), priority=3))
    world.exit(job="full")
    assert set(world.states("large").values()) == {"PENDING"}
    assert set(world.states("high").values()) == {"RUNNING"}
    assert set(world.states("low").values()) == {"PENDING"}


# -- what is as before ---------------------------------------------------------------------------------------


class Notes(Scheduler):
    """Notes whatever it is told, in all sorts of ways."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []
        self.by_node: dict[str, list[str]] = {}
        self.seen: set[str] = set()
        self.pairs = (["never"], 1)
        self.same = self.names
        self.begun = False

    def begin(self, cluster: ClusterView) -> None:
        self.begun = True
        self.chance = cluster.random

    def cost(self, task: TaskView, node: NodeView) -> float:
        assert self.begun
        return self.chance.random()

    def placed(self, task: TaskView, node: NodeView) -> None:
        self.count += 1
        self.generation += 1
        self.names.append(task.name)
        self.pairs[0].append(task.name)
        self.by_node.setdefault(node.name, []).append(task.name)
        self.seen.add(task.name)


def test_a_gang_that_does_not_fit_leaves_a_strategy_and_chance_as_they_were():
    world = World("a", scheduler=(notes := Notes()))
    world.submit(sleeper(resources=cores(1)))
    known = (notes.names, notes.by_node, notes.seen)
    planner = world.manager._planner
    before, drawn = repr(vars(notes)).replace("generation", ""), planner.random.getstate()
    generation = notes.generation
    world.submit(gang("gang", sleeper(resources=cores(1), completions=4)))
    assert set(world.states("gang").values()) == {"PENDING"}
    assert notes.generation > generation  # what was known of its costs is not believed any more
    notes.generation = generation
    assert repr(vars(notes)).replace("generation", "") == before
    assert planner.random.getstate() == drawn
    assert known == (notes.names, notes.by_node, notes.seen)
    assert notes.names is known[0]
    assert notes.chance is planner.random


@pytest.mark.parametrize("make", [LeastLoaded, EPVM, RoundRobin, RandomChoice, Notes])
def test_what_comes_after_a_gang_that_did_not_fit_goes_where_it_would_have_gone_without(make):
    def story(*, with_gang: bool) -> list[str]:
        world = World(*"abc", scheduler=make())
        if with_gang:
            world.manager.submit(gang("gang", sleeper(resources=cores(2), completions=7)), world.now)
        for number in range(3):
            world.submit(Job(f"job-{number}", [sleeper(resources=cores(1))]))
        return [world.where(job=f"job-{number}").node.name for number in range(3)]

    assert story(with_gang=True) == story(with_gang=False)


def test_a_strategy_that_fails_on_one_member_fails_the_gang():
    class Bad(Scheduler):
        def cost(self, task: TaskView, node: NodeView) -> float:
            if task.name == "bad":
                raise ValueError("no")
            return 0.0

    world = World("a", scheduler=Bad())
    world.submit(gang("gang", sleeper(), sleeper("bad"), sleeper("last")))
    assert {task.reason for task in world.job("gang").tasks} == {Reason.PLUGIN_ERROR}
    assert all("failed on task gang/bad and node a: ValueError" in t.message for t in world.job("gang").tasks)
    assert world.machines["a"].live == []
    world.submit(Job("good", [sleeper()]))
    assert world.states("good") == {"sleep": "RUNNING"}


def test_a_strategy_that_cannot_begin_fails_the_gang():
    class Bad(Scheduler):
        def begin(self, cluster: ClusterView) -> None:
            raise ValueError("not today")

    world = World("a", scheduler=Bad())
    world.submit(gang("gang", sleeper(), sleeper("other")))
    assert {task.state for task in world.job("gang").tasks} == {TaskState.FAILED}
    assert "not today" in world.task("other", "gang").message


def test_a_filter_that_fails_when_another_order_is_tried_does_no_harm():
    def moody(task: TaskView, node: NodeView) -> str | None:
        if task.name == "big" and node.name == "b":
            raise ValueError("no")
        return None

    world = World("a", manager_config=ManagerConfig(), filters={"moody": moody})
    world.submit(gang("gang", sleeper(resources=cores(2), completions=3), sleeper("big", resources=cores(1))))
    world.add(machine("b", capacity=cores(1)))
    world.run()
    assert set(world.states("gang").values()) == {"PENDING"}


def test_a_gang_is_not_begun_in_part_because_a_node_changed_while_it_was_placed():
    class Meddler(Scheduler):
        meddled = False

        def placed(self, task: TaskView, node: NodeView) -> None:
            if not self.meddled:
                self.meddled = True
                world.manager.cordon("b", world.now)

    world = World("a", "b", scheduler=Meddler())
    world.submit(gang("gang", sleeper(resources=cores(4), completions=2)))
    assert set(world.states("gang").values()) == {"PENDING"}
    world.manager.cordon("b", world.now, cordoned=False)
    world.run()
    assert set(world.states("gang").values()) == {"RUNNING"}


def test_random_gangs_on_random_clusters_begin_as_a_whole_or_wait():
    for seed in range(40):
        draw = random.Random(seed)
        world = World(*(machine(f"n{at}", capacity=cores(draw.randint(1, 6))) for at in range(4)))
        for number in range(8):
            name = f"gang-{number}"
            tasks = [
                sleeper(
                    f"t{at}", resources=cores(draw.choice([0.5, 1, 2, 3])), completions=draw.randint(1, 3)
                )
                for at in range(draw.randint(1, 3))
            ]
            world.submit(gang(name, *tasks, wait_for_nodes=True, priority=draw.randint(0, 3)))
            for other in range(number + 1):
                states = set(world.states(f"gang-{other}").values())
                assert len(states - {"COMPLETED"}) <= 1, (seed, other, states)
            begun = [f"gang-{at}" for at in range(number + 1) if world.states(f"gang-{at}")]
            done = [job for job in begun if "RUNNING" in world.states(job).values()]
            if done and draw.random() < 0.5:
                for task in list(world.states(done[0])):
                    world.exit(task, job=done[0])
