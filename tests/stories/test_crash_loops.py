"""A task restarts again and again. This is told once when it begins, in its message, and when it ends."""

from __future__ import annotations

import pytest

from minorch.messages import Streak
from minorch.model import HealthCheck, Job, RestartPolicy
from minorch.states import AttemptState, Reason, TaskState
from tests.stories.world import World, machine, refusing, sleeper

EVER = RestartPolicy(mode="always", attempts=None, backoff_s=1.0, jitter=0.0, reset_after_s=100.0)
LOOPS = "task_crash_looping"


def crash(world: World, times: int = 1, code: int = 3) -> None:
    """Have the task end so many times, soon after it began."""
    for _ in range(times):
        while not any(machine.live for machine in world.machines.values()):
            world.pass_time(0.5)
        world.exit(code=code)


def test_it_is_told_at_the_third_restart_in_a_row_and_only_then():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 2)
    assert not world.task().crash_looping
    assert LOOPS not in world.kinds()
    crash(world, 3)
    assert world.kinds().count(LOOPS) == 1
    event = next(event for event in world.events if event.kind == LOOPS)
    assert event.detail == "crash looping: exited, exit code 3; restart 3 in 4.0 s"
    task = world.task()
    assert task.crash_looping
    assert task.streak == Streak(restarts=5, exit_code=3, next_at=world.now + 16)
    assert task.attempts[-1].streak == task.streak
    assert task.message == "crash looping: exited, exit code 3; restart 5 in 16.0 s"
    assert world.job().tasks[0].state is TaskState.RUNNING


def test_while_the_next_run_is_under_way_it_is_still_told():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 4)
    world.pass_time(20)
    assert len(world.where().live) == 1
    assert world.task().streak == Streak(restarts=4, exit_code=3)
    assert (
        world.task().message == "crash looping: restarted 4 times in a row, the last time after exit code 3"
    )


def test_a_run_that_lasts_ends_it_and_the_next_time_it_is_told_again():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 3)
    world.pass_time(103)
    assert world.task().crash_looping
    world.pass_time(2)
    assert not world.task().crash_looping
    assert world.task().message == ""
    assert world.kinds().count("task_steady") == 1
    crash(world, 1)
    assert world.task().streak == Streak(restarts=1, exit_code=3, next_at=world.now + 1)
    crash(world, 2)
    assert world.kinds().count(LOOPS) == 2
    assert world.kinds().count("task_steady") == 1


def test_a_few_restarts_are_forgotten_without_a_word():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 2)
    world.pass_time(200)
    assert world.task().streak is None
    assert "task_steady" not in world.kinds()


def test_reports_that_are_lost_delay_what_is_told_and_double_nothing():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    a = world.where()
    a.deaf = True
    for _ in range(4):
        a.exit(a.live[0], 1)
        world.pass_time(9)
        a.deaf = False
        world.pass_time(3)
        a.deaf = True
    assert world.kinds().count(LOOPS) == 1
    assert world.task().streak == Streak(restarts=4, exit_code=1)


def test_when_the_worker_or_the_manager_begins_anew_the_count_goes_on():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    a = world.where()
    crash(world, 2)
    world.pass_time(5)
    world.start_manager()
    a.boot()
    world.pass_time(5)
    assert world.task().streak == Streak(restarts=2)
    crash(world)
    assert world.kinds().count(LOOPS) == 1
    a.boot()
    world.pass_time(10)
    assert world.task().streak == Streak(restarts=3, exit_code=3)
    a.boot()
    world.pass_time(10)
    assert world.task().streak == Streak(restarts=3)
    assert world.kinds().count(LOOPS) == 1
    assert world.kinds().count("task_steady") == 0


def test_restarts_of_long_ago_are_no_loop_when_the_worker_begins_anew():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    for _ in range(5):
        crash(world)
        world.pass_time(150)
    a = world.where()
    assert len(a.started) == 6
    a.boot()
    world.pass_time(10)
    assert not world.task().crash_looping
    assert LOOPS not in world.kinds()
    crash(world)
    assert "restart 1 in 1.0 s" in world.task().message


def test_a_run_that_ended_while_its_worker_was_away_counts_once():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 2)
    world.pass_time(5)
    a = world.where()
    a.exit(a.live[0], 4, unseen=True)
    a.boot()
    world.run()
    assert world.task().streak == Streak(restarts=3, exit_code=4, next_at=world.now + 4)


def test_a_run_of_which_nothing_is_left_when_its_worker_begins_anew_counts_too():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 2)
    world.pass_time(5)
    a = world.where()
    a.vanish(a.live[0])
    a.boot()
    world.run()
    assert world.task().streak == Streak(restarts=3, next_at=world.now + 4)
    assert "vanished; restart 3 in 4.0 s" in world.task().message


def test_a_run_that_is_found_unhealthy_keeps_its_words():
    world = World("a")
    check = HealthCheck.exec(["false"], interval_s=2.0, threshold=1)
    world.machines["a"].healthy = lambda key: False
    world.submit(sleeper(restart=EVER, health=check))
    world.pass_time(40)
    assert world.task().crash_looping
    assert world.task().message.startswith("crash looping: unhealthy")


