"""What is over is kept for a while, at the workers and at the manager, and then forgotten."""

from __future__ import annotations

import pytest

from minorch.errors import NotFound
from minorch.manager import ManagerConfig
from minorch.model import Job
from minorch.states import JobState, TaskState
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
    world.submit(sleeper(completions=80))
    for at in range(80):
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


def test_the_remains_of_the_latest_tasks_are_kept():
    world = World("a", manager_config=ManagerConfig(keep_runs=2))
    world.submit(sleeper(completions=4))
    for at in range(4):
        world.exit(f"sleep[{at}]")
    world.pass_time(1)
    a = world.machines["a"]
    assert len(a.runs) == 2
    assert [task.run_key is not None for task in world.job().tasks] == [False, False, True, True]
    world.pass_time(3600)
    assert a.runs == {}
    assert a.worker.idle


def test_the_remains_of_a_job_are_given_up_on_request():
    world = World("a")
    world.submit([sleeper(), sleeper("goes-on"), sleeper("waits", after=["goes-on"])])
    world.exit()
    world.manager.release(world.job().id, world.now)
    world.manager.release(world.job().id, world.now)
    world.pass_time(1)
    assert len(world.machines["a"].runs) == 1
    world.exit("goes-on")
    world.exit("waits")
    assert world.job().state is JobState.COMPLETED


def test_finished_jobs_beyond_a_number_of_tasks_are_forgotten():
    world = World("a", manager_config=ManagerConfig(keep_tasks=2))
    for name in ("one", "two", "three"):
        world.submit(Job(name, [sleeper()]))
        world.exit(job=name)
    assert [job.name for job in world.manager.jobs()] == ["two", "three"]
    with pytest.raises(NotFound, match='no job "one"'):
        world.job("one")
    world.pass_time(1)
    assert len(world.machines["a"].runs) == 2


def test_a_forgotten_job_does_not_take_the_name_of_a_later_one_with_it():
    world = World("a", manager_config=ManagerConfig(keep_jobs_s=100.0))
    world.submit(sleeper())
    world.exit()
    world.submit(sleeper())
    world.pass_time(101)
    assert len(world.manager.jobs()) == 1
    assert world.task().state is TaskState.RUNNING


def test_the_remains_of_forgotten_tasks_that_were_never_placed_are_nothing():
    world = World(manager_config=ManagerConfig(keep_jobs_s=100.0, keep_runs_s=500.0))
    world.submit(sleeper())
    world.stop()
    world.pass_time(101)
    assert world.manager.jobs() == ()
    world.add("a")
    world.submit(sleeper())
    world.exit()
    world.pass_time(600)
    assert world.machines["a"].runs == {}
