"""What people are told when they ask: why a task is where it is, what would become of a job, what to move."""

from __future__ import annotations

import pytest

from minorch.errors import NotFound, PluginError, UsageError
from minorch.manager import ManagerConfig
from minorch.model import Affinity, Job
from minorch.resources import Resources
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RoundRobin, Spread
from minorch.scheduling import Explanation, JobPlan, Scheduler
from tests.stories.world import World, machine, sleeper

ONE = Resources(cpu=1, memory="1GiB")
BIG = Resources(cpu=64)


def explained(world: World, name: str = "sleep", job: str = "job") -> Explanation:
    return world.manager.explain(world.task(name, job).id, world.now)


def planned(world: World, job: Job) -> JobPlan:
    return world.manager.plan(job, world.now)


# -- explain ---------------------------------------------------------------------------------------------


def test_a_placed_task_is_told_what_each_node_would_cost_and_of_what_that_is_made():
    world = World("a", "b", scheduler=LeastLoaded())
    world.submit(sleeper(resources=Resources(cpu=2)))
    told = explained(world)
    a, b = told.choices
    assert (a.node, a.here, a.rank) == ("a", True, 1)
    assert (b.node, b.here, b.rank) == ("b", False, 2)
    assert dict(a.parts) == dict(b.parts)
    assert "largest share (cpu) 0.5" in str(a)
    assert str(a).endswith("(it is here)")
    assert told.to_dict()["choices"][0]["node"] == "a"  # type: ignore[index]


def test_where_it_is_is_told_wherever_that_ranks():
    world = World("a", scheduler=LeastLoaded())
    world.submit([sleeper(), sleeper("full", resources=Resources(cpu=3))])
    for number in range(12):
        world.add(f"b{number}")
    world.run()
    told = explained(world)
    assert told.fitting == 13
    assert len(told.choices) == 11
    assert (told.choices[-1].node, told.choices[-1].rank) == ("a", 13)
    assert "on 11 of the 13 nodes that could take it" in str(told)


def test_nodes_that_could_not_take_a_placed_task_are_counted_too():
    world = World("a", machine("small", capacity=Resources(cpu=1)), scheduler=LeastLoaded())
    world.manager.cordon("a", world.now, cordoned=False)
    world.submit(sleeper(resources=Resources(cpu=2)))
    told = explained(world)
    assert told.fitting == 1
    assert [str(refused) for refused in told.refused] == ["1 node: cpu short by 1 at least"]
    assert "could not take it now" in str(told)
    assert "on the only node that could take it" in str(told)
    assert told.blocked is None


def test_a_waiting_task_is_told_who_comes_nearest():
    world = World("a", machine("b", capacity=Resources(cpu=4, memory="7GiB"), taints=["gpu"]), "c")
    world.submit(Job("full", [sleeper(resources=Resources(cpu=4, memory="1GiB"), completions=2)]))
    world.submit(sleeper(resources=Resources(cpu=1, memory="7.5GiB")))
    told = explained(world)
    assert told.blocked is not None
    assert told.blocked.nearest is not None
    assert str(told.blocked.nearest) == "nearest: a, cpu short by 1, memory short by 512.0 MiB"
    assert told.outlook == "it waits until there is room"
    assert str(told) == (
        "job/sleep is PENDING\n"
        "  fits nowhere now:\n"
        "    2 nodes: cpu short by 1 at least\n"
        "    1 node: memory short by 512.0 MiB at least\n"
        "  nearest: a, cpu short by 1, memory short by 512.0 MiB\n"
        "  it waits until there is room"
    )


def test_a_node_that_could_never_hold_it_is_not_the_nearest():
    world = World("a", machine("tainted", taints=["gpu"]))
    world.submit(Job("full", [sleeper(resources=Resources(cpu=4))]))
    world.manager.cordon("a", world.now)
    world.submit(sleeper(resources=Resources(cpu=2)))
    told = explained(world)
    assert told.blocked is not None
    assert str(told.blocked.nearest) == "nearest: a, cordoned, cpu short by 2"


def test_what_no_node_could_ever_hold_is_told_what_the_best_of_them_lacks_when_empty():
    world = World("a", machine("b", capacity=Resources(cpu=8)))
    world.submit(Job("full", [sleeper(resources=Resources(cpu=8))]))
    world.submit(sleeper(resources=BIG), wait_for_nodes=True)
    told = explained(world)
    assert told.blocked is not None
    assert str(told.blocked.nearest) == "nearest: b even when empty, cpu short by 56"
    assert told.outlook == "no node could hold it even when empty; it waits for one that can"
    assert str(told.blocked).endswith("; no node could hold it even when empty")


def test_what_will_fail_is_told_when():
    world = World()
    world.submit(sleeper(resources=BIG))
    world.add("a")
    world.run()
    assert explained(world).outlook.endswith("; it fails as unschedulable when that was so for 30 s")


