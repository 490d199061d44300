"""What comes after what, how many at a time, and what one task's failure means for the others."""

from __future__ import annotations

from typing import Any

import pytest

from minorch.manager import lifecycle
from minorch.model import Job, RestartPolicy
from minorch.scheduling import Scheduler
from minorch.states import JobState, Reason, TaskState
from tests.stories.world import World, machine, sleeper


def test_a_chain_runs_one_after_the_other():
    world = World("a")
    world.submit([sleeper("one"), sleeper("two", after=["one"]), sleeper("three", after=["two"])])
    for name in ("one", "two", "three"):
        assert [n for n, state in world.states().items() if state == "RUNNING"] == [name]
        world.exit(name)
    assert world.job().state is JobState.COMPLETED


def test_what_comes_after_two_waits_for_both():
    world = World("a")
    world.submit(
        [
            sleeper("top"),
            sleeper("left", after=["top"]),
            sleeper("right", after=["top"]),
            sleeper("bottom", after=["left", "right", "left"]),
        ]
    )
    world.exit("top")
    world.exit("right")
    assert world.states() == {
        "top": "COMPLETED",
        "left": "RUNNING",
        "right": "COMPLETED",
        "bottom": "PENDING",
    }
    explained = str(world.manager.explain(world.task("bottom").id, world.now))
    assert "waits for 1 task that it comes after" in explained
    world.start_manager()
    world.exit("left")
    world.exit("bottom")
    assert world.job().state is JobState.COMPLETED


def test_what_comes_after_a_failure_fails_too_and_the_rest_goes_on():
    world = World("a")
    world.submit([sleeper("bad"), sleeper("next", after=["bad"]), sleeper("last", after=["next"]), sleeper()])
    world.exit("bad", 3)
    assert world.states() == {"bad": "FAILED", "next": "FAILED", "last": "FAILED", "sleep": "RUNNING"}
    assert world.task("last").reason is Reason.DEPENDENCY_FAILED
    assert '"next", which it comes after' in world.task("last").message
    world.exit()
    assert world.job().state is JobState.FAILED


def test_on_failure_stop_has_the_others_stopped():
    world = World("a")
    world.submit([sleeper("bad"), sleeper(), sleeper("later", after=["sleep"])], on_failure="stop")
    world.exit("bad", 3)
    assert world.states() == {"bad": "FAILED", "sleep": "STOPPED", "later": "STOPPED"}
    assert world.task().reason is Reason.JOB_FAILED
    assert world.job().state is JobState.FAILED
    assert world.job().message == "another task of its job failed"


def test_a_second_failure_does_not_stop_the_job_again():
    world = World("a")
    world.submit([sleeper("bad"), sleeper("worse"), sleeper()], on_failure="stop")
    a = world.where()
    a.stubborn = True
    world.exit("bad", 3)
    world.exit("worse", 4)
    assert world.kinds().count("job_stopping") == 1
    world.pass_time(20)
    assert world.job().state is JobState.FAILED


def test_parallelism_bounds_what_is_placed_at_a_time():
    world = World("a")
    world.submit(sleeper(completions=5), parallelism=2)
    assert len(world.where("sleep[0]").live) == 2
    waiting = world.manager.explain(world.task("sleep[4]").id, world.now)
    assert "waits for its turn under the job's parallelism" in str(waiting)
    for at in range(5):
        world.exit(f"sleep[{at}]")
        assert len(world.where("sleep[0]").live) == min(2, 4 - at)
    assert world.job().state is JobState.COMPLETED


def test_what_is_stopped_in_the_backlog_is_passed_over():
    world = World("a")
    world.submit(sleeper(completions=3), parallelism=1)
    world.stop("sleep[1]")
    world.exit("sleep[0]")
    assert world.states() == {"sleep[0]": "COMPLETED", "sleep[1]": "STOPPED", "sleep[2]": "RUNNING"}


def test_each_completion_has_its_own_index():
    world = World("a")
    seen = []

    def note(launch):
        seen.append((launch.task_name, launch.environment()["MINORCH_TASK_INDEX"]))

    world.machines["a"].refuse = note
    world.submit([sleeper("many", completions=3), sleeper("one")])
    assert seen == [("many[0]", "0"), ("many[1]", "1"), ("many[2]", "2"), ("one", "0")]


