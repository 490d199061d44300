"""A task that fits nowhere may have tasks of lower priority moved aside, where that is allowed."""

from __future__ import annotations

import pytest

from minorch.manager import ManagerConfig
from minorch.model import Job
from minorch.resources import Resources
from minorch.states import AttemptState, Reason, TaskState
from minorch.worker import Kill, Terminate
from tests.stories.world import World, machine, sleeper

WHOLE = Resources(cpu=4)


def preempting(*machines: object, **config: object) -> World:
    """A cluster in which victims ignore that they are to end, so that a story can look on."""
    world = World(*machines, manager_config=ManagerConfig(preemption=True, **config))  # type: ignore[arg-type]
    for there in world.machines.values():
        there.stubborn = True
    return world


def told(world: World) -> list[tuple[str, str, str]]:
    """What was told of rooms and victims: kind, job, node."""
    kinds = ("task_preempted", "room_kept", "room_given_up")
    return [(event.kind, event.job, event.node) for event in world.events if event.kind in kinds]


def low(count: int = 1, cpu: float = 4, **fields: object) -> Job:
    return Job("low", [sleeper(resources=Resources(cpu=cpu), completions=count)], **fields)  # type: ignore[arg-type]


def high(count: int = 1, cpu: float = 4, **fields: object) -> Job:
    return Job(
        "high",
        [sleeper(resources=Resources(cpu=cpu), completions=count)],
        **{"priority": 5, **fields},  # type: ignore[arg-type]
    )


def test_unless_it_is_allowed_nobody_is_moved_aside():
    world = World("a")
    world.submit(low())
    world.submit(high())
    assert world.states("high") == {"sleep": "PENDING"}
    assert told(world) == []


def test_a_victim_ends_gracefully_waits_again_and_runs_later():
    world = preempting("a")
    world.submit(low())
    world.submit(high())
    a = world.machines["a"]
    assert (a.asked_for(Terminate), a.asked_for(Kill)) == (1, 0)
    assert world.states("high") == {"sleep": "PENDING"}
    world.pass_time(9)
    assert (world.states("low"), a.asked_for(Kill)) == ({"sleep": "RUNNING"}, 0)
    world.pass_time(2)
    assert a.asked_for(Kill) == 1
    assert world.states("high") == {"sleep": "RUNNING"}
    victim = world.task(job="low")
    assert victim.state is TaskState.PENDING
    assert victim.message == "made room for high/sleep (priority 5)"
    (attempt,) = victim.attempts
    assert (attempt.state, attempt.reason) == (AttemptState.STOPPED, Reason.PREEMPTED)
    assert attempt.message == victim.message
    assert told(world) == [("room_kept", "high", "a"), ("task_preempted", "low", "a")]
    assert [kind for kind in world.kinds("sleep") if kind == "task_failed"] == []
    world.exit(job="high")
    assert world.states("low") == {"sleep": "RUNNING"}
    assert world.job("low").retries_used == 0
    world.exit(job="low")
    assert world.task(job="low").state is TaskState.COMPLETED


def test_a_victim_goes_elsewhere_at_once_if_it_fits_there():
    world = preempting("a", machine("b", capacity=Resources(cpu=2)))
    world.submit(Job("block", [sleeper(resources=Resources(cpu=2))]))
    world.submit(Job("other", [sleeper(resources=Resources(cpu=2))], priority=9))
    assert (world.where(job="block").node.name, world.where(job="other").node.name) == ("a", "a")
    world.submit(low(cpu=2))
    world.exit(job="other")
    world.submit(high(cpu=4))
    assert told(world) == [("room_kept", "high", "a"), ("task_preempted", "block", "a")]
    world.exit(job="low")
    world.pass_time(11)
    assert world.where(job="high").node.name == "a"
    assert world.where(job="block").node.name == "b"


def test_neither_its_own_job_nor_who_matters_as_much_is_moved_aside():
    world = preempting("a")
    world.submit(high(2))
    assert sorted(world.states("high").values()) == ["PENDING", "RUNNING"]
    world.submit(Job("equal", [sleeper(resources=WHOLE)], priority=5))
    assert world.states("equal") == {"sleep": "PENDING"}
    assert told(world) == []


def test_waiting_long_makes_nobody_a_victim():
    world = preempting("a", ageing_s=1.0, reserve_for_s=0)
    world.submit(Job("runs", [sleeper(resources=WHOLE)], priority=1))
    world.submit(Job("waits", [sleeper(resources=WHOLE)]))
    world.pass_time(500)
    assert told(world) == []
    assert world.states("waits") == {"sleep": "PENDING"}


