"""Near other tasks, apart from them, spread evenly; and what a task asks of its node's labels."""

from __future__ import annotations

import collections

import pytest

from minorch.errors import SpecError, UnschedulableError
from minorch.manager import ManagerConfig
from minorch.model import Affinity, Job, SpreadOver, Task
from minorch.resources import Resources
from minorch.schedulers import BinPack, LeastLoaded
from minorch.states import Reason
from tests.stories.world import World, machine, sleeper

near, apart = Affinity.near, Affinity.apart


def zoned(*zones: str, **fields: object) -> World:
    """A cluster of nodes called by their zone and a number: x0, x1, y0 and so on."""
    counts: collections.Counter[str] = collections.Counter()
    machines = []
    for zone in zones:
        machines.append(machine(f"{zone}{counts[zone]}", labels={"zone": zone}))
        counts[zone] += 1
    return World(*machines, **fields)  # type: ignore[arg-type]


def nodes_of(world: World, job: str = "job") -> list[str]:
    return sorted(task.node for task in world.job(job).tasks if task.node is not None and task.attempts)


def zones_of(world: World, job: str = "job") -> dict[str, int]:
    return dict(sorted(collections.Counter(name[0] for name in nodes_of(world, job)).items()))


def why(world: World, name: str = "sleep", job: str = "job") -> str:
    """Why a task waits, in words; the counts have to add up."""
    told = world.manager.explain(world.task(name, job).id, world.now)
    assert told.fitting + sum(refused.nodes for refused in told.refused) == len(world.manager.nodes())
    return str(told)


# -- near ----------------------------------------------------------------------------------------------------


def test_near_a_job_waits_for_it_and_goes_to_its_node():
    world = World(*"abc")
    world.submit(Job("web", [sleeper(affinity=[near(job="cache")])]))
    assert "3 nodes: not near job cache: none on this node" in why(world, job="web")
    world.submit(Job("cache", [sleeper(constraints=["node.name == b"])]))
    assert nodes_of(world, "web") == ["b"]


def test_near_a_task_of_its_own_job_goes_with_it_whatever_comes_first():
    world = World(*"abc", scheduler=LeastLoaded())
    world.submit([sleeper("web", affinity=[near(task="cache")], completions=3), sleeper("cache")])
    assert set(nodes_of(world)) == {"a"}


def test_near_in_a_zone_is_any_node_of_it_and_a_node_without_the_label_is_none():
    world = zoned("x", "y", "y")
    world.add("bare")
    world.run()
    world.submit(Job("cache", [sleeper(resources=Resources(cpu=4), constraints=["node.name == y0"])]))
    web = sleeper(resources=Resources(cpu=2), affinity=[near(job="cache", topology="zone")], completions=3)
    world.submit(Job("web", [web]))
    assert nodes_of(world, "web") == ["y1", "y1"]
    told = why(world, "sleep[2]", "web")
    assert "1 node: no label zone" in told
    assert "1 node: not near job cache: none in this zone" in told


def test_the_first_of_those_that_want_to_be_near_each_other_goes_anywhere():
    world = zoned("x", "y", scheduler=LeastLoaded())
    task = sleeper(labels={"app": "db"}, affinity=[near(labels={"app": "db"}, topology="zone")])
    world.submit(Job("one", [task]))
    world.submit(Job("two", [task]))
    world.submit(Job("three", [sleeper(affinity=[near(labels={"app": "db"}, topology="zone")])]))
    assert zones_of(world, "one") == zones_of(world, "two") == zones_of(world, "three") == {"x": 1}


def test_after_the_node_of_a_group_is_lost_the_first_of_it_goes_anywhere_again():
    world = World("a", "b")
    world.submit(Job("pair", [sleeper(affinity=[near()], replicas=3)], kind="service"))
    assert nodes_of(world, "pair") == ["a"] * 3
    world.machines["a"].deaf = True
    world.pass_time(20)
    assert nodes_of(world, "pair") == ["b"] * 3


def test_a_wish_to_be_near_gives_way_to_room():
    world = World("a", "b")
    world.submit(Job("cache", [sleeper(resources=Resources(cpu=3))]))
    web = sleeper(resources=Resources(cpu=1), affinity=[near(job="cache", weight=1)], completions=2)
    world.submit(Job("web", [web]))
    assert nodes_of(world, "web") == ["a", "b"]


