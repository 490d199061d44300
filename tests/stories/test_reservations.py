"""A task that small ones would starve has a node kept for it, for a while."""

from __future__ import annotations

import itertools

import pytest

from minorch.manager import ManagerConfig
from minorch.model import Affinity, Job
from minorch.resources import Resources
from tests.stories.world import World, machine, sleeper

WHOLE = Resources(cpu=4)


def reserving(*machines: object, **config: object) -> World:
    fields = {"reserve_after_s": 60.0, "reserve_for_s": 300.0, "ageing_s": 1e9, **config}
    return World(*machines, manager_config=ManagerConfig(**fields))  # type: ignore[arg-type]


def told(world: World) -> list[tuple[str, str, str]]:
    return [(event.kind, event.job, event.node) for event in world.events if event.kind.startswith("room_")]


def small(name: str, cpu: float = 1, **fields: object) -> Job:
    return Job(name, [sleeper(resources=Resources(cpu=cpu), **fields)])


def big(name: str = "big", cpu: float = 4, **fields: object) -> Job:
    return Job(name, [sleeper(resources=Resources(cpu=cpu), **fields)])


def streaming(machines: str, **config: object) -> World:
    """A cluster on which wherever a small task ends after some twenty seconds the next one waits already."""
    world = reserving(*machines, **config)
    lengths = itertools.cycle([20.0, 23.0, 29.0])
    world.on_start = lambda there, key: world.later(next(lengths), lambda: there.exit(key, 0))
    world.submit(Job("small", [sleeper(resources=Resources(cpu=2), completions=300)]))
    world.submit(big())
    return world


@pytest.mark.parametrize("machines", ["a", "ab", "abcdefgh"])
def test_a_large_task_gets_its_node_when_the_small_ones_there_have_ended(machines: str):
    world = streaming(machines)
    world.pass_time(89)
    assert world.states("big") == {"sleep": "RUNNING"}
    assert [kind for kind, *_ in told(world)] == ["room_kept"]
    assert len(world.where(job="big").live) == 1


def test_without_reservations_it_waits_for_ever():
    world = streaming("a", reserve_for_s=0)
    world.pass_time(600)
    assert world.states("big") == {"sleep": "PENDING"}
    assert told(world) == []


def test_a_room_that_is_kept_in_vain_is_given_up_and_another_one_is_kept_later():
    world = reserving("a", reserve_for_s=100.0)
    world.submit(big("long", cpu=2))
    world.submit(big())
    world.pass_time(61)
    world.submit(small("small"))
    assert world.states("small") == {"sleep": "PENDING"}
    told_why = world.manager.explain(world.task(job="small").id, world.now)
    assert "kept free for another task" in str(told_why)
    world.pass_time(98)
    assert world.states("small") == {"sleep": "PENDING"}
    world.pass_time(2)
    assert world.states("small") == {"sleep": "RUNNING"}
    assert told(world) == [("room_kept", "big", "a"), ("room_given_up", "big", "a")]
    assert [e.detail for e in world.events if e.kind == "room_given_up"] == ["kept for 100 s in vain"]
    world.pass_time(58)
    assert len(told(world)) == 2
    world.pass_time(2)
    assert told(world)[2:] == [("room_kept", "big", "a")]