def test_the_room_is_kept_for_the_one_it_is_made_for():
    world = preempting("a")
    world.submit(low(2, cpu=2))
    world.submit(high())
    world.machines["a"].exit(world.machines["a"].live[0], 0)
    world.run()
    world.submit(Job("small", [sleeper(resources=Resources(cpu=1))], priority=5))
    assert world.states("small") == {"sleep": "PENDING"}
    explained = world.manager.explain(world.task(job="small").id, world.now)
    assert "1 node: kept free for another task" in str(explained)
    world.pass_time(11)
    assert world.states("high") == {"sleep": "RUNNING"}


def test_a_victim_that_ends_by_itself_is_over_and_has_made_room_all_the_same():
    world = preempting("a")
    world.submit(low())
    a = world.machines["a"]
    a.deaf = True
    world.submit(high())
    a.exit(a.live[0], 0)
    world.run()
    a.deaf = False
    world.pass_time(5)
    assert world.task(job="low").state is TaskState.COMPLETED
    assert world.states("high") == {"sleep": "RUNNING"}
    assert told(world) == [("room_kept", "high", "a"), ("task_preempted", "low", "a")]


def test_if_the_one_it_is_made_for_is_stopped_the_room_is_given_up():
    world = preempting("a")
    world.submit(low())
    world.submit(high())
    world.submit(Job("next", [sleeper(resources=WHOLE)]))
    world.stop(job="high")
    assert told(world)[-1] == ("room_given_up", "high", "a")
    assert world.events[-1].detail == "it does not wait any more"
    world.pass_time(11)
    assert world.states("low") == {"sleep": "RUNNING"}  # in its turn, before what came later
    assert world.states("next") == {"sleep": "PENDING"}
    assert len(world.task(job="low").attempts) == 2


def test_a_new_manager_goes_on_with_the_room_that_is_being_made():
    world = preempting("a", "b")
    world.submit(low(2))
    world.submit(high())
    (first,) = [event for event in world.events if event.kind == "task_preempted"]
    world.start_manager()
    world.machines[first.node].deaf = True  # so that the other node is heard of first
    world.pass_time(5)
    world.machines[first.node].deaf = False
    assert [kind for kind, *_ in told(world)] == ["room_kept", "task_preempted"]
    world.pass_time(15)
    assert world.where(job="high").node.name == first.node
    assert [kind for kind, *_ in told(world)] == ["room_kept", "task_preempted"]
    assert sorted(world.states("low").values()) == ["PENDING", "RUNNING"]
    assert world.task(first.task, "low").attempts[0].reason is Reason.PREEMPTED


def test_when_the_one_it_was_made_for_was_forgotten_the_victim_is_told_as_much_as_is_known():
    world = preempting("a", keep_jobs_s=1.0)
    world.submit(low())
    world.submit(high())
    world.stop(job="high")
    world.pass_time(5)
    assert {job.name for job in world.manager.jobs()} == {"low"}
    world.machines["a"].exit(world.machines["a"].live[0], 143)
    world.run()
    attempt = world.task(job="low").attempts[0]
    assert attempt.message == "made room for a task of higher priority"
    assert world.states("low") == {"sleep": "RUNNING"}


def test_a_room_whose_task_was_forgotten_is_given_up_without_a_word():
    world = preempting("a", keep_jobs_s=0.0)
    world.submit(low())
    world.submit(high())
    world.manager.stop(world.job("high").id, world.now)
    world.run()
    assert len(world.manager._planner.holds) == 0
    world.pass_time(20)
    assert world.states("low") == {"sleep": "RUNNING"}


def test_in_a_plan_for_a_job_in_place_of_the_one_it_is_made_for_the_room_is_free():
    world = preempting("a")
    world.submit(low(2, cpu=2))
    world.submit(high())
    world.machines["a"].exit(world.machines["a"].live[0], 143)
    world.run()
    assert world.states("high") == {"sleep": "PENDING"}
    planned = world.manager.plan(high(cpu=2), world.now)
    assert [placement.node for placement in planned.placements] == ["a"]
    assert world.manager._planner.holds.node_for(world.task(job="high").id) == "a"


