"""A worker is not heard of for its lease, and returns or does not."""

from __future__ import annotations

from minorch.states import TaskState
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
