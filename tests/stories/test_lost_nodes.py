"""A worker is not heard of for its lease, and returns or does not."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.states import Reason, TaskState
from tests.stories.world import World, sleeper


def test_a_node_that_returns_stops_soon_what_ended_while_it_was_lost():
    world = World("a")
    world.submit(sleeper(on_lost="hold", stop_grace_s=1.0))
    a = world.where()
    a.deaf = True
    world.pass_time(20)
    world.stop()
    assert world.task().state is TaskState.STOPPED
    a.deaf = False
    world.pass_time(10)
    assert a.live == []


def test_a_lost_nodes_tasks_are_placed_anew_and_cost_no_retry():
    world = World("a", "b")
    world.submit(sleeper())
    first = world.where()
    first.deaf = True
    world.pass_time(20)
    assert world.where() is not first
    assert world.job().retries_used == 0
    attempts = world.task().attempts
    assert [(a.reason, a.number) for a in attempts] == [(Reason.NODE_LOST, 1), (None, 2)]
    info = next(node for node in world.manager.nodes() if node.name == first.node.name)
    assert info.lost
    assert info.message == "not heard of for its lease"
    assert not info.ready


def test_a_task_that_must_not_run_twice_is_held_and_goes_on_when_its_node_returns():
    world = World("a", "b")
    world.submit(sleeper(on_lost="hold"))
    a = world.where()
    a.deaf = True
    world.pass_time(1000)
    assert world.task().state is TaskState.RUNNING
    assert world.machines["b"].live == []
    a.deaf = False
    a.exit(a.live[0], 0)
    world.pass_time(5)
    assert world.task().state is TaskState.COMPLETED
    assert len(a.started) == 1


def test_a_held_task_that_is_to_be_moved_is_moved_when_its_node_returns():
    world = World("a", "b")
    world.submit(sleeper(on_lost="hold"))
    a = world.where()
    a.deaf = True
    world.pass_time(20)
    world.manager.drain("a", world.now)
    world.pass_time(20)
    assert world.machines["b"].live == []
    a.deaf = False
    world.pass_time(10)
    assert world.where().node.name == "b"
    assert a.live == []


def test_a_task_that_loses_too_many_nodes_fails():
    world = World("a", "b", manager_config=ManagerConfig(max_lost=1))
    world.submit(sleeper())
    world.where().deaf = True
    world.pass_time(20)
    world.where().deaf = True
    world.pass_time(20)
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.NODE_LOST
    assert "2 attempts in a row were lost with their nodes" in world.task().message


def test_a_node_that_returns_before_its_task_found_another_starts_it_anew():
    world = World("a")
    world.submit(sleeper(stop_grace_s=1.0))
    a = world.where()
    a.deaf = True
    world.pass_time(20)
    assert world.task().state is TaskState.PENDING
    a.deaf = False
    world.pass_time(10)
    assert world.task().state is TaskState.RUNNING
    assert [key.attempt for key in a.live] == [2]
    assert world.kinds().count("node_returned") == 1


def test_a_node_that_is_lost_twice_returns_twice():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    for attempt in (2, 3):
        a.deaf = True
        world.pass_time(20)
        a.deaf = False
        world.pass_time(10)
        assert [key.attempt for key in a.live] == [attempt]
    assert world.task().attempts[-1].number == 3
    world.start_manager()
    world.pass_time(100)
    assert len(world.desk.timers._heap) == 1, "one lease, one timer"
    a.deaf = True
    world.pass_time(20)
    world.start_manager()
    a.deaf = False
    world.pass_time(100)
    assert [kind for _, _, kind, _ in world.desk.timers._heap].count("lease") == 1


def test_only_the_latest_attempts_are_remembered():
    world = World("a", "b", manager_config=ManagerConfig(max_lost=100))
    world.submit(sleeper())
    for _ in range(20):
        machine = world.where()
        machine.deaf = True
        world.pass_time(20)
        machine.deaf = False
        world.pass_time(10)
    assert [attempt.number for attempt in world.task().attempts] == list(range(6, 22))


def test_a_task_that_a_worker_stopped_unasked_is_tried_again():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    (local,) = a.worker._attempts.attempts.values()
    a.worker._attempts.stop(local, 1.0, world.now)
    world.run()
    assert world.task().state is TaskState.RUNNING
    assert world.task().attempts[-1].number == 2
    assert "its worker stopped it unasked" in [event.detail for event in world.events]
