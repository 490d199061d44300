"""A node is emptied: all at once, some tasks at a time, or with time for batch jobs to complete."""

from __future__ import annotations

import pytest

from minorch.errors import NotFound, SpecError
from minorch.manager import ManagerConfig
from minorch.model import Affinity, HealthCheck, Job, Task
from minorch.resources import Resources
from minorch.states import TaskState
from tests.stories.world import Machine, World, machine, sleeper


def crowded(count: int = 3, kind: str = "service", **config: object) -> tuple[World, Machine, Machine]:
    """Node a holds *count* tasks of one job; node b is there and empty."""
    world = World("a", "b", manager_config=ManagerConfig(**config))  # type: ignore[arg-type]
    world.manager.cordon("b", world.now)
    field = "replicas" if kind == "service" else "completions"
    world.submit(Job("job", [sleeper(stop_grace_s=5.0, **{field: count})], kind=kind))  # type: ignore[arg-type]
    world.manager.cordon("b", world.now, cordoned=False)
    world.run()
    a, b = world.machines["a"], world.machines["b"]
    assert len(a.live) == count
    return world, a, b


def node(world: World, name: str = "a"):  # type: ignore[no-untyped-def]
    return world.manager.node(name)


def test_without_terms_everything_moves_at_once_and_the_node_is_told_to_be_empty():
    world, a, b = crowded()
    world.manager.drain("a", world.now)
    assert node(world).draining
    world.run()
    assert (len(a.live), len(b.live)) == (0, 3)
    assert (node(world).draining, node(world).drained) == (False, True)
    told = [event for event in world.events if event.node == "a"]
    assert [e.kind for e in told if e.kind.startswith("node_")][-3:] == [
        "node_cordoned",
        "node_draining",
        "node_drained",
    ]
    assert world.desk.draining == {}
    world.manager.cordon("a", world.now, cordoned=False)
    assert not node(world).drained


def test_only_so_many_are_on_the_move_at_a_time():
    world, a, b = crowded(4)
    b.slow = True
    world.manager.drain("a", world.now, at_once=2)
    world.run()
    assert (len(a.live), len(b.pending)) == (2, 2)
    detail = next(event.detail for event in world.events if event.kind == "node_draining")
    assert detail == "4 tasks; at most 2 at a time"
    world.pass_time(60)
    assert len(a.live) == 2
    first, second = b.pending
    b.pending = [first]
    b.answer_starts()
    world.run()
    assert len(a.live) == 1, "one runs again, so one may follow"
    b.slow = False
    b.pending.append(second)
    b.answer_starts()
    world.run()
    assert (len(a.live), len(b.live)) == (0, 4)
    assert node(world).drained


def test_one_that_has_a_check_is_on_the_move_until_it_is_healthy():
    world = World("a", "b")
    world.manager.cordon("b", world.now)
    task = sleeper(health=HealthCheck.exec(["true"], interval_s=1.0, threshold=1000), replicas=2)
    world.submit(Job("job", [task], kind="service"))
    a, b = world.machines["a"], world.machines["b"]
    a.healthy = lambda key: True
    world.pass_time(5)
    b.healthy = lambda key: False
    world.manager.cordon("b", world.now, cordoned=False)
    world.manager.drain("a", world.now, at_once=1)
    world.pass_time(30)
    assert (len(a.live), len(b.live)) == (1, 1)
    b.healthy = lambda key: True
    world.pass_time(5)
    assert (len(a.live), len(b.live)) == (0, 2)


def test_tasks_of_batch_jobs_may_complete_until_the_deadline_and_services_go_at_once():
    world, a, b = crowded(2, kind="batch")
    world.manager.cordon("b", world.now)
    world.submit(Job("shop", [sleeper("web")], kind="service"))
    world.manager.cordon("b", world.now, cordoned=False)
    world.manager.drain("a", world.now, deadline_s=100.0)
    world.run()
    assert world.where("web", "shop") is b
    assert len(a.live) == 2
    a.exit(a.live[0], 0)
    world.pass_time(99)
    assert len(a.live) == 1
    assert node(world).draining
    world.pass_time(1)
    assert a.live == []
    assert world.states() == {"sleep[0]": "COMPLETED", "sleep[1]": "RUNNING"}
    assert node(world).drained


def test_a_deadline_ends_the_limit_too():
    world, a, b = crowded(3)
    b.slow = True
    world.manager.drain("a", world.now, at_once=1, deadline_s=50.0)
    world.pass_time(49)
    assert len(a.live) == 2
    world.pass_time(1)
    assert a.live == []


def test_what_finds_no_room_holds_up_the_others_but_not_for_ever():
    whole = Resources(cpu=2, memory="1GiB")
    world = World("a", machine("b", capacity=Resources(cpu=1, memory="8GiB")))
    world.submit(Job("job", [sleeper(resources=whole, replicas=2)], kind="service"))
    a = world.machines["a"]
    assert len(a.live) == 2
    world.manager.drain("a", world.now, at_once=1)
    world.pass_time(299)
    assert len(a.live) == 1
    world.pass_time(2)
    assert a.live == []
    assert node(world).drained


def test_two_that_must_be_together_do_not_wait_for_each_other_for_ever():
    world = World("a", "b", manager_config=ManagerConfig(drain_wait_s=60.0))
    world.manager.cordon("b", world.now)
    near = [sleeper("lead"), sleeper("mate", affinity=[Affinity.near(task="lead")])]
    world.submit(Job("job", near, kind="service"))
    world.manager.cordon("b", world.now, cordoned=False)
    world.manager.drain("a", world.now, at_once=1)
    world.pass_time(200)
    assert world.states() == {"lead": "RUNNING", "mate": "RUNNING"}
    assert {world.where("lead").node.name, world.where("mate").node.name} == {"b"}