def test_two_of_one_line_have_rooms_made_on_two_nodes_and_neither_waits_for_the_other():
    world = preempting("a", "b")
    world.submit(low(2))
    world.submit(high(2))
    assert [kind for kind, *_ in told(world)].count("task_preempted") == 2
    kept = {event.node: event.task for event in world.events if event.kind == "room_kept"}
    assert sorted(kept.values()) == ["sleep[0]", "sleep[1]"]
    later = next(node for node, task in kept.items() if task == "sleep[1]")
    world.machines[later].exit(world.machines[later].live[0], 143)
    world.run()
    assert world.states("high") == {"sleep[0]": "PENDING", "sleep[1]": "RUNNING"}
    world.pass_time(12)
    assert set(world.states("high").values()) == {"RUNNING"}
    assert set(world.states("low").values()) == {"PENDING"}


def test_one_that_finds_room_elsewhere_gives_up_the_one_that_is_made():
    world = preempting("a", "b")
    world.submit(low())
    world.submit(Job("middle", [sleeper(resources=WHOLE)], priority=1))
    world.submit(high())
    assert told(world) == [("room_kept", "high", "a"), ("task_preempted", "low", "a")]
    world.exit(job="middle")
    assert world.where(job="high").node.name == "b"
    world.pass_time(12)
    assert world.where(job="low").node.name == "a"
    assert len(told(world)) == 2


@pytest.mark.parametrize("reserve_for_s", [0.0, 1.0, 600.0])
def test_victims_that_take_their_time_are_waited_for_and_no_others_are_taken(reserve_for_s: float):
    world = preempting("a", "b", reserve_for_s=reserve_for_s, lease_s=5.0)
    tasks = [sleeper(resources=WHOLE, stop_grace_s=60.0, completions=2)]
    world.submit(Job("low", tasks))
    world.submit(high())
    world.pass_time(55)
    assert len(told(world)) == 2
    assert world.states("high") == {"sleep": "PENDING"}
    world.pass_time(10)
    assert world.states("high") == {"sleep": "RUNNING"}
    assert len(told(world)) == 2


@pytest.mark.parametrize("trouble", ["deaf", "cordoned", "engine"])
def test_when_the_node_takes_no_tasks_any_more_room_is_made_on_another(trouble: str):
    world = preempting("a", "b")
    world.submit(low(2))
    world.submit(high())
    (node,) = [event.node for event in world.events if event.kind == "room_kept"]
    there = world.machines[node]
    if trouble == "deaf":
        there.deaf = True
    elif trouble == "cordoned":
        world.manager.cordon(node, world.now)
    else:
        there.engine_up = False
    world.pass_time(70)
    (other,) = {"a", "b"} - {node}
    assert ("room_given_up", "high", node) in told(world)
    assert world.where(job="high").node.name == other


def test_nothing_is_moved_to_and_fro():
    world = World("a", "b", manager_config=ManagerConfig(preemption=True, ageing_s=1.0))
    for priority in range(6):
        world.submit(Job(f"p{priority}", [sleeper(resources=WHOLE)], priority=priority))
    world.pass_time(300)
    states = {f"p{priority}": world.states(f"p{priority}")["sleep"] for priority in range(6)}
    assert [name for name, state in states.items() if state == "RUNNING"] == ["p4", "p5"]
    assert sum(kind == "task_preempted" for kind, *_ in told(world)) == 4
    assert world.task(job="p0").attempts[-1].number == 1


def test_as_few_as_can_be_are_moved_aside_and_those_that_matter_least():
    world = preempting("a", "b")
    for name, cpu, priority in [("one", 2, 1), ("two", 2, 2), ("three", 4, 3)]:
        world.submit(Job(name, [sleeper(resources=Resources(cpu=cpu))], priority=priority))
    world.submit(high(cpu=2))
    assert [job for kind, job, _ in told(world) if kind == "task_preempted"] == ["one"]


def test_a_filter_that_fails_on_an_emptier_node_spoils_the_one_task_it_is_asked_about():
    def moody(task, node):
        if task.job == "high" and not node.tasks:
            raise ValueError("so empty")

    world = World("a", manager_config=ManagerConfig(preemption=True), filters={"moody": moody})
    world.submit(low())
    world.submit(high())
    assert world.task(job="high").reason is Reason.PLUGIN_ERROR
    assert "filter moody raised ValueError for node a: so empty" in world.task(job="high").message
    world.submit(Job("next", [sleeper(resources=WHOLE)], priority=9))
    world.run()
    assert world.states("next") == {"sleep": "RUNNING"}


def test_a_victim_that_is_drained_too_is_moved_once():
    world = preempting("a", "b")
    world.submit(low(2))
    world.submit(high())
    (node,) = [event.node for event in world.events if event.kind == "task_preempted"]
    world.manager.drain(node, world.now)
    world.pass_time(30)
    assert world.kinds().count("task_moving") == 0
    assert ("room_given_up", "high", node) in told(world)
