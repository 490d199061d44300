"""Health checks: the verdict, what follows from it, and when it does not count."""

from __future__ import annotations

from minorch.model import HealthCheck, RestartPolicy
from minorch.states import Reason, TaskState
from tests.stories.world import World, refusing, sleeper


def test_a_refused_start_after_an_unhealthy_run_says_why_it_was_refused():
    check = HealthCheck.tcp(80, interval_s=1.0, threshold=1)
    world = World("a")
    world.submit(sleeper(health=check, restart=RestartPolicy.on_failure(1)))
    a = world.where()
    a.healthy = lambda key: False
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND, "no such image")
    world.pass_time(10)
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.IMAGE_NOT_FOUND
    assert world.task().message == "no such image"
