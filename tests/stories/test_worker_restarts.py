"""A worker starts anew while its runs go on, or end."""

from __future__ import annotations

import pytest

from minorch.contracts import RunStatus
from minorch.ids import RunKey
from minorch.model import RestartPolicy
from minorch.states import Reason, TaskState
from minorch.worker import Start, WorkerConfig
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


def test_a_worker_that_starts_anew_adopts_what_runs():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.boot()
    world.pass_time(100)
    assert world.task().state is TaskState.RUNNING
    assert len(a.started) == 1
    world.exit(code=0)
    assert world.task().state is TaskState.COMPLETED


@pytest.mark.parametrize(("code", "state"), [(0, TaskState.COMPLETED), (9, TaskState.FAILED)])
def test_a_run_that_ended_while_its_worker_was_away_keeps_its_exit_code(code: int, state: TaskState):
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.exit(a.live[0], code, unseen=True)
    a.boot()
    world.run()
    assert world.task().state is state
    assert world.task().exit_code == code


def test_a_run_that_ended_while_its_worker_was_away_is_restarted_as_the_policy_says():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(2, backoff_s=1.0)))
    world.exit(code=1)
    world.pass_time(2)
    a = world.where()
    a.exit(a.live[0], 1, unseen=True)
    a.boot()
    world.run()
    assert "restart 2 of 2" in world.task().message
    world.pass_time(5)
    assert [key.run for key in a.live] == [3]
    assert len(a.runs) == 1


def test_a_run_that_vanished_while_its_worker_was_away_failed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.vanish(a.live[0])
    a.boot()
    world.run()
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.VANISHED
    assert world.task().exit_code is None


def test_a_run_that_vanishes_while_its_worker_looks_on_failed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.vanish(a.live[0])
    world.pass_time(61)
    assert world.task().reason is Reason.VANISHED


def test_a_container_that_was_made_and_never_started_is_started_once_it_is_claimed():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    key = a.pending[0].key
    a.runs[key] = RunStatus(key=key, phase="created")
    a.boot()
    world.run()
    del a.runs[key]
    a.slow = False
    a.answer_starts()
    world.run()
    assert world.task().state is TaskState.RUNNING
    assert a.started == [key]


def test_an_earlier_run_that_was_left_is_cleared_away():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.always()))
    a = world.where()
    (first,) = a.live
    world.exit(code=0)
    world.pass_time(5)
    a.runs[first] = a.truth[first]
    a.boot()
    world.run()
    assert [key.run for key in a.runs] == [2]


def test_an_earlier_run_that_still_runs_is_killed_and_cleared_away():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.always()))
    a = world.where()
    (first,) = a.live
    world.exit(code=0)
    world.pass_time(5)
    a.runs[first] = RunStatus(key=first, phase="running")
    a.boot()
    world.pass_time(100)
    assert [key.run for key in a.runs] == [2]


@pytest.mark.parametrize("phase", ["running", "exited", "created"])
def test_what_no_manager_names_is_removed_after_a_grace(phase: str):
    world = World("a", worker_config=WorkerConfig(orphan_grace_s=30.0))
    a = world.machines["a"]
    key = RunKey("f" * 32, 1, 1)
    code = 0 if phase == "exited" else None
    a.runs[key] = RunStatus(key=key, phase=phase, exit_code=code)  # type: ignore[arg-type]
    a.boot()
    world.pass_time(25)
    assert key in a.runs
    world.pass_time(10)
    assert a.runs == {}
    assert a.worker.idle


def test_an_orphan_that_ends_before_its_grace_is_over_is_removed_too():
    world = World("a")
    a = world.machines["a"]
    key = RunKey("f" * 32, 1, 1)
    a.runs[key] = RunStatus(key=key, phase="running")
    a.boot()
    world.pass_time(5)
    a.exit(key, 0)
    world.pass_time(60)
    assert a.runs == {}


def test_what_is_known_to_be_stale_is_stopped_when_the_worker_returns_as_another_incarnation():
    world = World("a", "b")
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    world.pass_time(20)
    a.boot()
    a.deaf = False
    world.pass_time(5)
    assert a.runs == {}
    assert len(world.where().live) == 1


def test_orders_that_arrive_before_the_runs_are_known_wait_for_them():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.boot()
    a.engine_up = False
    world.pass_time(30)
    assert len(a.started) == 1
    assert a.asked_for(Start) == 1
    a.engine_up = True
    world.pass_time(30)
    assert world.task().state is TaskState.RUNNING
    assert a.asked_for(Start) == 1


def test_a_stop_that_arrives_when_there_is_nothing_left_is_a_stop():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    world.stop()
    a.vanish(a.live[0])
    a.boot()
    a.deaf = False
    world.pass_time(5)
    assert world.task().state is TaskState.STOPPED


def test_a_stop_of_an_adopted_run_ends_it():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    world.stop()
    a.boot()
    a.deaf = False
    world.pass_time(5)
    assert world.task().state is TaskState.STOPPED
    assert a.live == []


def test_restarts_that_nobody_heard_of_count_when_the_worker_is_started_anew():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(1, backoff_s=1)))
    a = world.where()
    a.deaf = True  # neither the end nor the restart is heard of
    a.exit(a.live[0], 1)
    world.pass_time(3)
    assert [key.run for key in a.live] == [2]
    a.exit(a.live[0], 1, unseen=True)
    a.boot()
    a.deaf = False
    world.pass_time(10)
    assert world.task().state is TaskState.FAILED
    assert world.task().attempts[-1].run == 2