def test_a_task_that_is_kept_apart_from_others_is_told_so():
    world = World("a")
    apart = sleeper(completions=2, affinity=[Affinity.apart(task="sleep")])
    world.submit(apart)
    told = explained(world, "sleep[1]")
    assert told.blocked is not None
    assert str(told.blocked.nearest) == "nearest: a, job/sleep is there, from which it is apart"


def test_what_depends_on_more_than_one_node_is_told_as_well():
    world = World(machine("a", labels={"zone": "x"}), machine("b", labels={"zone": "x"}))
    world.submit(sleeper(completions=2, affinity=[Affinity.apart(task="sleep", topology="zone")]))
    told = explained(world, "sleep[1]")
    assert told.blocked is not None
    assert sum(refused.nodes for refused in told.refused) == 2
    assert "in this zone already, from which it is apart" in str(told.blocked.nearest)


def test_a_gang_that_waits_is_told_that_it_is_one():
    world = World("a")
    world.submit(Job("job", [sleeper(resources=Resources(cpu=3), completions=2)], gang=True))
    told = explained(world, "sleep[0]")
    assert "is placed together with all 2 tasks of its job, or not at all" in str(told)
    assert told.fitting == 1


def test_a_filter_of_ones_own_counts():
    def odd(task: object, node: object) -> str | None:
        return "not on a full moon"

    world = World("a", "b", filters={"moon": odd})
    world.submit(sleeper())
    told = explained(world)
    assert str(told.blocked) == "2 nodes: not on a full moon; nearest: a, not on a full moon"


def test_a_strategy_that_cannot_be_copied_cannot_be_asked_what_it_would_do():
    class Single(Scheduler):
        def __deepcopy__(self, memo: object) -> Scheduler:
            raise TypeError("there can be only one")

    world = World("a", scheduler=Single())
    world.submit(sleeper())
    with pytest.raises(PluginError, match=r"Single cannot be asked.*there can be only one"):
        explained(world)


def test_parts_that_are_no_numbers_are_told_as_the_strategys_fault():
    class Vague(Scheduler):
        def parts(self, task, node):
            return {"mood": float("nan")}

    world = World("a", scheduler=Vague())
    world.submit(sleeper())
    with pytest.raises(PluginError, match=r"Vague failed on task job/sleep.*nan"):
        explained(world)


# -- plan ------------------------------------------------------------------------------------------------


def test_a_plan_tells_where_tasks_would_go_and_why_others_would_not():
    world = World("a", "b", scheduler=LeastLoaded())
    job = Job("job", [sleeper(resources=Resources(cpu=3), completions=3), sleeper("later", after=["sleep"])])
    plan = planned(world, job)
    assert [(placed.task, placed.node) for placed in plan.placements] == [
        ("sleep[0]", "a"),
        ("sleep[1]", "b"),
    ]
    room, after = plan.waiting
    assert room.tasks == ["sleep[2]"]
    assert room.why == "2 nodes: cpu short by 2 at least; nearest: a, cpu short by 2"
    assert room.blocked is not None
    assert after.why == "waits for 3 tasks that it comes after"
    assert plan.tasks == 4
    assert str(plan).splitlines() == [
        "job: 2 of 4 tasks would be placed now",
        "  placed:",
        "    sleep[0] on a, cost 0.7503",
        "    sleep[1] on b, cost 0.7503",
        "  not placed:",
        "    sleep[2]: 2 nodes: cpu short by 2 at least; nearest: a, cpu short by 2",
        "    later: waits for 3 tasks that it comes after",
    ]
    assert plan.to_dict()["job"] == "job"
    assert world.manager.jobs() == ()


def test_a_plan_holds_back_what_parallelism_holds_back():
    plan = planned(World("a"), Job("job", [sleeper(completions=5)], parallelism=2))
    assert len(plan.placements) == 2
    (wait,) = plan.waiting
    assert (len(wait.tasks), wait.why) == (3, "waits for its turn under the job's parallelism")
    assert str(wait).startswith("sleep[2] and 2 more: ")


def test_what_waits_already_goes_first():
    world = World("a")
    world.submit(Job("full", [sleeper(resources=Resources(cpu=4))]))
    world.submit(Job("first", [sleeper(resources=Resources(cpu=2), completions=2)]))
    world.exit(job="full")
    job = Job("job", [sleeper(resources=Resources(cpu=1))])
    assert planned(world, job).placements == []
    world.exit("sleep[0]", job="first")
    assert [placed.node for placed in planned(world, job).placements] == ["a"]


def test_other_tasks_that_the_same_plan_places_are_counted():
    world = World("a")
    world.manager.cordon("a", world.now)
    world.submit(Job("first", [sleeper(completions=2)]))
    world.manager.cordon("a", world.now, cordoned=False)  # and no plan was made yet
    plan = planned(world, Job("job", [sleeper()]))
    assert plan.before == 2
    assert "2 tasks that wait already would be placed too" in str(plan)
    world.run()


