"""Answers on clusters drawn at random: they are what happens then, they add up, and they change nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable

from hypothesis import given, settings, strategies as st

from minorch.manager import ManagerConfig
from minorch.model import Affinity, Job, SpreadOver, Task
from minorch.resources import Resources
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import NodeView, Rebalance, Scheduler, TaskView
from minorch.states import TaskState
from tests.stories.world import World, machine, sleeper

GIB = 2**30


class Sampled(LeastLoaded):
    """Looks at two nodes only."""

    sample = 2


class Unindexed(LeastLoaded):
    """Promises nothing."""

    depends_on = "anything"


STRATEGIES: list[Callable[[], Scheduler]] = [
    *(EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread, Sampled, Unindexed),
    lambda: EPVM(terms="paper"),
]
NODES = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(1, 4),
        st.sampled_from(["x", "y", ""]),
        st.sampled_from([(), (), ("gpu",)]),
        st.sampled_from([2, 100]),
    ),
    max_size=6,
)
AFFINITY = st.sampled_from(
    [
        {},
        {},
        {},
        {"affinity": [Affinity.apart(task="a")]},
        {"affinity": [Affinity.near(job="old0", topology="zone")]},
        {"affinity": [Affinity.apart(labels={"l": "1"}, weight=5)]},
        {"spread_over": [SpreadOver("zone")]},
        {"preferences": {"zone == x": 10}},
    ]
)


@st.composite
def tasks(draw: st.DrawFn, name: str) -> Task:
    return sleeper(
        name,
        resources=Resources(
            cpu=draw(st.sampled_from([0, 0.5, 1, 2, 5])), memory=draw(st.integers(0, 4)) * GIB
        ),
        completions=draw(st.integers(1, 4)),
        constraints=draw(st.sampled_from([[], [], ["zone == x"]])),
        tolerations=draw(st.sampled_from([[], ["gpu"]])),
        labels=draw(st.sampled_from([{}, {"l": "1"}])),
        **draw(AFFINITY),
    )


@st.composite
def jobs(draw: st.DrawFn, name: str) -> Job:
    described = [draw(tasks(task)) for task in "ab"[: draw(st.integers(1, 2))]]
    gang = draw(st.integers(0, 4)) == 0
    return Job(
        name,
        described,
        wait_for_nodes=True,
        gang=gang,
        priority=draw(st.sampled_from([0, 0, 5])),
        parallelism=None if gang else draw(st.sampled_from([None, None, 2])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    nodes = [
        machine(
            f"n{at}",
            capacity=Resources(cpu=cpu, memory=memory * GIB),
            labels={"zone": zone} if zone else {},
            taints=taints,
            max_tasks=most,
        )
        for at, (cpu, memory, zone, taints, most) in enumerate(draw(NODES))
    ]
    world = World(
        *nodes,
        scheduler=draw(st.sampled_from(STRATEGIES))(),
        manager_config=ManagerConfig(preemption=draw(st.booleans()), reserve_after_s=10),
        filters=draw(st.sampled_from([None, {"no-b-on-n1": refuse_b}])),
    )
    for number in range(draw(st.integers(0, 3))):
        world.submit(draw(jobs(f"old{number}")))
    for machine_there in world.machines.values():  # some end, so that what runs is not as it was placed
        for key in list(machine_there.live):
            if draw(st.integers(0, 3)) == 0:
                machine_there.exit(key, 0)
    world.pass_time(draw(st.sampled_from([0, 20])))
    if nodes and draw(st.booleans()):
        world.manager.cordon("n0", world.now)
        world.run()
    return world


def refuse_b(task: TaskView, node: NodeView) -> str | None:
    return "no b on n1" if task.task.name == "b" and node.name == "n1" else None


def everything(world: World) -> object:
    """All that could have changed by asking."""
    planner, state = world.manager._planner, world.desk.state
    return (
        repr(vars(planner.scheduler)),
        planner.random.getstate(),
        copy.deepcopy((planner.blocked, planner._infeasible_since, vars(planner.holds))),
        [(line, list(world.desk.queue.waiting(line))) for line in world.desk.queue.lines()],
        list(state.tasks),
        list(state.jobs),
        repr(state.meta),
        world.desk.plan_due,
        world.desk.timers.next(),
        [world.manager.nodes(), world.manager.jobs()],
        world.manager.events(),
    )


def check_nothing_changed(world: World, before: object) -> None:
    assert everything(world) == before
    changes, events = world.desk.state.write()
    assert not changes
    assert not events
    world.check()


@settings(max_examples=80)
@given(world=worlds())
def test_the_counts_of_an_explanation_add_up_to_the_number_of_nodes(world: World) -> None:
    before = everything(world)
    for info in [task for job in world.manager.jobs() for task in job.tasks]:
        told = world.manager.explain(info.id, world.now)
        assert str(told)
        assert told.to_dict()["state"] == str(info.state)
        if info.state.terminal:
            continue
        assert told.fitting + sum(refused.nodes for refused in told.refused) == len(world.machines)
        if told.blocked is not None:
            assert sum(refused.nodes for refused in told.blocked.refused) == len(world.machines)
            assert (told.blocked.nearest is None) is (not world.machines)
        for choice in told.choices:
            assert abs(sum(choice.parts.values()) - choice.cost) <= 1e-6 * max(1, choice.cost)
    check_nothing_changed(world, before)


@settings(max_examples=150)
@given(world=worlds(), job=jobs("new"))
def test_a_plan_is_what_happens_when_the_job_is_submitted(world: World, job: Job) -> None:
    before = everything(world)
    plan = world.manager.plan(job, world.now)
    assert str(plan)
    check_nothing_changed(world, before)
    running = {
        task.id for old in world.manager.jobs() for task in old.tasks if task.state is TaskState.RUNNING
    }
    job_id = world.manager.submit(job, world.now)
    world.manager.settle(world.now)
    placed = {
        task.name: task.node for task in world.manager.job(job_id).tasks if task.state is TaskState.SCHEDULED
    }
    assert {placement.task: placement.node for placement in plan.placements} == placed
    waiting = {name for wait in plan.waiting for name in wait.tasks}
    assert waiting == {task.name for task in world.manager.job(job_id).tasks} - placed.keys()
    moving = {
        f"{world.desk.state.jobs[task.job_id].job.name}/{task.name}"
        for task in world.desk.state.tasks.values()
        if task.moving and task.id in running
    }
    assert {name for preempted in plan.preempted for name in preempted.moved} <= moving


@settings(max_examples=50)
@given(world=worlds(), data=st.data())
def test_a_plan_for_a_job_that_runs_is_what_would_happen_without_it(
    world: World, data: st.DataObject
) -> None:
    alive = [job for job in world.manager.jobs() if not job.state.terminal]
    before = everything(world)
    for info in alive:
        plan = world.manager.plan(data.draw(jobs(info.name)), world.now)
        assert plan.changes is not None
        assert str(plan)
    check_nothing_changed(world, before)


@settings(max_examples=100)
@given(world=worlds(), most=st.integers(1, 5))
def test_a_rebalance_overloads_no_node_and_every_move_pays(world: World, most: int) -> None:
    before = everything(world)
    proposal = world.manager.propose_rebalance(world.now, max_moves=most)
    check_nothing_changed(world, before)
    check_moves(world, proposal)
    assert len(proposal.moves) <= most


def check_moves(world: World, proposal: Rebalance) -> None:
    state = world.desk.state
    assert str(proposal)
    assert len({move.task_id for move in proposal.moves}) == len(proposal.moves)
    reserved = {name: entry.reserved for name, entry in state.nodes.items()}
    counts = {name: len(entry.live) for name, entry in state.nodes.items()}
    for move in proposal.moves:
        assert move.gain > 0
        task = state.tasks[move.task_id]
        assert task.live is not None
        assert task.live.node == move.source != move.target
        wanted = state.spec(task).resources
        reserved[move.source] -= wanted
        reserved[move.target] += wanted
        counts[move.source] -= 1
        counts[move.target] += 1
        node = state.nodes[move.target].record
        assert reserved[move.target].fits(node.node.capacity)
        assert counts[move.target] <= node.node.max_tasks
        assert not node.cordoned