def test_one_that_takes_its_time_to_end_is_on_the_move_as_long_as_that_takes():
    world, a, b = crowded(2, drain_wait_s=1.0)
    a.stubborn = True
    world.manager.drain("a", world.now, at_once=1)
    world.pass_time(4.9)
    assert world.kinds().count("task_moving") == 1
    world.pass_time(5)
    assert (len(a.live), len(b.live)) == (1, 1)
    world.pass_time(5)
    assert (len(a.live), len(b.live)) == (0, 2)


def test_what_is_stopped_on_its_way_makes_room_for_the_next():
    world, a, b = crowded(2, keep_tasks=0)
    world.manager.cordon("b", world.now)
    world.submit(Job("other", [sleeper("other")]))
    world.manager.drain("a", world.now, at_once=1)
    world.run()
    assert world.states() == {"sleep[0]": "PENDING", "sleep[1]": "RUNNING"}
    world.stop()
    assert world.states("other") == {"other": "PENDING"}, "it is on its way, although there is no room"
    world.pass_time(10)
    world.manager.cordon("b", world.now, cordoned=False)
    world.pass_time(10)
    assert a.live == []
    assert world.states("other") == {"other": "RUNNING"}
    assert b.live != []


def test_what_moves_for_another_reason_counts_too():
    world, a, b = crowded(3)
    b.slow = True
    a.stubborn = True
    for name in ("sleep[0]", "sleep[1]"):
        world.manager.move(world.task(name).id, world.now)
    world.manager.drain("a", world.now, at_once=1)
    world.pass_time(30)
    assert len(a.live) == 1
    b.answer_starts()
    b.slow = False
    world.pass_time(30)
    assert (len(a.live), len(b.live)) == (0, 3)


def test_a_drain_goes_on_under_the_next_manager():
    world, a, b = crowded(3, drain_wait_s=100.0)
    b.slow = True
    world.manager.drain("a", world.now, at_once=1, deadline_s=5000.0)
    world.pass_time(40)
    world.start_manager()
    world.pass_time(20)
    assert len(a.live) == 2
    assert node(world).draining
    world.pass_time(45)
    assert len(a.live) == 1, "it has had its time, counted over both managers"
    world.start_manager()
    b.slow = False
    b.answer_starts()
    world.pass_time(10)
    assert node(world).drained
    world.start_manager()
    assert node(world).drained
    world.pass_time(10)
    assert world.kinds().count("node_drained") == 1


def test_a_deadline_is_kept_by_the_next_manager():
    world, a, _ = crowded(2, kind="batch")
    world.manager.drain("a", world.now, deadline_s=50.0)
    world.run()
    world.start_manager()
    world.pass_time(49)
    assert len(a.live) == 2
    world.pass_time(1)
    assert a.live == []


def test_a_second_call_changes_how_it_goes_on():
    world, a, b = crowded(4)
    b.slow = True
    world.manager.drain("a", world.now, at_once=1)
    world.run()
    world.manager.drain("a", world.now, at_once=3)
    world.run()
    assert len(a.live) == 1
    world.manager.drain("a", world.now)
    world.run()
    assert a.live == []
    assert world.kinds().count("node_draining") == 3
    assert world.kinds().count("node_cordoned") == 2


def test_to_open_the_node_again_leaves_there_what_is_left():
    world, a, b = crowded(3)
    b.slow = True
    world.manager.drain("a", world.now, at_once=1)
    world.run()
    world.manager.cordon("a", world.now, cordoned=False)
    b.slow = False
    b.answer_starts()
    world.pass_time(400)
    assert len(a.live) == 2
    assert not node(world).draining
    assert "node_drained" not in world.kinds()


def test_an_empty_node_is_drained_at_once_and_again():
    world = World("a")
    for _ in range(2):
        world.manager.drain("a", world.now, at_once=1)
        world.run()
    assert world.kinds().count("node_drained") == 2


@pytest.mark.parametrize(
    "terms", [{"deadline_s": -1.0}, {"deadline_s": float("nan")}, {"at_once": 0}, {"at_once": 1.5}], ids=str
)
def test_terms_that_make_no_sense_change_nothing(terms: dict[str, float]):
    world = World("a")
    with pytest.raises(SpecError, match=next(iter(terms))):
        world.manager.drain("a", world.now, **terms)  # type: ignore[arg-type]
    assert not node(world).cordoned
    with pytest.raises(NotFound):
        world.manager.drain("z", world.now)


def test_a_lost_node_is_drained_once_what_is_held_there_is_moved():
    world = World("a", "b")
    world.submit([sleeper(on_lost="hold"), Task("brief", command=["x"])])
    a = world.where()
    a.deaf = True
    world.manager.drain(a.node.name, world.now, at_once=1)
    world.pass_time(400)
    assert node(world, a.node.name).draining
    a.deaf = False
    world.pass_time(30)
    assert node(world, a.node.name).drained
    assert world.task().state is TaskState.RUNNING


def test_to_move_what_is_nowhere_or_on_its_way_changes_nothing():
    world = World("a")
    a = world.machines["a"]
    world.submit(sleeper(stop_grace_s=5.0))
    a.stubborn = True
    for _ in range(2):
        world.manager.move(world.task().id, world.now)
        world.run()
    assert world.kinds().count("task_moving") == 1
    world.manager.cordon("a", world.now)
    world.pass_time(10)
    assert world.task().state is TaskState.PENDING
    world.manager.move(world.task().id, world.now)
    world.run()
    assert world.kinds().count("task_moving") == 1