def test_a_plan_says_what_would_be_refused():
    world = World("a", manager_config=ManagerConfig(max_open_tasks=10))
    plan = planned(world, Job("job", [sleeper(resources=BIG), sleeper("small")]))
    assert "cpu short by 60" in plan.refused
    assert [placed.task for placed in plan.placements] == ["small"]
    assert "it would be refused: $.tasks[0]" in str(plan)
    many = planned(world, Job("job", [sleeper(completions=11)]))
    assert "at most 10 are accepted" in many.refused
    assert many.tasks == 0


def test_a_plan_for_a_job_that_runs_tells_the_differences_and_takes_its_room():
    world = World("a", scheduler=LeastLoaded())
    world.submit(
        [sleeper(resources=Resources(cpu=2)), sleeper("gone"), sleeper("waits", resources=BIG)],
        wait_for_nodes=True,
    )
    job = Job("job", [sleeper(resources=Resources(cpu=4)), sleeper("new")], labels={"x": "y"}, retries=1)
    plan = planned(world, job)
    assert plan.changes is not None
    assert bool(plan.changes)
    assert str(plan.changes) == (
        "job: retries, labels, wait_for_nodes; new: new; gone: gone, waits; changed: sleep (resources)"
    )
    assert {placed.task for placed in plan.placements} == {"sleep", "new"}
    assert "the one that is RUNNING is taken to be gone; changes: job: retries" in str(plan)
    assert world.states() == {"sleep": "RUNNING", "gone": "RUNNING", "waits": "PENDING"}
    world.check()


def test_the_same_job_again_has_no_changes_and_one_that_is_over_is_not_compared_with():
    world = World("a")
    job = Job("job", [sleeper(completions=2)])
    world.submit(job)
    plan = planned(world, job)
    assert not plan.changes
    assert str(plan.changes) == "none"
    world.stop()
    assert planned(world, job).changes is None


def test_a_gang_that_does_not_fit_as_a_whole_is_not_placed_at_all():
    plan = planned(World("a"), Job("job", [sleeper(resources=Resources(cpu=3), completions=2)], gang=True))
    (wait,) = plan.waiting
    assert wait.why == "is placed together with all 2 tasks of its job, or not at all; 1 of 2 would fit"
    assert plan.placements == []


def test_a_task_on_which_the_strategy_fails_would_fail():
    class Fussy(Scheduler):
        def cost(self, task, node):
            return 1 / (task.name != "sleep")

    plan = planned(World("a", scheduler=Fussy()), Job("job", [sleeper(), sleeper("fine")]))
    (wait,) = plan.waiting
    assert wait.fails
    assert "ZeroDivisionError" in wait.why


def test_what_becomes_possible_only_by_the_plan_itself_is_told_so():
    world = World(machine("a", max_tasks=2), machine("b"))
    near = sleeper("near", affinity=[Affinity.near(task="anchor")])
    plan = planned(world, Job("job", [near, sleeper("anchor")]))
    (wait,) = plan.waiting
    assert (wait.tasks, wait.why) == (["near"], "fitted nowhere when its turn came")


def test_reasons_are_counted_for_so_many_tasks_only(monkeypatch):
    monkeypatch.setattr("minorch.manager.answers._MOST_REFUSALS", 1)
    tasks = [sleeper(f"t{cpu}", resources=Resources(cpu=cpu)) for cpu in range(5, 9)]
    plan = planned(World("a"), Job("job", tasks, wait_for_nodes=True))
    assert [wait.why for wait in plan.waiting[2:]] == ["fits nowhere", "fits nowhere"]
    assert "cpu short by" in plan.waiting[1].why


def test_long_plans_are_shown_in_part():
    plan = planned(World("a"), Job("job", [sleeper(completions=25)]))
    assert "    and 5 more" in str(plan).splitlines()


# -- rebalance -------------------------------------------------------------------------------------------


def lopsided(scheduler: Scheduler | None = None, count: int = 4) -> World:
    """A cluster of which all tasks are on one of two nodes."""
    world = World("a", scheduler=scheduler or LeastLoaded())
    world.submit(sleeper(resources=ONE, completions=count))
    world.add("b")
    world.run()
    return world


def test_a_rebalance_proposes_moves_that_pay():
    world = lopsided()
    proposal = world.manager.propose_rebalance(world.now)
    assert [(move.source, move.target) for move in proposal.moves] == [("a", "b")] * 2
    first, second = proposal.moves
    assert first.task == "job/sleep[0]"
    assert first.task_id == world.task("sleep[0]").id
    assert first.gain == first.cost_here - first.cost_there > second.gain > 0
    assert proposal.gain == pytest.approx(first.gain + second.gain)
    assert (proposal.tasks, proposal.asked, proposal.why) == (4, 4, "")
    assert str(proposal).splitlines()[1] == f"  {first}"
    assert str(first).startswith("job/sleep[0]: a -> b, cost 1.001 to 0.2501, gain")
    assert proposal.to_dict()["moves"][0]["target"] == "b"  # type: ignore[index]


