"""A worker starts anew while its runs go on, or end."""

from __future__ import annotations

from minorch.model import RestartPolicy
from minorch.states import TaskState
from tests.stories.world import World, sleeper


def test_a_drained_task_whose_worker_restarts_while_it_ends_is_moved_and_not_failed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.stubborn = True
    world.add("b")
    world.run()
    world.manager.drain("a", world.now)
    world.run()
    (key,) = a.live
    a.exit(key, 143, unseen=True)
    a.boot()
    world.run()
    assert world.task().state is TaskState.RUNNING
    assert world.where().node.name == "b"


def test_a_stop_ends_in_stopped_although_the_worker_restarts_in_between():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.stubborn = True
    world.stop()
    (key,) = a.live
    a.exit(key, 143, unseen=True)
    a.boot()
    world.pass_time(5)
    assert world.task().state is TaskState.STOPPED
    assert world.task().exit_code == 143


def test_the_end_of_an_unclaimed_run_keeps_its_time():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    world.manager_up = False
    a.boot()
    world.pass_time(1)
    (key,) = a.live
    a.exit(key, 0)
    ended = world.now
    world.pass_time(5)
    world.manager_up = True
    world.pass_time(5)
    assert world.task().state is TaskState.COMPLETED
    assert world.task().attempts[0].finished_at == ended


def test_a_run_that_vanished_while_its_worker_was_away_is_told_before_it_restarts():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(5, backoff_s=30.0)))
    a = world.where()
    (key,) = a.live
    a.vanish(key)
    a.boot()
    world.run()
    assert "vanished; restart 1 of 5" in world.task().message
