"""Somebody asks for the end: when nothing runs yet, when it runs, when it ends anyway."""

from __future__ import annotations

import pytest

from minorch.errors import NotFound
from minorch.manager import ManagerConfig
from minorch.model import Job, RestartPolicy
from minorch.states import JobState, Reason, TaskState
from minorch.worker import Kill, WorkerConfig
from tests.stories.world import World, sleeper


def test_a_task_is_stopped_through_its_own_job_only():
    world = World("a")
    world.submit(Job("one", [sleeper()]))
    world.submit(Job("two", [sleeper()]))
    with pytest.raises(NotFound):
        world.manager.stop(world.job("one").id, world.now, task_id=world.task(job="two").id)


def test_what_waits_is_stopped_at_once():
    world = World()
    world.submit([sleeper(), sleeper("next", after=["sleep"])])
    world.stop()
    assert world.states() == {"sleep": "STOPPED", "next": "STOPPED"}
    assert world.job().state is JobState.STOPPED
    world.stop()
    assert world.kinds().count("job_stopping") == 1


def test_what_runs_is_asked_to_end_and_then_is_stopped():
    world = World("a")
    world.submit([sleeper(), sleeper("other")])
    world.stop("sleep")
    world.stop("sleep")
    assert world.states() == {"sleep": "STOPPED", "other": "RUNNING"}
    assert world.task().exit_code == 143
    world.exit("other")
    assert world.job().state is JobState.STOPPED


def test_what_comes_after_a_stopped_task_fails():
    world = World("a")
    world.submit([sleeper(), sleeper("next", after=["sleep"])])
    world.stop("sleep")
    assert world.task("next").reason is Reason.DEPENDENCY_FAILED
    assert world.job().state is JobState.FAILED


def test_a_stubborn_run_is_killed_after_its_grace_and_again_until_it_is_over():
    world = World("a", worker_config=WorkerConfig(kill_every_s=5.0))
    world.submit(sleeper(stop_grace_s=7.0))
    a = world.where()
    a.stubborn = True
    world.stop()
    world.pass_time(6.9)
    assert len(a.live) == 1
    world.pass_time(0.2)
    assert world.task().state is TaskState.STOPPED
    assert world.task().exit_code == 137


def test_a_kill_that_is_not_heard_is_repeated():
    world = World("a")
    world.submit(sleeper(stop_grace_s=1.0))
    a = world.where()
    a.stubborn = True
    world.stop()
    a.engine_up = False
    world.pass_time(20)
    assert world.task().state is TaskState.RUNNING
    assert a.asked_for(Kill) >= 3
    a.engine_up = True
    world.pass_time(10)
    assert world.task().state is TaskState.STOPPED


def test_a_start_that_is_under_way_is_called_off():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    assert world.task().state is TaskState.SCHEDULED
    world.stop()
    assert world.task().state is TaskState.STOPPED
    assert a.started == []


def test_a_start_that_cannot_be_called_off_any_more_is_ended():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    (start,) = a.pending
    a.pending.clear()
    world.stop()
    a.pending = [start]
    a.answer_starts()
    world.run()
    assert len(a.started) == 1
    assert a.live == []
    assert world.task().state is TaskState.STOPPED


def test_an_attempt_that_waits_for_its_turn_at_the_worker_never_starts():
    world = World("a", worker_config=WorkerConfig(max_starting=1))
    a = world.machines["a"]
    a.slow = True
    world.submit([sleeper("first"), sleeper()])
    world.stop("sleep")
    assert world.task().state is TaskState.STOPPED
    a.slow = False
    a.answer_starts()
    world.run()
    assert world.task("first").state is TaskState.RUNNING
    assert len(a.started) == 1


def test_an_attempt_in_its_backoff_is_stopped_at_once():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(backoff_s=60.0)))
    world.exit(code=3)
    world.stop()
    assert world.task().state is TaskState.STOPPED
    assert world.task().exit_code == 3
    world.pass_time(100)
    assert len(world.where().started) == 1