def test_what_comes_after_several_completions_waits_for_all_of_them():
    world = World("a")
    world.submit([sleeper("many", completions=3), sleeper("last", after=["many"], completions=2)])
    for at in range(3):
        assert world.states()["last[1]"] == "PENDING"
        world.exit(f"many[{at}]")
    assert world.states()["last[1]"] == "RUNNING"


def test_retries_are_the_whole_jobs_and_go_elsewhere():
    world = World("a", "b")
    world.submit([sleeper("one"), sleeper("two")], retries=2)
    first = world.where("one")
    world.exit("one", 1)
    assert world.where("one") is not first
    world.exit("two", 1)
    assert world.job().retries_used == 2
    assert "retry 2 of 2" not in world.task("two").message, "it runs again, so nothing is said"
    world.exit("one", 7)
    assert world.task("one").state is TaskState.FAILED
    assert world.task("one").exit_code == 7
    assert world.task("one").restarts == 1


def test_a_service_of_no_replicas_is_over_at_once():
    world = World("a")
    world.submit(Job("job", [sleeper(replicas=0)], kind="service"))
    assert world.job().state is JobState.COMPLETED


def test_a_service_goes_on_until_it_is_stopped():
    world = World("a")
    world.submit(Job("job", [sleeper(replicas=2)], kind="service"))
    world.exit("sleep[1]")
    world.pass_time(2)
    assert len(world.machines["a"].live) == 2
    world.stop()
    assert world.job().state is JobState.STOPPED


def test_a_thousand_tasks_in_a_chain_fail_without_recursion():
    world = World("a")
    world.check_every = 50
    tasks = [sleeper("t0"), *(sleeper(f"t{n}", after=[f"t{n - 1}"]) for n in range(1, 1000))]
    world.submit(Job("job", tasks))
    world.exit("t0", 1)
    assert world.task("t999").reason is Reason.DEPENDENCY_FAILED
    assert world.job().state is JobState.FAILED


def test_a_thousand_tasks_in_a_chain_complete():
    world = World("a", manager_config=None)
    world.check_every = 1000
    tasks = [sleeper("t0"), *(sleeper(f"t{n}", after=[f"t{n - 1}"]) for n in range(1, 1000))]
    a = world.machines["a"]
    world.on_start = lambda machine, key: world.later(1.0, lambda: a.exit(key, 0))
    world.submit(Job("job", tasks))
    world.pass_time(1000)
    assert world.job().state is JobState.COMPLETED


def test_a_failure_is_retried_while_the_restart_policy_still_has_a_say():
    world = World("a")
    world.submit(sleeper(restart=RestartPolicy.on_failure(1, backoff_s=1.0)), retries=1)
    for code in (1, 2, 3):
        world.exit(code=code)
        world.pass_time(2)
    assert world.task().restarts == 3
    world.exit(code=4)
    assert world.task().state is TaskState.FAILED
    assert world.task().exit_code == 4


def test_a_plugin_that_raises_fails_its_task_and_nothing_else():
    class Broken(Scheduler):
        def cost(self, task, node):
            return float("nan") if task.name == "bad" else 0.0

    world = World("a", scheduler=Broken())
    world.submit([sleeper("bad"), sleeper()])
    assert world.states() == {"bad": "FAILED", "sleep": "RUNNING"}
    assert world.task("bad").reason is Reason.PLUGIN_ERROR
    assert "scheduler Broken failed on task job/bad" in world.task("bad").message


def test_room_that_a_broken_placement_left_is_used():
    class Broken(Scheduler):
        def placed(self, task, node):
            if task.name == "bad":
                raise ValueError("no")

    world = World(machine("a", max_tasks=1), scheduler=Broken())
    world.submit([sleeper("bad"), sleeper("good")])
    assert world.states() == {"bad": "FAILED", "good": "RUNNING"}


def test_many_failures_of_what_many_come_after_cost_no_more_than_one(
    monkeypatch: pytest.MonkeyPatch,
):
    world = World(machine("a", max_tasks=1000))
    world.check_every = 1000
    world.submit([sleeper("x", completions=300), sleeper("y", after=["x"], completions=300)])
    a = world.machines["a"]
    for key in a.live:
        a.exit(key, 1)
    looked_at = 0
    fail_dependents = lifecycle._fail_dependents

    def count(*arguments: Any) -> None:
        nonlocal looked_at
        looked_at += 300
        fail_dependents(*arguments)

    monkeypatch.setattr(lifecycle, "_fail_dependents", count)
    world.run()
    assert world.job().state is JobState.FAILED
    assert looked_at == 300
