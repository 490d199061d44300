"""The engine does not answer, or not the truth."""

from __future__ import annotations

import pytest

from minorch.contracts import Probe, RunStatus
from minorch.ids import RunKey
from minorch.model import NodeStats, RestartPolicy, TaskStats
from minorch.states import Reason, TaskState
from minorch.worker import (
    Cancelled,
    Listed,
    ListRuns,
    Missed,
    Probed,
    Progressed,
    Refused,
    Remove,
    Removed,
    Sampled,
    Seen,
    Unreachable,
)
from tests.stories.world import Machine, World, sleeper


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


def test_what_an_old_request_makes_in_the_place_of_what_ran_is_not_taken_for_it():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(1, backoff_s=1.0)))
    a = world.where()
    (key,) = a.live
    a.vanish(key)
    a.runs[key] = RunStatus(key=key, phase="created")
    world.pass_time(70)
    assert [run.run for run in a.live] == [2]
    assert key not in a.runs


def test_an_engine_that_is_down_for_long_is_not_asked_ever_more_often():
    world = World("a")
    a = world.machines["a"]
    a.engine_up = False
    world.pass_time(3600)
    before = a.asked_for(ListRuns)
    world.pass_time(600)
    assert a.asked_for(ListRuns) - before <= 33


def test_while_the_engine_does_not_answer_nothing_is_taken_for_failed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.engine_up = False
    world.pass_time(1000)
    assert world.task().state is TaskState.RUNNING
    (node,) = world.manager.nodes()
    assert not node.ready
    assert node.message == "engine is down"
    assert world.kinds().count("engine_unavailable") == 1
    a.engine_up = True
    world.pass_time(40)
    assert world.task().state is TaskState.RUNNING
    assert world.manager.nodes()[0].ready


def test_nothing_is_placed_where_the_engine_does_not_answer():
    world = World("a", "b")
    world.machines["a"].engine_up = False
    world.pass_time(61)
    world.submit(sleeper())
    assert world.where().node.name == "b"


@pytest.mark.parametrize("started", [False, True])
def test_a_start_of_which_nobody_knows_is_not_doubled(started: bool):
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    a.engine_up, a.ambiguous = False, started
    a.answer_starts()
    world.run()
    assert world.task().state is TaskState.SCHEDULED
    a.slow, a.engine_up = False, True
    world.pass_time(10)
    assert world.task().state is TaskState.RUNNING
    assert len(a.started) == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_a_container_that_was_made_and_not_started_when_the_engine_went_is_started_or_not(stopped: bool):
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    key = a.pending[0].key
    a.engine_up = False
    a.answer_starts()
    world.run()
    if stopped:
        world.stop()
    a.runs[key] = RunStatus(key=key, phase="created")
    a.engine_up = True
    world.pass_time(1)
    a.runs.pop(key, None)
    a.slow = False
    a.answer_starts()
    world.pass_time(10)
    assert world.task().state is (TaskState.STOPPED if stopped else TaskState.RUNNING)
    assert len(a.started) == (not stopped)


def made_and_not_started() -> tuple[World, Machine, RunKey]:
    """A world in which the engine went silent over a start and then shows what it made of it."""
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    key = a.pending[0].key
    a.engine_up = False
    a.answer_starts()
    world.run()
    a.runs[key] = RunStatus(key=key, phase="created")
    return world, a, key


def test_a_stop_is_told_only_when_what_an_engine_made_and_might_start_yet_is_removed():
    world, a, key = made_and_not_started()
    world.stop()
    remove, answers = a._remove, [Unreachable(message="no answer", key=key), Removed(key=key, error="busy")]
    a._remove = lambda key: a.tell(answers.pop(0)) if answers else remove(key)  # type: ignore[method-assign]
    a.engine_up = True
    world.pass_time(2)
    assert not world.task().state.terminal
    world.pass_time(4)
    assert not world.task().state.terminal
    world.pass_time(6)
    assert world.task().state is TaskState.STOPPED
    assert not answers
    assert a.runs == {}


def test_a_listing_from_before_a_start_has_no_stop_told_while_the_engine_may_start_it_yet():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    (start,) = a.pending
    key = start.key
    a.pending.clear()
    a.slow = False
    asked = a.worker._attempts.asked
    a.runs[key] = RunStatus(key=key, phase="created")  # after that question
    a.removal_fails = "its start is still under way"
    a.tell(Unreachable(message="no answer", key=key))
    a.tell(Listed(asked=asked, statuses=()))
    world.manager.move(world.task().id, world.now)
    world.pass_time(5)
    assert a.started == [], "the next attempt begins, and this one may too"
    del a.runs[key]
    a.really_start(key)
    a.tell(Seen(status=a.runs[key]))
    a.removal_fails = ""
    world.pass_time(15)
    assert [run.attempt for run in a.started] == [1, 2]
    assert [run.attempt for run in a.live] == [2]
    assert world.task().state is TaskState.RUNNING


def test_what_starts_late_while_it_is_being_removed_is_ended():
    world, a, _ = made_and_not_started()
    world.stop()
    remove = a._remove

    def start_after_all(key: RunKey) -> None:
        del a.runs[key]
        a.really_start(key)
        a.tell(Removed(key=key, error="it runs"))
        a.tell(Seen(status=a.runs[key]))
        a._remove = remove  # type: ignore[method-assign]

    a._remove = start_after_all  # type: ignore[method-assign]
    a.engine_up = True
    world.pass_time(15)
    assert world.task().state is TaskState.STOPPED
    assert world.task().exit_code == 143
    assert a.live == []


