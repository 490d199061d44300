"""The core runs a whole life without I/O: submit, fail, restart, reschedule after a loss, stop."""

from __future__ import annotations

from minorch.model import Job, RestartPolicy
from minorch.states import JobState, Reason, TaskState
from tests.stories.world import World, sleeper


def test_a_whole_life_with_a_hand_held_clock() -> None:
    world = World("a", "b")
    world.submit(Job("job", [sleeper(restart=RestartPolicy.on_failure(1, backoff_s=2.0))], retries=1))
    assert world.task().state is TaskState.RUNNING
    first = world.where()

    world.exit(code=3)
    assert world.task().state is TaskState.RUNNING
    assert "restart 1 of 1 in 2." in world.task().message
    world.pass_time(3)
    assert len(first.live) == 1
    assert first.live[0].run == 2

    world.exit(code=3)
    assert world.where() is not first, "a retry goes to another node"
    assert world.task().state is TaskState.RUNNING
    assert world.job().retries_used == 1

    second = world.where()
    second.deaf = True
    world.pass_time(world.manager_config.lease_s + 1)
    assert world.where() is first
    assert world.task().state is TaskState.RUNNING
    assert len(second.live) == 1, "the lost node still runs it"
    second.deaf = False
    world.pass_time(5)
    assert second.live == [], "a node that returns stops what was placed anew"

    world.manager.stop(world.job().id, world.now)
    world.run()
    assert world.task().state is TaskState.STOPPED
    assert world.task().reason is Reason.STOPPED
    assert world.job().state is JobState.STOPPED
    assert world.where().live == []