# -- apart ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["batch", "service"])
def test_instances_that_must_be_apart_are_and_the_rest_waits(kind: str):
    world = World(*"abc", scheduler=BinPack())
    count = {"completions" if kind == "batch" else "replicas": 4}
    world.submit(Job("job", [sleeper(affinity=[apart(task="sleep")], **count)], kind=kind))
    assert nodes_of(world) == ["a", "b", "c"]
    assert "3 nodes: job/sleep is there, from which it is apart" in why(world, "sleep[3]")
    world.add("d")
    world.run()
    assert nodes_of(world) == ["a", "b", "c", "d"]


def test_one_that_is_lost_with_its_node_stays_apart_from_the_others():
    world = World(*"abc", scheduler=BinPack())
    world.submit(Job("job", [sleeper(affinity=[apart()], replicas=2)], kind="service"))
    world.machines["a"].deaf = True
    world.pass_time(20)
    assert nodes_of(world) == ["b", "c"]
    world.machines["c"].deaf = True
    world.pass_time(20)
    assert [task.state for task in world.job().tasks].count("RUNNING") == 1
    assert "not ready" in why(world, next(t.name for t in world.job().tasks if t.state == "PENDING"))


def test_whoever_comes_later_respects_who_must_be_apart_by_labels():
    world = World("a", "b", scheduler=BinPack())
    world.submit(Job("quiet", [sleeper(affinity=[apart(labels={"noise": "loud"})])]))
    world.submit(Job("drum", [sleeper(labels={"noise": "loud", "kind": "drum"})]))
    world.submit(Job("flute", [sleeper(labels={"noise": "soft"})]))
    assert [nodes_of(world, job) for job in ("quiet", "drum", "flute")] == [["a"], ["b"], ["a"]]
    world.manager.cordon("b", world.now)
    world.submit(Job("horn", [sleeper(labels={"noise": "loud"})]))
    told = why(world, job="horn")
    assert "1 node: quiet/sleep is there, which is apart from it" in told
    assert "1 node: cordoned" in told
    world.exit(job="quiet")
    assert nodes_of(world, "horn") == ["a"]


@pytest.mark.parametrize("first", ["one", "two"])
def test_one_task_of_a_job_that_is_apart_from_another_one_is_so_whichever_comes_first(first: str):
    world = World("a", scheduler=BinPack())
    tasks = [sleeper("one", affinity=[apart(task="two")]), sleeper("two"), sleeper("three")]
    world.submit(sorted(tasks, key=lambda task: task.name != first))
    (other,) = {"one", "two"} - {first}
    assert world.states() == {first: "RUNNING", other: "PENDING", "three": "RUNNING"}


def test_apart_in_a_zone_holds_for_who_comes_later_too():
    world = zoned("x", "x", "y")
    world.submit(Job("alone", [sleeper(affinity=[apart(job="web", topology="zone")])]))
    world.submit(Job("web", [sleeper(completions=4)]))
    assert zones_of(world, "alone") == {"x": 1}
    assert zones_of(world, "web") == {"y": 4}
    world.manager.cordon("y0", world.now)
    world.exit("sleep[0]", job="web")
    world.submit(Job("more", [sleeper(affinity=[apart(job="web", topology="zone")])]))
    assert zones_of(world, "more") == {"x": 1}


def test_a_wish_to_be_apart_gives_way_to_room():
    world = World("a", "b", scheduler=BinPack())
    world.submit([sleeper(affinity=[apart(weight=5)], completions=4)])
    assert nodes_of(world) == ["a", "a", "a", "b"]


def test_the_heavier_of_two_wishes_wins():
    world = World(*"ab")
    world.submit(Job("cache", [sleeper(constraints=["node.name == a"])]))
    wishes = [near(job="cache", weight=2)]
    world.submit(Job("one", [sleeper(affinity=wishes, preferences={"node.name == b": 3})]))
    world.submit(Job("two", [sleeper(affinity=wishes, preferences={"node.name == b": 1})]))
    assert (nodes_of(world, "one"), nodes_of(world, "two")) == (["b"], ["a"])


# -- spread --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["batch", "service"])
def test_instances_are_spread_over_zones_however_many_nodes_each_has(kind: str):
    world = zoned("x", "y", "y", "y", "z", scheduler=BinPack())
    count = {"completions" if kind == "batch" else "replicas": 8}
    world.submit(Job("job", [sleeper(spread_over=[SpreadOver("zone")], **count)], kind=kind))
    assert sorted(zones_of(world).values()) == [2, 3, 3]


