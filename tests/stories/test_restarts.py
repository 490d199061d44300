"""A run ends and the worker starts the next one on the same node, or does not."""

from __future__ import annotations

import pytest

from minorch.model import RestartPolicy, Task
from minorch.states import Reason, TaskState
from minorch.worker import Progressed
from tests.stories.world import World, refusing, sleeper


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        (RestartPolicy.never(), 0, False),
        (RestartPolicy.never(), 1, False),
        (RestartPolicy.on_failure(), 0, False),
        (RestartPolicy.on_failure(), 1, True),
        (RestartPolicy.always(), 0, True),
        (RestartPolicy.always(), 1, True),
    ],
)
def test_the_policy_says_whether_it_starts_again(policy: RestartPolicy, code: int, again: bool):
    world = World("a")
    world.submit(sleeper(restart=policy))
    world.exit(code=code)
    world.pass_time(2)
    assert len(world.where().started) == 1 + again
    assert world.task().state is (
        TaskState.RUNNING if again else TaskState.FAILED if code else TaskState.COMPLETED
    )


def test_waits_double_up_to_a_cap_and_are_lengthened_by_at_most_the_jitter():
    policy = RestartPolicy(attempts=None, backoff_s=2.0, max_backoff_s=9.0, jitter=0.5)
    world = World("a")
    world.submit(sleeper(restart=policy))
    waits = []
    for run in range(2, 7):
        before = world.now
        world.exit(code=1)
        while len(world.where().started) < run:
            world.pass_time(0.05)
        waits.append(world.now - before)
    for wait, least in zip(waits, [2, 4, 8, 9, 9], strict=True):
        assert least <= wait <= least * 1.5 + 0.1


def test_a_run_that_lasted_long_enough_starts_the_count_again():
    policy = RestartPolicy(attempts=1, backoff_s=1.0, reset_after_s=100.0)
    world = World("a")
    world.submit(sleeper(restart=policy))
    for _ in range(3):
        world.exit(code=1)
        world.pass_time(110)
    assert world.task().restarts == 3
    world.exit(code=1)
    world.pass_time(5)
    world.exit(code=2)
    assert world.task().state is TaskState.FAILED
    assert world.task().exit_code == 2


def test_a_run_that_lasted_and_ended_while_its_worker_was_away_starts_the_count_again():
    policy = RestartPolicy.on_failure(2, backoff_s=1.0)
    world = World("a")
    world.submit(sleeper(restart=policy))
    world.exit(code=1)
    world.pass_time(5)
    a = world.where()
    world.pass_time(policy.reset_after_s - 10)
    a.engine_up = False
    a.boot()
    world.pass_time(10)
    a.exit(a.live[0], 1)
    a.engine_up = True
    world.pass_time(20)
    for _ in range(2):
        world.exit(code=1)
        world.pass_time(5)
    assert [key.run for key in a.started] == [1, 2, 3, 4]
    assert world.task().state is TaskState.FAILED


def test_a_run_that_was_not_seen_to_end_starts_the_count_again_too():
    policy = RestartPolicy(attempts=1, backoff_s=1.0, reset_after_s=100.0)
    world = World("a")
    world.submit(sleeper(restart=policy))
    world.exit(code=1)
    world.pass_time(5)
    a = world.where()
    a.engine_up = False
    a.exit(a.live[0], 1)
    world.pass_time(200)
    a.engine_up = True
    world.pass_time(40)
    world.exit(code=1)
    assert [key.run for key in a.started] == [1, 2, 3]
    assert world.task().state is TaskState.FAILED


@pytest.mark.parametrize(
    "reason", [Reason.IMAGE_NOT_FOUND, Reason.COMMAND_NOT_FOUND, Reason.FORBIDDEN], ids=str
)
def test_what_would_fail_the_same_way_is_not_started_again(reason: Reason):
    world = World("a")
    a = world.machines["a"]
    a.refuse = refusing(reason, "because", 127)
    world.submit(sleeper(restart=RestartPolicy.always()))
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is reason
    assert world.task().exit_code == 127
    assert world.task().message == "because"
    assert "task_running" not in world.kinds()


def test_a_refused_start_is_tried_again_as_the_policy_says_and_then_elsewhere():
    world = World("a", "b")
    a = world.machines["a"]
    a.refuse = refusing(Reason.PORT_TAKEN, "port 80 is taken")
    world.submit(sleeper(restart=RestartPolicy.on_failure(2, backoff_s=1.0)), retries=1)
    assert "port_taken; restart 1 of 2 in 1." in world.task().message
    world.pass_time(10)
    assert world.where().node.name == "b"
    assert world.task().state is TaskState.RUNNING
    assert "attempt 1 failed on a: port_taken; retry 1 of 1" in [e.detail for e in world.events]


def test_the_progress_of_a_start_is_told():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(Task("sleep", image="busybox"))
    key = a.pending[0].key
    a.tell(Progressed(key=key, words="pulling busybox"))
    world.run()
    assert world.task().message == "pulling busybox"
    reports = len(world.heard)
    a.tell(Progressed(key=key, words="pulling busybox"))
    world.run()
    assert len(world.heard) == reports, "the same words are no news"
    a.answer_starts()
    a.tell(Progressed(key=key, words="late"))
    world.run()
    assert world.task().message == ""


def test_earlier_runs_are_removed_once_the_next_one_runs():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.always()))
    for _ in range(3):
        world.exit(code=0)
        world.pass_time(10)
    assert len(world.where().started) == 4
    assert len(world.where().runs) == 1
    assert world.kinds().count("task_restarted") == 3


def test_an_exit_code_that_nobody_knows_is_a_failure():
    world = World("a")
    world.submit(sleeper())
    world.exit(code=0, reason=Reason.EXIT_UNKNOWN)
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.EXIT_UNKNOWN