@pytest.mark.parametrize(("count", "most"), [(1, 1), (7, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_of_eight_nodes_begun_one_is_kept_at_most(count: int, most: int):
    world = reserving(*(f"n{at}" for at in range(count)))
    world.submit(Job("block", [sleeper(resources=Resources(cpu=2), completions=2 * count)]))
    for at in range(5):
        world.submit(big(f"big-{at}", cpu=4 - at / 10))
    for at in range(0, 2 * count, 2):
        world.exit(f"sleep[{at}]", job="block")
    world.submit(Job("again", [sleeper(resources=Resources(cpu=2), completions=count)]))
    world.pass_time(61)
    assert len(told(world)) == most
    assert [job for _, job, _ in told(world)] == [f"big-{at}" for at in range(most)]


def test_of_those_that_wait_for_long_the_one_whose_turn_it_is_gets_the_room():
    world = reserving("a", ageing_s=1e6)
    world.submit(small("one", cpu=2))
    world.submit(big("low", cpu=4))
    world.submit(Job("high", [sleeper(resources=Resources(cpu=3))], priority=4))
    world.pass_time(61)
    assert told(world) == [("room_kept", "high", "a")]


def test_it_is_kept_where_the_least_has_to_end_and_never_where_services_stay():
    world = reserving("a", "b", "c")
    service = sleeper("serve", resources=Resources(cpu=1), constraints=["node.name == a"])
    world.submit(Job("service", [service], kind="service"))
    world.submit(small("more", cpu=3, constraints=["node.name == b"]))
    world.submit(small("less", cpu=2, constraints=["node.name == c"]))
    world.submit(big())
    world.pass_time(61)
    assert told(world) == [("room_kept", "big", "c")]
    world.exit(job="less")
    assert world.where(job="big").node.name == "c"


def test_where_services_stay_everywhere_nothing_is_kept():
    world = reserving("a")
    world.submit(Job("service", [sleeper(resources=Resources(cpu=1))], kind="service"))
    world.submit(big())
    world.pass_time(1000)
    world.submit(small("small"))
    assert world.states("small") == {"sleep": "RUNNING"}
    assert told(world) == []
    world.stop(job="service")
    world.exit(job="small")
    assert world.states("big") == {"sleep": "RUNNING"}


@pytest.mark.parametrize("trouble", ["lost", "cordoned"])
def test_when_the_node_is_lost_or_cordoned_another_one_is_kept_at_once(trouble: str):
    world = reserving("a", "b")
    world.submit(Job("block", [sleeper(resources=Resources(cpu=3), completions=2)]))
    world.submit(big())
    world.pass_time(61)
    ((_, _, node),) = told(world)
    if trouble == "lost":
        world.machines[node].deaf = True
    else:
        world.manager.cordon(node, world.now)
    world.pass_time(20)
    (other,) = {"a", "b"} - {node}
    assert told(world) == [
        ("room_kept", "big", node),
        ("room_given_up", "big", node),
        ("room_kept", "big", other),
    ]


def test_when_the_task_is_stopped_others_get_the_room_at_once():
    world = reserving("a")
    world.submit(small("one", cpu=2))
    world.submit(big())
    world.pass_time(61)
    world.submit(small("small"))
    assert world.states("small") == {"sleep": "PENDING"}
    world.stop(job="big")
    assert world.states("small") == {"sleep": "RUNNING"}
    assert told(world)[-1] == ("room_given_up", "big", "a")


def test_one_behind_the_first_of_its_line_uses_the_room_that_was_kept_for_it():
    world = reserving("a", "b")
    world.submit(Job("first", [sleeper(resources=WHOLE)], retries=1))
    world.submit(small("half", cpu=2))
    world.submit(big())
    world.pass_time(61)
    assert told(world) == [("room_kept", "big", "b")]
    world.submit(Job("urgent", [sleeper(resources=Resources(cpu=3.5))], priority=9))
    world.exit(code=1, job="first")  # it waits again, before the one that a room is kept for
    assert world.states("urgent") == {"sleep": "RUNNING"}
    assert world.states("first") == {"sleep": "PENDING"}
    world.exit(job="half")
    assert world.where(job="big").node.name == "b"


def test_a_new_manager_begins_without_reservations_and_makes_them_again():
    world = reserving("a")
    world.submit(small("one", cpu=2))
    world.submit(big())
    world.pass_time(61)
    world.start_manager()
    world.pass_time(59)
    assert len(told(world)) == 1
    world.pass_time(5)
    assert len(told(world)) == 2


def test_no_node_is_kept_where_it_could_not_go_for_its_neighbours():
    zones = [machine("a", labels={"zone": "x"}), machine("b", labels={"zone": "y"})]
    world = reserving(*zones)
    world.submit(Job("cache", [sleeper(resources=Resources(cpu=1), constraints=["zone == x"])]))
    world.submit(small("more", cpu=3, constraints=["zone == x"]))
    world.submit(small("less", cpu=1, constraints=["zone == y"]))
    world.submit(big(cpu=3, affinity=[Affinity.near(job="cache", topology="zone")]))
    world.pass_time(61)
    assert told(world) == [("room_kept", "big", "a")]
    world.exit(job="cache")  # now there is nobody there to be near to
    world.exit(job="more")
    world.exit(job="less")
    assert world.states("big") == {"sleep": "PENDING"}
    assert "not near job cache: none in this zone" in str(
        world.manager.explain(world.task(job="big").id, world.now)
    )
    world.submit(Job("cache", [sleeper(resources=Resources(cpu=1), constraints=["zone == y"])]))
    assert world.where(job="big").node.name == "b"


def test_a_filter_that_fails_when_it_is_asked_about_an_empty_node_keeps_none():
    def moody(task, node):
        if task.job == "big" and not node.tasks:
            raise ValueError("so empty")

    world = World("a", manager_config=ManagerConfig(reserve_after_s=60.0), filters={"moody": moody})
    world.submit(small("one", cpu=2))
    world.submit(big())
    world.pass_time(200)
    assert told(world) == []
    assert world.states("big") == {"sleep": "PENDING"}


def test_task_slots_are_room_too():
    world = reserving(machine("a", max_tasks=2), machine("b", max_tasks=1))
    world.submit(Job("block", [sleeper(completions=3)]))
    world.submit(Job("waits", [sleeper()]))
    world.pass_time(61)
    assert told(world) == [("room_kept", "waits", "a")]


def test_who_matters_more_but_came_later_waits_too_for_the_room_to_be_used():
    world = reserving("a", ageing_s=1000.0)
    world.submit(small("one", cpu=2))
    world.submit(big())
    world.pass_time(61)
    world.submit(Job("urgent", [sleeper(resources=Resources(cpu=1))], priority=2))
    assert world.states("urgent") == {"sleep": "PENDING"}
    world.exit(job="one")
    assert world.states("big") == {"sleep": "RUNNING"}


def test_what_is_left_of_a_reserved_node_goes_to_others_at_once():
    world = reserving("a")
    world.submit(small("one", cpu=2))
    world.submit(big(cpu=3))
    world.pass_time(61)
    world.submit(small("small", cpu=1))
    assert world.states("small") == {"sleep": "PENDING"}
    world.exit(job="one")
    assert world.states("big") == world.states("small") == {"sleep": "RUNNING"}