def test_a_service_that_cannot_be_started_loops_over_all_nodes():
    world = World("a", "b")
    for there in world.machines.values():
        there.refuse = refusing(Reason.IMAGE_NOT_FOUND, "no such image", 125)
    world.submit(Job("job", [sleeper(restart=EVER)], kind="service"))
    world.pass_time(2)
    assert LOOPS not in world.kinds()
    world.pass_time(2)
    task = world.task()
    assert task.crash_looping
    assert task.streak is not None
    assert (task.streak.restarts, task.streak.exit_code) == (3, 125)
    assert task.message.startswith("crash looping: attempt 3 failed on ")
    assert task.message.endswith(
        "image_not_found (exit code 125): no such image; tried again in 4 s, 3 in a row"
    )
    world.pass_time(100)
    assert world.kinds().count(LOOPS) == 1
    for there in world.machines.values():
        there.refuse = None
    world.pass_time(61)
    assert world.task().state is TaskState.RUNNING
    assert world.task().crash_looping, "until it has run for a while"
    world.pass_time(100)
    assert not world.task().crash_looping
    assert world.kinds().count("task_steady") == 1


def test_one_that_loops_on_its_node_and_then_cannot_be_started_there_goes_on_counting():
    world = World("a")
    a = world.machines["a"]
    world.submit(Job("job", [sleeper(restart=EVER)], kind="service"))
    crash(world, 3)
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND)
    world.pass_time(5)
    assert world.task().state is TaskState.PENDING
    assert "tried again in 8 s, 4 in a row" in world.task().message
    assert world.kinds().count(LOOPS) == 1


def test_a_task_that_is_over_or_moved_does_not_loop():
    world = World("a", machine("b"))
    world.submit(sleeper(restart=RestartPolicy.on_failure(3, backoff_s=1.0)))
    crash(world, 4)
    assert world.task().state is TaskState.FAILED
    assert not world.task().crash_looping
    assert world.task().attempts[-1].state is AttemptState.FAILED
    world.submit(Job("other", [sleeper("next", restart=EVER)]))
    here = world.where("next", "other")
    for _ in range(3):
        here.exit(here.live[0], 1)
        world.pass_time(8)
    assert world.task("next", "other").crash_looping
    world.manager.move(world.task("next", "other").id, world.now)
    world.pass_time(20)
    assert not world.task("next", "other").crash_looping


@pytest.mark.parametrize("code", [0, 1])
def test_one_that_ends_well_again_and_again_loops_too(code: int):
    world = World("a")
    world.submit(sleeper(restart=EVER))
    crash(world, 3, code=code)
    assert world.task().crash_looping


def test_starts_that_were_refused_leave_nothing_to_be_remembered():
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(Reason.PORT_TAKEN)
    world.submit(sleeper(restart=EVER))
    world.pass_time(3000)
    (local,) = a.worker._attempts.attempts.values()
    assert local.run > 40
    assert local.leftovers == []


def test_however_often_it_restarts_one_look_ahead_is_enough():
    world = World("a")
    quick = RestartPolicy(mode="always", attempts=None, backoff_s=0.0, reset_after_s=1000.0)
    world.submit(sleeper(restart=quick))
    a = world.where()
    for _ in range(50):
        world.pass_time(1)
        a.exit(a.live[0], 1)
    world.pass_time(1)
    timers = a.worker._timers._heap
    assert [kind for _, _, kind, _ in timers].count("steady") == 1
    world.pass_time(998)
    assert world.task().crash_looping
    world.pass_time(2)
    assert not world.task().crash_looping
    a.exit(a.live[0], 1)
    world.run()
    world.pass_time(1)
    world.stop()
    world.manager.release(world.job().id, world.now)
    world.pass_time(3000)
    assert not [kind for _, _, kind, _ in timers if kind == "steady"], "nor is anything left when it is gone"


def test_a_look_ahead_that_comes_while_it_waits_changes_nothing():
    world = World("a")
    policy = RestartPolicy(mode="always", attempts=None, backoff_s=50.0, jitter=0.0, reset_after_s=20.0)
    world.submit(sleeper(restart=policy))
    crash(world)
    world.pass_time(51)
    world.exit(code=1)
    assert world.task().streak is not None
    assert world.task().streak.restarts == 2
    world.pass_time(40)
    assert world.task().streak is not None
    assert world.task().streak.restarts == 2


def test_what_a_worker_that_was_told_nothing_yet_makes_of_its_runs_is_not_believed():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    for _ in range(5):
        crash(world)
        world.pass_time(150)
    a = world.where()
    a.boot()
    a.deaf = True
    world.run()
    a.deaf = False
    world.pass_time(3)
    assert any(report.observed and not report.epoch for report in world.heard)
    assert LOOPS not in world.kinds()
    assert not world.task().crash_looping


def test_restarts_that_nobody_heard_of_are_counted_from_the_runs_there_were():
    world = World("a")
    world.submit(sleeper(restart=EVER))
    a = world.where()
    a.deaf = True
    for _ in range(2):
        a.exit(a.live[0], 1)
        world.pass_time(3)
    a.boot()
    world.run()
    a.deaf = False
    world.pass_time(4)
    assert [key.run for key in a.started] == [1, 2, 3]
    assert world.task().streak == Streak(restarts=2)