def test_a_start_that_is_called_off_leaves_nothing_that_an_engine_made_before():
    world, a, key = made_and_not_started()
    a.engine_up = True
    world.pass_time(2)
    assert [start.key for start in a.pending] == [key]
    world.stop()
    assert world.task().state is TaskState.STOPPED
    assert a.runs == {}


def test_what_a_worker_finds_made_is_removed_before_its_stop_is_told():
    world, a, _ = made_and_not_started()
    a.boot()
    a.engine_up = True
    a.deaf = True
    world.pass_time(1)
    world.manager.stop(world.job().id, world.now)
    a.deaf = False
    world.pass_time(5)
    assert world.task().state is TaskState.STOPPED
    assert a.runs == {}
    assert a.started == []


def test_a_run_that_ended_during_the_outage_keeps_its_exit_code():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.engine_up = False
    world.pass_time(61)
    a.exit(a.live[0], 5)
    world.pass_time(10)
    assert world.task().state is TaskState.RUNNING
    a.engine_up = True
    world.pass_time(31)
    assert world.task().state is TaskState.FAILED
    assert world.task().exit_code == 5


def test_remains_that_cannot_be_removed_are_tried_again():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    world.exit()
    a.engine_up = False
    world.manager.release(world.job().id, world.now)
    world.pass_time(30)
    assert a.asked_for(Remove) >= 1
    a.engine_up = True
    world.pass_time(40)
    assert a.runs == {}
    assert a.worker.idle


def test_remains_that_turn_out_to_run_are_killed_and_then_removed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    (key,) = a.live
    status = a.runs[key]
    world.exit()
    a.runs[key] = status
    world.manager.release(world.job().id, world.now)
    world.pass_time(20)
    assert a.runs == {}
    assert a.worker.idle


def test_a_run_that_is_over_and_turns_out_to_run_is_killed():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    (key,) = a.live
    status = a.runs[key]
    world.exit()
    a.runs[key] = status
    world.pass_time(61)
    assert a.live == []
    assert world.task().state is TaskState.COMPLETED


def test_a_run_that_tells_its_ports_later_has_them():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    (key,) = a.live
    told = RunStatus(key=key, phase="running", ports={"80/tcp": "127.0.0.1:32768"}, handle="abc")
    for _ in range(2):
        a.tell(Seen(status=told))
        world.run()
    assert world.task().attempts[0].ports == {"80/tcp": "127.0.0.1:32768"}
    assert world.task().attempts[0].handle == "abc"


def test_facts_about_nothing_change_nothing():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    reports = len(world.heard)
    stranger = RunKey("f" * 32, 1, 1)
    a.tell(Seen(status=RunStatus(key=stranger, phase="running")))
    a.tell(Removed(key=stranger))
    a.tell(Refused(key=stranger, reason=Reason.START_FAILED, message="no"))
    a.tell(Refused(key=a.live[0], reason=Reason.START_FAILED, message="no"))
    a.tell(Cancelled(key=stranger))
    a.tell(Cancelled(key=a.live[0]))
    a.tell(Progressed(key=stranger, words="far"))
    a.tell(Probed(key=stranger, probe=Probe(healthy=False, detail="")))
    a.tell(Probed(key=a.live[0], probe=Probe(healthy=False, detail="it has no check")))
    a.tell(Seen(status=RunStatus(key=a.live[0], phase="created")))
    world.run()
    assert len(world.heard) == reports
    assert world.task().state is TaskState.RUNNING


def test_figures_of_a_task_are_shown_while_it_runs():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    (key,) = a.live
    figures = TaskStats(sampled_at=world.now, cpu_s=1.0, memory=2, pids=3)
    node = NodeStats(
        sampled_at=world.now,
        cpu_percent=1.0,
        load_1m=0.5,
        memory_used=1,
        memory_total=2,
        disk_used=1,
        disk_total=2,
        tasks=1,
    )
    a.tell(Sampled(node=node, tasks={key: figures, RunKey("f" * 32, 1, 1): figures}))
    world.pass_time(3)
    assert world.task().stats == figures
    assert world.manager.nodes()[0].stats == node
    world.exit()
    assert world.task().stats is None


def test_an_earlier_run_is_kept_until_the_next_one_runs():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(backoff_s=1.0)))
    a = world.where()
    a.slow = True
    world.exit(code=1)
    world.pass_time(2)
    a.tell(Missed())
    world.run()
    assert a.asked_for(Remove) == 0
    a.answer_starts()
    world.run()
    assert a.asked_for(Remove) == 1


def test_an_engine_that_does_not_answer_about_what_is_gone_changes_nothing_else():
    world = World("a")
    world.submit(sleeper())
    a = world.where()
    a.tell(Unreachable(message="it hiccups", key=RunKey("f" * 32, 1, 1)))
    world.pass_time(5)
    assert world.task().state is TaskState.RUNNING
    assert world.kinds()[-2:] == ["engine_unavailable", "engine_answered"]
