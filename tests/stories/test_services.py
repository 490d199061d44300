"""A service keeps its count: what fails to start is tried again, and losses of long ago are forgiven."""

from __future__ import annotations

import itertools

import pytest

from minorch.manager import ManagerConfig
from minorch.model import HealthCheck, Job, RestartPolicy
from minorch.states import JobState, Reason, TaskState
from tests.stories.world import World, refusing, sleeper


def service(world: World, **fields: object) -> None:
    world.submit(Job("job", [sleeper(**fields)], kind="service"))


@pytest.mark.parametrize(
    "reason", [Reason.IMAGE_NOT_FOUND, Reason.COMMAND_NOT_FOUND, Reason.FORBIDDEN], ids=str
)
def test_what_cannot_be_started_now_is_tried_again_until_it_can(reason: Reason):
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(reason, "not here yet")
    service(world)
    assert world.task().state is TaskState.PENDING
    words = f"attempt 1 failed on a: {reason}: not here yet; tried again in 1 s, 1 in a row"
    assert world.task().message == words
    assert (
        f"waits before it is tried again: {words}" == world.manager.explain(world.task().id, world.now).detail
    )
    begun = [world.now]
    for _ in range(8):
        before = len(world.task().attempts)
        while len(world.task().attempts) == before:
            world.pass_time(0.5)
        begun.append(world.now)
    waits = [after - before for before, after in itertools.pairwise(begun)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    a.refuse = None
    world.pass_time(61)
    assert world.task().state is TaskState.RUNNING
    assert world.task().message == "crash looping: restarted 9 times in a row"
    assert world.job().retries_used == 0
    world.pass_time(600)
    assert world.task().message == ""


def test_it_is_tried_on_another_node_where_there_is_one():
    world = World("a", "b")
    world.machines["a"].refuse = refusing(Reason.IMAGE_NOT_FOUND)
    service(world, replicas=2)
    world.pass_time(5)
    assert set(world.states().values()) == {"RUNNING"}
    assert world.machines["a"].live == []


def test_a_start_that_fails_for_another_reason_is_tried_again_on_the_same_node():
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(Reason.START_FAILED, "the engine is out of sorts")
    service(world)
    world.pass_time(1000)
    assert world.task().attempts[-1].number == 1
    a.refuse = None
    world.pass_time(70)
    assert world.task().state is TaskState.RUNNING


@pytest.mark.parametrize("restart", [RestartPolicy.never(), RestartPolicy.on_failure(2)], ids=str)
def test_one_whose_restart_policy_has_an_end_is_given_up_then(restart: RestartPolicy):
    world = World("a")
    world.machines["a"].refuse = refusing(Reason.IMAGE_NOT_FOUND)
    service(world, restart=restart)
    assert world.task().state is TaskState.FAILED


def test_while_it_waits_it_can_be_stopped():
    world = World("a")
    world.machines["a"].refuse = refusing(Reason.IMAGE_NOT_FOUND)
    service(world)
    world.stop()
    assert world.job().state is JobState.STOPPED
    attempts = len(world.task().attempts)
    world.pass_time(100)
    assert len(world.task().attempts) == attempts


def test_one_that_fails_while_it_is_stopped_is_stopped():
    world = World("a")
    a = world.machines["a"]
    service(world, restart=RestartPolicy.on_failure(None))
    a.deaf = True
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND)
    a.exit(a.live[0], 1)
    world.pass_time(2)
    world.stop()
    assert not world.job().state.terminal
    a.deaf = False
    world.pass_time(5)
    assert world.job().state is JobState.STOPPED
    assert world.task().attempts[-1].reason is Reason.IMAGE_NOT_FOUND


def test_the_next_manager_waits_as_long_and_tries_again():
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND)
    service(world)
    world.pass_time(100)
    a.refuse = None
    attempts = world.task().attempts[-1].number
    assert world.task().state is TaskState.PENDING
    world.start_manager()
    world.pass_time(20)
    assert world.task().attempts[-1].number == attempts
    world.pass_time(60)
    assert world.task().state is TaskState.RUNNING
    world.start_manager()
    world.pass_time(100)
    assert world.task().attempts[-1].number == attempts + 1


def test_a_wait_that_is_over_when_the_next_manager_begins_is_over():
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND)
    service(world)
    a.refuse = None
    world.now += 100
    world.start_manager()
    world.pass_time(5)
    assert world.task().state is TaskState.RUNNING


def test_one_that_ran_for_long_is_not_made_to_wait_for_what_was_long_ago():
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND)
    service(world)
    world.pass_time(100)
    a.refuse = None
    world.pass_time(1000)
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND)
    world.exit(code=1)
    world.pass_time(1.2)
    assert world.task().message.endswith("tried again in 2 s, 2 in a row"), "the end of the run was the first"


def lose(world: World, *, after_s: float) -> None:
    """Have the task's node go away after a while, and come back when it was placed elsewhere."""
    world.pass_time(after_s)
    here = world.where()
    here.deaf = True
    world.pass_time(20)
    here.deaf = False
    world.pass_time(10)


def test_a_service_outlives_any_number_of_nodes_if_it_ran_for_long_on_each():
    world = World("a", "b", manager_config=ManagerConfig(max_lost=2))
    service(world)
    for _ in range(5):
        lose(world, after_s=3600)
    assert world.task().state is TaskState.RUNNING
    lose(world, after_s=0)
    lose(world, after_s=0)
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.NODE_LOST
    assert "3 attempts in a row were lost" in world.task().message


def test_a_run_that_was_found_unhealthy_does_not_count_as_long():
    world = World("a", "b", manager_config=ManagerConfig(max_lost=1, lost_reset_s=10.0))
    for machine in world.machines.values():
        machine.healthy = lambda key: False
    never = RestartPolicy.always()
    check = HealthCheck.exec(["false"], interval_s=50.0, threshold=1)
    service(world, health=check, restart=never, stop_grace_s=100.0)
    for machine in world.machines.values():
        machine.stubborn = True
    lose(world, after_s=60)
    lose(world, after_s=60)
    assert world.task().state is TaskState.FAILED


def test_how_long_it_ran_is_not_known_to_a_manager_that_never_heard_of_its_node():
    world = World("a", "b", manager_config=ManagerConfig(max_lost=0, lost_reset_s=100.0))
    service(world)
    here = world.where()
    world.pass_time(10)
    here.deaf = True
    world.now += 1000
    world.start_manager()
    world.pass_time(20)
    assert world.task().state is TaskState.FAILED


def test_what_never_ran_before_its_node_was_lost_counts():
    world = World("a", "b", manager_config=ManagerConfig(max_lost=0, lost_reset_s=0.0))
    world.machines["a"].slow = True
    service(world)
    world.machines["a"].deaf = True
    world.pass_time(20)
    assert world.task().state is TaskState.FAILED