def test_one_zone_that_is_full_holds_up_the_others_when_the_spread_is_required():
    world = zoned("x", "y", scheduler=BinPack())
    task = sleeper(resources=Resources(cpu=2), spread_over=[SpreadOver("zone")], completions=4)
    world.submit(Job("full", [sleeper(resources=Resources(cpu=3), constraints=["zone == x"])]))
    world.submit([task])
    assert zones_of(world) == {"y": 1}
    told = why(world, "sleep[1]")
    assert "1 node: spread over zone: more than 1 ahead of the place with the fewest" in told
    assert "1 node: cpu short by 1 at least" in told
    world.exit(job="full")
    assert zones_of(world) == {"x": 2, "y": 2}


def test_a_zone_that_is_cordoned_or_lost_holds_up_nobody():
    world = zoned("x", "y", "z", scheduler=BinPack())
    world.manager.cordon("x0", world.now)
    world.machines["y0"].deaf = True
    world.pass_time(20)
    world.submit([sleeper(spread_over=[SpreadOver("zone")], completions=3)])
    assert zones_of(world) == {"z": 3}
    world.machines["y0"].deaf = False
    world.pass_time(5)
    world.submit(Job("more", [sleeper(spread_over=[SpreadOver("zone")], completions=3)]))
    assert zones_of(world, "more") == {"y": 1, "z": 2}


def test_a_spread_that_is_wished_for_gives_way_and_a_wider_one_leaves_room():
    world = zoned("x", "y", scheduler=BinPack())
    world.manager.cordon("x0", world.now)
    world.submit([sleeper(spread_over=[SpreadOver("zone", weight=1)], completions=3)])
    assert zones_of(world) == {"y": 3}
    world.manager.cordon("x0", world.now, cordoned=False)
    world.submit(Job("wide", [sleeper(spread_over=[SpreadOver("zone", max_skew=3)], completions=6)]))
    assert max(zones_of(world, "wide").values()) - min(zones_of(world, "wide").values()) <= 3
    assert sum(zones_of(world, "wide").values()) == 6


def test_what_is_lost_is_spread_again():
    world = zoned("x", "x", "y", "y", scheduler=BinPack())
    world.submit(Job("job", [sleeper(spread_over=[SpreadOver("zone")], replicas=6)], kind="service"))
    assert zones_of(world) == {"x": 3, "y": 3}
    busiest = collections.Counter(nodes_of(world)).most_common(1)[0][0]
    world.machines[busiest].deaf = True
    world.pass_time(20)
    assert zones_of(world) == {"x": 3, "y": 3}
    assert busiest not in nodes_of(world)


# -- with a sample, with rooms that are kept -----------------------------------------------------------------


def test_a_strategy_that_looks_at_a_sample_obeys_them_too():
    world = zoned(*"xxxxyyyy", scheduler=LeastLoaded(sample=1))
    world.submit([sleeper(spread_over=[SpreadOver("zone")], affinity=[apart()], completions=8)])
    assert zones_of(world) == {"x": 4, "y": 4}
    assert len(set(nodes_of(world))) == 8
    world.submit(Job("likes", [sleeper(preferences={"zone == y": 1}, completions=4)]))
    assert zones_of(world, "likes") == {"y": 4}


def test_nobody_is_moved_aside_for_one_that_waits_for_its_neighbours():
    world = World("a", manager_config=ManagerConfig(preemption=True))
    world.submit(Job("low", [sleeper(resources=Resources(cpu=4))], priority=-1))
    world.submit(Job("web", [sleeper(affinity=[near(job="cache")])]))
    assert world.kinds().count("task_preempted") == 0


def test_who_must_be_apart_on_its_node_has_those_moved_aside_that_are_in_its_way():
    world = World("a", manager_config=ManagerConfig(preemption=True))
    world.submit(Job("low", [sleeper(labels={"noise": "loud"})]))
    world.submit(Job("other", [sleeper()]))
    world.submit(Job("quiet", [sleeper(affinity=[apart(labels={"noise": "loud"})])], priority=1))
    assert world.states("quiet") == {"sleep": "RUNNING"}
    assert world.states("low") == {"sleep": "PENDING"}
    assert world.states("other") == {"sleep": "RUNNING"}


