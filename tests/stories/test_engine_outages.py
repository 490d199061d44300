"""The engine does not answer, or not the truth."""

from __future__ import annotations

from minorch.model import RestartPolicy
from minorch.worker import ListRuns, Missed
from tests.stories.world import World, sleeper


def test_a_run_that_was_taken_for_gone_and_reappears_before_its_restart_is_killed():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(5, backoff_s=30.0)))
    a = world.where()
    (key,) = a.live
    status = a.runs[key]
    a.vanish(key)
    world.pass_time(61)
    assert "vanished" in world.task().message
    a.runs[key] = status
    a.tell(Missed())
    world.run()
    assert a.live == []


def test_an_engine_that_is_down_for_long_is_not_asked_ever_more_often():
    world = World("a")
    a = world.machines["a"]
    a.engine_up = False
    world.pass_time(3600)
    before = a.asked_for(ListRuns)
    world.pass_time(600)
    assert a.asked_for(ListRuns) - before <= 33
