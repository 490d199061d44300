"""What must begin once at most does: it is told before, begun once, and given up where nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minorch.contracts import RunStatus
from minorch.ids import RunKey
from minorch.messages import Assign, Report
from minorch.model import Job, RestartPolicy, Task
from minorch.states import AttemptState, Reason, TaskState
from minorch.worker import Cancelled, Listed, Refused, Seen, Unreachable
from tests.stories.world import Machine, World, sleeper


def once(**fields: object) -> Task:
    """A task that must begin once at most."""
    return sleeper(on_lost="hold", restart=RestartPolicy.never(), **fields)


def submit(world: World, **fields: object) -> None:
    world.submit(Job("job", [once(**fields)], retries=0))


def in_doubt(world: World) -> None:
    """It ended as it must where nobody knows."""
    task = world.task()
    assert (task.state, task.reason) == (TaskState.FAILED, Reason.EXIT_UNKNOWN)
    assert "nobody knows whether it began" in task.message


@pytest.fixture
def world() -> World:
    return World("a")


@pytest.fixture
def a(world: World) -> Machine:
    return world.machines["a"]


def started_and_unanswered(world: World, a: Machine) -> RunKey:
    """The engine was asked to start it, and has not said what came of it."""
    a.slow = True
    submit(world)
    key = a.pending[0].key
    a.pending.clear()
    a.tell(Unreachable(message="no answer", key=key))
    world.run()
    a.slow = False
    return key


def test_it_runs_and_ends_like_any_other(world: World, a: Machine):
    submit(world)
    assert world.task().state is TaskState.RUNNING
    world.exit()
    assert world.task().state is TaskState.COMPLETED
    assert len(a.started) == 1


def test_it_begins_only_when_the_manager_has_made_durable_that_it_may(world: World, a: Machine):
    durable: list[bool] = []
    world.on_start = lambda machine, key: durable.append(
        any(b'"may_have_begun":true' in row for (table, _), row in world.rows.items() if table == "task")
    )
    submit(world)
    assert durable == [True]


@pytest.mark.parametrize("lost", [Assign, Report])
def test_a_lost_message_only_makes_it_late(world: World, a: Machine, lost: type[Assign | Report]):
    world.lose = lambda message: isinstance(message, lost)
    submit(world)
    world.pass_time(4)
    assert a.started == []
    world.lose = lambda message: False
    world.pass_time(30)
    assert world.task().state is TaskState.RUNNING


def untold(message: Assign | Report) -> bool:
    """Whether a message would have the manager know that something may have begun."""
    return isinstance(message, Report) and any(seen.may_have_begun for seen in message.observed)


def test_others_do_not_wait_for_it(world: World, a: Machine):
    world.lose = untold
    world.submit(Job("job", [once(), sleeper("other")]))
    assert len(a.live) == 1
    world.lose = lambda message: False
    world.pass_time(30)
    assert world.states() == {"sleep": "RUNNING", "other": "RUNNING"}


def test_a_stop_that_comes_before_it_may_begin_ends_it(world: World, a: Machine):
    world.lose = untold
    submit(world)
    assert a.started == []
    world.stop()
    world.lose = lambda message: False
    world.pass_time(30)
    assert world.task().state is TaskState.STOPPED
    assert a.started == []


def test_a_worker_that_dies_before_it_asked_leaves_it_in_doubt(world: World, a: Machine):
    a.slow = True
    submit(world)
    a.boot()
    a.slow = False
    world.pass_time(5)
    in_doubt(world)
    assert a.started == []


def test_a_worker_that_dies_before_the_manager_knew_leaves_no_doubt(world: World, a: Machine):
    world.lose = untold
    submit(world)
    a.boot()
    world.lose = lambda message: False
    world.pass_time(30)
    assert world.task().state is TaskState.RUNNING
    assert len(a.started) == 1


def test_what_a_dead_worker_left_and_never_ran_is_removed_and_not_started(world: World, a: Machine):
    a.slow = True
    submit(world)
    key = a.pending[0].key
    a.runs[key] = RunStatus(key=key, phase="created")
    a.boot()
    a.slow = False
    world.pass_time(5)
    in_doubt(world)
    assert a.runs == {}
    assert a.started == []


def test_what_a_dead_worker_left_running_goes_on(world: World, a: Machine):
    submit(world)
    a.boot()
    world.pass_time(5)
    assert world.task().state is TaskState.RUNNING
    assert len(a.started) == 1


def test_a_start_that_was_not_answered_and_left_nothing_is_not_repeated(world: World, a: Machine):
    started_and_unanswered(world, a)
    world.pass_time(5)
    in_doubt(world)
    assert a.started == []


def test_a_start_that_was_not_answered_and_happened_is_found(world: World, a: Machine):
    key = started_and_unanswered(world, a)
    a.really_start(key)
    world.pass_time(5)
    assert world.task().state is TaskState.RUNNING


def test_a_start_that_was_not_answered_and_goes_on_is_found_although_it_was_to_be_removed(
    world: World, a: Machine
):
    key = started_and_unanswered(world, a)
    a.runs[key] = RunStatus(key=key, phase="created")
    a.engine_up = True
    a.removal_fails = "its start is still under way"
    world.pass_time(3)
    assert world.task().state is TaskState.SCHEDULED
    del a.runs[key]
    a.removal_fails = ""
    a.really_start(key)
    world.pass_time(60)
    assert world.task().state is TaskState.RUNNING
    assert a.live == [key]


def test_a_stop_wins_over_the_doubt(world: World, a: Machine):
    key = started_and_unanswered(world, a)
    a.runs[key] = RunStatus(key=key, phase="created")
    a.removal_fails = "its start is still under way"
    world.pass_time(3)
    world.stop()
    a.removal_fails = ""
    world.pass_time(30)
    assert world.task().state is TaskState.STOPPED
    assert a.runs == {}


Listing = Callable[[RunKey], tuple[RunStatus, ...]]


@pytest.mark.parametrize(
    "seen", [lambda key: (), lambda key: (RunStatus(key=key, phase="created"),)], ids=["nothing", "created"]
)
def test_a_listing_from_before_the_start_says_nothing_of_it(world: World, a: Machine, seen: Listing):
    a.slow = True
    submit(world)
    key = a.pending[0].key
    a.pending.clear()
    asked = a.worker._attempts.asked
    a.tell(Unreachable(message="no answer", key=key))
    a.tell(Listed(asked=asked, statuses=seen(key)))
    a.really_start(key)
    world.pass_time(61)
    assert world.task().state is TaskState.RUNNING
    assert a.live == [key]


def test_a_refusal_is_told_as_what_it_is(world: World, a: Machine):
    a.refuse = lambda launch: Refused(key=launch.key, reason=Reason.IMAGE_NOT_FOUND, message="no image")
    submit(world)
    task = world.task()
    assert (task.state, task.reason) == (TaskState.FAILED, Reason.IMAGE_NOT_FOUND)
    assert "task_running" not in world.kinds()


def test_a_start_that_was_called_off_in_time_may_be_made_later(world: World, a: Machine):
    a.slow = True
    submit(world)
    (start,) = a.pending
    a.pending.clear()
    a.tell(Cancelled(key=start.key))
    a.slow = False
    world.run()
    assert world.task().state is TaskState.RUNNING


def test_its_job_may_try_again(world: World, a: Machine):
    a.slow = True
    world.submit(Job("job", [once()], retries=1))
    a.boot()
    a.slow = False
    world.pass_time(30)
    assert world.task().state is TaskState.RUNNING
    assert [key.attempt for key in a.started] == [2]
    assert world.task().attempts[0].state is AttemptState.FAILED


def test_what_is_restarted_anyway_is_not_held_up(world: World, a: Machine):
    world.submit(sleeper(on_lost="hold", restart=RestartPolicy.on_failure(1)))
    assert not any(seen.may_have_begun for report in world.heard for seen in report.observed)
    (key,) = a.live
    a.tell(Seen(status=a.runs[key]))
    assert world.task().state is TaskState.RUNNING


def test_a_manager_that_starts_anew_still_knows(world: World, a: Machine):
    a.slow = True
    submit(world)
    world.start_manager()
    a.boot()
    a.slow = False
    world.pass_time(30)
    in_doubt(world)
    assert a.started == []