# -- what a task asks of its node ----------------------------------------------------------------------------

LABELS = {
    "a": {"disk": "ssd", "cores": "8", "kernel": "5.4.0", "zone": "x"},
    "b": {"disk": "hdd", "cores": "16", "kernel": "5.10.3", "zone": "y"},
    "c": {"disk": "ssd", "cores": "32", "kernel": "6.1"},
    "d": {"cores": "many"},
}


@pytest.mark.parametrize(
    ("constraint", "nodes"),
    [
        ("disk == ssd", "ac"),
        ("disk != ssd", "bd"),
        ("zone in x, y", "ab"),
        ("zone not in x", "bcd"),
        ("cores >= 16", "bc"),
        ("cores < 16", "a"),
        ("cores <= 16", "ab"),
        ("cores > 31.5", "c"),
        ("kernel version >=5.10, <7", "bc"),
        ("node.name matches [bd]", "bd"),
        ("node.runtime == pretended", "abcd"),
        ("node.platform == linux/arm64", "d"),
    ],
)
def test_a_task_goes_where_its_constraint_holds_and_nowhere_else(constraint: str, nodes: str):
    world = World(
        *(
            machine(name, labels=labels, platform="linux/arm64" if name == "d" else "linux/amd64")
            for name, labels in LABELS.items()
        )
    )
    world.submit(sleeper(constraints=[constraint], affinity=[apart()], completions=5))
    assert "".join(nodes_of(world)) == nodes
    left = next(task.name for task in world.job().tasks if not task.attempts)
    refused = len(LABELS) - len(nodes)
    assert not refused or f"{refused} node{'s' * (refused > 1)}: constraint {constraint} not met" in why(
        world, left
    )


def test_a_task_for_another_platform_is_refused_waits_or_goes_there():
    world = World(machine("a", platform="linux/amd64"))
    arm = sleeper(platform="linux/arm64")
    with pytest.raises(UnschedulableError, match="1 node: not linux/arm64; change what it asks of its node"):
        world.submit(arm)
    world.submit(arm, wait_for_nodes=True)
    assert "not linux/arm64" in why(world)
    world.add(machine("b", platform="linux/arm64"))
    world.run()
    assert nodes_of(world) == ["b"]


def test_what_contradicts_itself_is_not_even_written():
    with pytest.raises(SpecError, match="contradicts"):
        sleeper(constraints=["disk == ssd", "disk == hdd"])
    with pytest.raises(SpecError, match="contradicts"):
        sleeper(affinity=[near(job="x"), apart(job="x")])
    with pytest.raises(SpecError, match=r"is none of node\.name"):
        sleeper(constraints=["node.nam == a"])


def test_a_label_that_no_node_has_is_refused_with_words_or_waits():
    world = World(machine("a", labels={"disk": "ssd"}))
    task = sleeper(constraints=["disc == ssd"])
    with pytest.raises(UnschedulableError, match="1 node: constraint disc == ssd not met"):
        world.submit(task)
    world.submit(task, wait_for_nodes=True)
    world.pass_time(1000)
    assert "no node could hold it even when empty; it waits for one that can" in why(world)


def test_a_place_that_no_node_is_in_is_told_and_waited_for():
    world = World("a")
    world.submit(sleeper(spread_over=[SpreadOver("rack")]))
    assert "1 node: no label rack" in why(world)
    world.machines["a"].worker.node = machine("a", labels={"rack": "1"})
    world.pass_time(5)
    assert nodes_of(world) == ["a"]


def test_when_a_node_says_something_else_of_itself_what_runs_there_goes_on():
    world = World(machine("a", labels={"disk": "ssd"}))
    task: Task = sleeper(constraints=["disk == ssd"], resources=Resources(cpu=2), completions=3)
    world.submit(task)
    world.machines["a"].worker.node = machine("a", labels={"disk": "hdd"})
    world.pass_time(5)
    world.exit("sleep[0]")
    assert world.states() == {"sleep[0]": "COMPLETED", "sleep[1]": "RUNNING", "sleep[2]": "PENDING"}
    world.pass_time(31)
    assert world.task("sleep[2]").reason is Reason.UNSCHEDULABLE
    assert world.states()["sleep[1]"] == "RUNNING"