@pytest.mark.parametrize("started", [False, True])
def test_a_start_of_which_nobody_knows_is_stopped_once_the_engine_answers(started: bool):
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    a.engine_up, a.ambiguous = False, started
    a.answer_starts()
    world.stop()
    assert world.task().state is TaskState.SCHEDULED
    a.engine_up = True
    world.pass_time(10)
    assert world.task().state is TaskState.STOPPED
    assert a.live == []
    assert len(a.started) == started


def test_a_task_on_a_lost_node_is_stopped_without_it():
    world = World("a")
    world.submit(sleeper(on_lost="hold"))
    world.where().deaf = True
    world.pass_time(20)
    world.stop()
    assert world.task().state is TaskState.STOPPED


def test_a_stop_whose_node_is_lost_before_it_answers_is_a_stop():
    world = World("a", "b")
    world.submit(sleeper())
    world.where().deaf = True
    world.stop()
    world.pass_time(20)
    assert world.task().state is TaskState.STOPPED
    assert world.task().attempts[-1].number == 1


def test_what_completed_before_the_stop_reached_it_is_complete():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    a.exit(a.live[0], 0)
    world.stop()
    a.deaf = False
    world.pass_time(5)
    assert world.task().state is TaskState.COMPLETED
    assert world.job().state is JobState.COMPLETED


@pytest.mark.parametrize(("retries", "state"), [(0, TaskState.FAILED), (1, TaskState.STOPPED)])
def test_what_failed_before_the_stop_reached_it_is_not_tried_again(retries: int, state: TaskState):
    world = World("a", "b")
    world.submit(sleeper(), retries=retries)
    a = world.where()
    a.deaf = True
    a.exit(a.live[0], 3)
    world.stop()
    a.deaf = False
    world.pass_time(5)
    assert world.task().state is state
    assert world.task().exit_code == 3
    assert len(world.task().attempts) == 1
    assert world.job().state is JobState(state)


def test_a_job_fails_when_its_deadline_passes():
    world = World("a")
    world.submit([sleeper(), sleeper("next", after=["sleep"])], deadline_s=60.0)
    world.pass_time(61)
    assert world.states() == {"sleep": "FAILED", "next": "FAILED"}
    assert world.task().reason is Reason.DEADLINE
    assert world.job().state is JobState.FAILED
    assert world.job().message == "its deadline passed"


def test_a_deadline_passes_also_while_there_is_no_manager():
    world = World("a")
    world.submit(sleeper(), deadline_s=60.0)
    world.manager_up = False
    world.pass_time(100)
    world.start_manager()
    world.manager_up = True
    world.pass_time(5)
    assert world.job().state is JobState.FAILED


def test_a_deadline_after_the_end_or_after_a_stop_changes_nothing():
    world = World("a", manager_config=ManagerConfig(keep_jobs_s=40.0))
    world.submit(Job("done", [sleeper()], deadline_s=30.0))
    world.submit(Job("forgotten", [sleeper()], deadline_s=60.0))
    world.submit(Job("stopping", [sleeper(stop_grace_s=50.0)], deadline_s=30.0))
    world.machines["a"].stubborn = True
    world.stop(job="stopping")
    world.exit(job="done")
    world.exit(job="forgotten")
    world.pass_time(35)
    assert world.job("done").state is JobState.COMPLETED
    world.pass_time(40)
    assert [job.name for job in world.manager.jobs()] == ["stopping"]
    assert world.job("stopping").state is JobState.STOPPED


def test_what_everybody_stopped_is_stopped_even_if_it_was_to_stop_on_a_failure():
    world = World("a")
    world.submit([sleeper("bad"), sleeper()], on_failure="stop")
    world.where().stubborn = True
    world.exit("bad", 1)
    world.stop()
    world.pass_time(20)
    assert world.states() == {"bad": "FAILED", "sleep": "STOPPED"}
    assert world.job().state is JobState.STOPPED


def test_a_job_that_was_asked_to_stop_and_completed_all_the_same_is_complete_or_failed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    a.exit(a.live[0], 1)
    world.stop()
    a.deaf = False
    world.pass_time(5)
    assert world.job().state is JobState.FAILED
