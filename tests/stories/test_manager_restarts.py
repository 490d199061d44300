"""The manager dies, and another one goes on from what was committed."""

from __future__ import annotations

import pytest

from minorch.model import Job, RestartPolicy
from minorch.states import JobState, TaskState
from tests.stories.world import Machine, World, sleeper


def long_story(*, restart_at: int | None) -> tuple[dict[str, str], int]:
    """Play one story to its end; at its step *restart_at* the manager is started anew."""
    world = World("a", "b", "c")
    steps = 0

    def step(seconds: float = 5.0) -> None:
        nonlocal steps
        steps += 1
        if steps == restart_at:
            world.start_manager()
        world.pass_time(seconds)

    world.submit(
        [
            sleeper("first"),
            sleeper("many", after=["first"], completions=4),
            sleeper("tough", restart=RestartPolicy.on_failure(2)),
            sleeper("moved"),
            sleeper("held", on_lost="hold"),
            sleeper("bad"),
            sleeper("after-bad", after=["bad"]),
            sleeper("last", after=["many"]),
        ],
        parallelism=6,
        retries=1,
    )
    world.submit(Job("service", [sleeper(replicas=2)], kind="service"))
    step()
    world.exit("first")
    step()
    world.exit("tough", 1)
    step(0.1)
    step()
    world.exit("bad", 1)
    step()
    lost = world.where("held")
    lost.deaf = True
    step(20)
    world.manager.drain(world.where("moved").node.name, world.now)
    step()
    lost.deaf = False
    step()
    world.exit("bad", 2)
    step()
    world.stop("tough")
    step()
    for at in range(4):
        world.exit(f"many[{at}]")
        step(1)
    world.where("held").engine_up = False
    step(70)
    world.where("held").engine_up = True
    step(70)
    for name in ("held", "moved", "last"):
        world.exit(name)
        step()
    assert world.job().state is JobState.FAILED
    world.stop(job="service")
    step(20)
    states = {**world.states(), **{f"service/{n}": s for n, s in world.states("service").items()}}
    world.manager.release(world.job().id, world.now)
    world.manager.release(world.job("service").id, world.now)
    world.pass_time(30)
    assert all(machine.runs == {} for machine in world.machines.values())
    return states, steps


EXPECTED, STEPS = long_story(restart_at=None)


def test_the_story_ends_as_it_should():
    assert {
        "first": "COMPLETED",
        **{f"many[{at}]": "COMPLETED" for at in range(4)},
        "tough": "STOPPED",
        "moved": "COMPLETED",
        "held": "COMPLETED",
        "bad": "FAILED",
        "after-bad": "FAILED",
        "last": "COMPLETED",
        "service/sleep[0]": "STOPPED",
        "service/sleep[1]": "STOPPED",
    } == EXPECTED


@pytest.mark.parametrize("restart_at", range(1, STEPS + 1))
def test_a_restart_of_the_manager_at_any_step_changes_nothing_of_the_end(restart_at: int):
    assert long_story(restart_at=restart_at) == (EXPECTED, STEPS)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("turn", range(1, 13))
def test_a_manager_that_dies_around_its_commit_loses_and_doubles_nothing(moment: str, turn: int):
    world = World("a")
    world.submit([sleeper(), sleeper("next", after=["sleep"])])
    left = turn

    def crash(at: str) -> bool:
        nonlocal left
        left -= at == moment
        return at == moment and left == 0

    world.crash = crash
    a = world.machines["a"]
    for name in ("sleep", "next"):
        (key,) = a.live
        a.exit(key, 0)
        world.pass_time(10)
        assert world.task(name).state is TaskState.COMPLETED
    assert world.job().state is JobState.COMPLETED
    assert len(a.started) == 2
    assert world.manager.epoch == 2, "it did die"


def test_a_job_whose_manager_died_before_it_was_committed_was_never_accepted():
    world = World("a")
    world.crash = lambda moment: moment == "before" and bool(world.manager.jobs())
    world.submit(sleeper())
    assert world.manager.jobs() == ()
    assert world.machines["a"].started == []


def test_a_task_that_was_being_moved_is_still_moved():
    world = World("a", "b")
    world.submit(sleeper())
    a = world.where()
    a.stubborn = True
    world.manager.drain(a.node.name, world.now)
    world.run()
    world.start_manager()
    world.pass_time(30)
    assert world.where() is not a
    assert world.task().state is TaskState.RUNNING


def test_what_waited_behind_the_parallelism_still_does():
    world = World("a")
    world.submit(sleeper(completions=4), parallelism=2)
    world.start_manager()
    world.pass_time(5)
    assert list(world.states().values()) == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    for at in range(4):
        world.exit(f"sleep[{at}]")
    assert world.job().state is JobState.COMPLETED


def test_a_lost_node_is_still_lost_and_a_silent_one_becomes_so():
    world = World("a", "b", "c")
    world.submit(sleeper(completions=3))
    world.machines["a"].deaf = True
    world.pass_time(20)
    world.start_manager()
    world.machines["b"].deaf = True
    world.pass_time(20)
    assert [node.lost for node in world.manager.nodes()] == [True, True, False]
    assert {task.node for task in world.job().tasks} == {"c"}
    assert set(world.states().values()) == {"RUNNING"}


def test_a_new_managers_orders_outrank_those_of_the_old_one():
    world = World("a")
    world.submit(sleeper())
    a: Machine = world.machines["a"]
    old = list(world.sent)
    world.start_manager()
    world.pass_time(5)
    world.stop()
    for message in [*old, *reversed(old)]:
        a.worker.receive(message, world.now)
    world.pass_time(5)
    assert a.live == []
    assert len(a.started) == 1
