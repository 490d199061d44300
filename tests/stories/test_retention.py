"""What is over is kept for a while, at the workers and at the manager, and then forgotten."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.model import Job
from tests.stories.world import World, machine, sleeper


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


def test_many_finished_tasks_leave_no_timers_behind():
    world = World(machine("a", max_tasks=1000), manager_config=ManagerConfig(keep_runs=5))
    world.submit(sleeper(completions=300))
    for at in range(300):
        world.exit(f"sleep[{at}]")
        world.check_every = 100
    assert len(world.desk.timers._heap) < 50


def test_after_a_restart_of_the_manager_the_remains_of_a_task_go_when_they_are_old():
    world = World("a", manager_config=ManagerConfig(keep_runs_s=100.0, lease_s=1e6))
    world.submit(sleeper())
    world.exit()
    world.start_manager()
    step = world.manager.settle(world.now)
    assert step.deadline == world.now + 100.0