def test_no_more_moves_are_proposed_than_were_asked_for():
    world = lopsided()
    proposal = world.manager.propose_rebalance(world.now, max_moves=1)
    assert len(proposal.moves) == 1
    assert str(proposal).startswith("1 move, gain")
    with pytest.raises(UsageError, match="max_moves is 0"):
        world.manager.propose_rebalance(world.now, max_moves=0)


def test_a_move_is_carried_out_by_moving_the_task():
    world = lopsided()
    for move in world.manager.propose_rebalance(world.now).moves:
        world.manager.move(move.task_id, world.now)
        world.run()
    assert [len(world.machines[name].live) for name in "ab"] == [2, 2]
    assert world.manager.propose_rebalance(world.now).moves == []
    assert str(world.manager.propose_rebalance(world.now)) == "nothing to move"
    with pytest.raises(NotFound):
        world.manager.move("f" * 32, world.now)


@pytest.mark.parametrize("scheduler", [EPVM(), Spread()])
def test_other_strategies_find_the_same_moves(scheduler: Scheduler):
    proposal = lopsided(scheduler).manager.propose_rebalance(1_000_000.0)
    assert [(move.source, move.target) for move in proposal.moves] == [("a", "b")] * 2


def test_bin_packing_empties_the_emptier_node():
    world = lopsided(BinPack(), count=3)
    world.submit(Job("more", [sleeper(resources=Resources(cpu=2, memory="1GiB"))]))
    world.exit("sleep[0]")
    proposal = world.manager.propose_rebalance(world.now)
    assert [(move.task, move.source, move.target) for move in proposal.moves] == [("more/sleep", "b", "a")]


def test_a_strategy_whose_costs_are_only_a_turn_has_nothing_to_propose():
    proposal = lopsided(RoundRobin()).manager.propose_rebalance(1_000_000.0)
    assert proposal.moves == ()
    assert proposal.why == "the costs of RoundRobin do not tell how good a placement is"


def test_what_is_stopping_or_moving_or_on_a_node_that_is_not_ready_is_left_alone():
    world = lopsided(count=3)
    world.machines["a"].stubborn = True
    world.stop("sleep[0]")
    world.manager.move(world.task("sleep[1]").id, world.now)
    assert world.manager.propose_rebalance(world.now).tasks == 1
    world.machines["a"].deaf = True
    world.pass_time(16)
    proposal = world.manager.propose_rebalance(world.now)
    assert {move.source for move in proposal.moves} <= {"b"}


def test_tasks_that_wait_may_take_what_a_move_gives_back():
    world = lopsided()
    world.submit(Job("waits", [sleeper(resources=Resources(cpu=3.5, memory="7.5GiB"), completions=2)]))
    world.exit("sleep[3]")
    proposal = world.manager.propose_rebalance(world.now)
    assert proposal.moves == [] or "tasks that wait may take the room" in proposal.why


def test_a_strategy_that_fails_when_it_is_asked_for_moves_is_named():
    class Moody(Scheduler):
        moody = ""

        def begin(self, cluster):
            assert self.moody != "begin"

        def cost(self, task, node):
            assert self.moody != "cost"
            return node.tasks

        def pick(self, task, nodes, costs):
            assert self.moody != "pick"
            return super().pick(task, nodes, costs)

        def placed(self, task, node):
            assert self.moody != "placed"

    world = lopsided(moody := Moody())
    for moody.moody in ("begin", "cost", "pick", "placed"):
        with pytest.raises(PluginError, match=r"Moody failed on task job/sleep"):
            world.manager.propose_rebalance(world.now)


def test_a_plan_tells_whose_room_would_be_taken():
    world = World("a", manager_config=ManagerConfig(preemption=True))
    world.submit(Job("low", [sleeper(resources=Resources(cpu=4))]))
    job = Job("job", [sleeper(resources=Resources(cpu=2))], priority=10)
    plan = planned(world, job)
    (preempted,) = plan.preempted
    assert (preempted.task, preempted.node, list(preempted.moved)) == ("sleep", "a", ["low/sleep"])
    assert [wait.tasks for wait in plan.waiting] == [["sleep"]]
    assert world.states("low") == {"sleep": "RUNNING"}
    world.submit(job)
    assert world.states("low") == {"sleep": "PENDING"}
    assert world.where().node.name == "a"
    told = explained(world, job="low")
    assert told.blocked is not None
    assert "cpu short by 2" in str(told)
