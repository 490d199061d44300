"""What is over is kept for a while, at the workers and at the manager, and then forgotten."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.model import Job
from tests.stories.world import World, sleeper


def test_after_a_restart_of_the_manager_the_job_that_ended_first_is_still_forgotten_first():
    world = World("a", manager_config=ManagerConfig(keep_jobs_s=100.0))
    world.submit(Job("one", [sleeper()]))
    world.submit(Job("two", [sleeper()]))
    world.exit(job="two")
    world.pass_time(60)
    world.exit(job="one")
    world.start_manager()
    world.pass_time(50)
    assert [job.name for job in world.manager.jobs()] == ["one"]
