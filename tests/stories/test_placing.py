"""Which node a task gets, when it waits, and when nobody could ever hold it."""

from __future__ import annotations

import pytest

from minorch.errors import PluginError, UnschedulableError, UsageError
from minorch.manager import ManagerConfig
from minorch.model import Job, Port
from minorch.resources import Resources
from minorch.scheduling import Scheduler
from minorch.states import Reason, TaskState
from tests.stories.world import World, machine, sleeper

BIG = Resources(cpu=64)


def test_a_task_that_fits_on_no_node_is_refused_at_once():
    world = World("a")
    with pytest.raises(UnschedulableError, match=r"\$\.tasks\[1\].*cpu short by 60.*wait_for_nodes=True"):
        world.submit([sleeper("small"), sleeper("big", resources=BIG)])
    assert world.manager.jobs() == ()


def test_a_task_that_fits_on_no_node_waits_for_one_if_it_is_told_to():
    world = World("a")
    world.submit(sleeper(resources=BIG), wait_for_nodes=True)
    world.pass_time(1000)
    explained = world.manager.explain(world.task().id, world.now)
    assert "no node could hold it even when empty" in str(explained)
    world.add(machine("large", capacity=Resources(cpu=64)))
    world.run()
    assert world.where().node.name == "large"


def test_before_there_are_nodes_everything_waits():
    world = World()
    world.submit(sleeper())
    world.pass_time(1000)
    assert world.task().state is TaskState.PENDING
    assert "there are no nodes yet" in str(world.manager.explain(world.task().id, world.now))
    world.add("a")
    world.run()
    assert world.task().state is TaskState.RUNNING


def test_what_no_node_can_hold_any_more_fails_after_a_wait():
    world = World()
    world.submit([sleeper(resources=BIG), sleeper("small")])
    world.add("a")
    world.pass_time(20)
    assert world.task().state is TaskState.PENDING
    world.pass_time(15)
    assert world.task().reason is Reason.UNSCHEDULABLE
    assert "no node could hold it even when empty" in world.task().message
    assert world.task("small").state is TaskState.RUNNING


def test_the_wait_starts_anew_when_a_node_could_hold_it_in_between():
    ssd = machine("a", labels={"disk": "ssd"})
    world = World(ssd)
    task = sleeper(constraints=["disk == ssd"], resources=Resources(cpu=4))
    world.submit(Job("one", [task]))
    world.submit(Job("two", [task]))
    a = world.machines["a"]
    a.worker.node = machine("a")
    world.pass_time(5)
    assert world.task(job="two").state is TaskState.PENDING
    world.stop(job="two")
    a.worker.node = ssd
    world.pass_time(100)
    world.submit(Job("three", [task]))
    a.worker.node = machine("a")
    world.pass_time(10)
    assert world.task(job="three").state is TaskState.PENDING
    world.pass_time(30)
    assert world.task(job="three").reason is Reason.UNSCHEDULABLE


def test_a_shape_that_failed_waits_again_the_next_time():
    world = World()
    world.submit(Job("one", [sleeper(resources=BIG)]))
    world.add("a")
    world.pass_time(40)
    assert world.task(job="one").reason is Reason.UNSCHEDULABLE
    large = world.add(machine("large", capacity=BIG))
    world.run()
    world.submit(Job("two", [sleeper("other"), sleeper(resources=BIG, after=["other"])]))
    large.worker.node = machine("large", capacity=Resources(cpu=1))
    world.shrunk.add("large")
    world.pass_time(5)
    world.exit("other", job="two")
    world.pass_time(1)
    assert world.task(job="two").state is TaskState.PENDING


def test_one_shape_that_fits_nowhere_blocks_no_other():
    world = World(machine("a", max_tasks=1000))
    world.submit(Job("full", [sleeper(resources=Resources(cpu=4))]))
    world.submit(Job("stuck", [sleeper(resources=Resources(cpu=n), completions=5) for n in [2]]))
    world.submit(Job("many", [sleeper(f"s{n}", resources=Resources(memory=2**20 + n)) for n in range(50)]))
    assert set(world.states("many").values()) == {"RUNNING"}
    assert set(world.states("stuck").values()) == {"PENDING"}
    explained = world.manager.explain(world.task("sleep[0]", "stuck").id, world.now)
    assert "cpu short by 2" in str(explained)
    world.exit(job="full")
    assert list(world.states("stuck").values()) == ["RUNNING"] * 2 + ["PENDING"] * 3


def test_a_host_port_is_promised_once():
    world = World("a")
    world.submit(sleeper(ports=[Port(80, host=8080)], completions=2))
    assert world.states() == {"sleep[0]": "RUNNING", "sleep[1]": "PENDING"}
    world.exit("sleep[0]")
    assert world.states() == {"sleep[0]": "COMPLETED", "sleep[1]": "RUNNING"}


def test_a_cordoned_node_gets_nothing_new():
    world = World("a", "b")
    world.manager.cordon("a", world.now)
    world.manager.cordon("a", world.now)
    world.submit(sleeper(completions=3))
    assert world.machines["a"].live == []
    world.manager.cordon("b", world.now)
    world.submit(Job("next", [sleeper()]))
    assert world.task(job="next").state is TaskState.PENDING
    world.manager.cordon("a", world.now, cordoned=False)
    world.run()
    assert world.where(job="next").node.name == "a"
    assert world.kinds().count("node_cordoned") == 2
    assert [node.cordoned for node in world.manager.nodes()] == [False, True]


def test_a_drained_nodes_tasks_run_on_elsewhere():
    world = World("a")
    world.submit([sleeper(), sleeper("stopping")])
    a = world.where()
    a.stubborn = True
    world.stop("stopping")
    world.add("b")
    world.run()
    world.manager.drain("a", world.now)
    world.manager.drain("a", world.now)
    world.pass_time(30)
    assert world.states() == {"sleep": "RUNNING", "stopping": "STOPPED"}
    assert world.where().node.name == "b"
    assert a.live == []
    assert world.kinds("sleep").count("task_moving") == 1
    assert world.job().retries_used == 0


def test_a_task_that_completes_while_it_is_to_be_moved_is_complete():
    world = World("a", "b")
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    a.exit(a.live[0], 0)
    world.manager.drain(a.node.name, world.now)
    world.run()
    a.deaf = False
    world.pass_time(5)
    assert world.task().state is TaskState.COMPLETED


def test_explaining_shows_costs_of_where_it_is_and_how_it_ended():
    world = World("a", "b")
    world.submit(sleeper(resources=Resources(cpu=1)))
    task = world.task()
    placed = world.manager.explain(task.id, world.now)
    assert placed.node == "a"
    assert [(choice.node, choice.here) for choice in placed.choices] == [("a", True), ("b", False)]
    world.exit()
    over = world.manager.explain(task.id, world.now)
    assert "exited" in over.detail
    assert over.choices == ()


def test_a_strategy_that_raises_when_it_is_asked_to_explain_is_named():
    class Moody(Scheduler):
        moody = False

        def cost(self, task, node):
            if self.moody:
                raise ValueError("not today")
            return 0.0

    world = World("a", scheduler=(moody := Moody()))
    world.submit(sleeper())
    moody.moody = True
    with pytest.raises(PluginError, match=r"Moody.*not today"):
        world.manager.explain(world.task().id, world.now)


def test_explaining_a_task_that_could_go_but_was_not_placed_yet_shows_costs():
    world = World("a")
    world.manager.submit(Job("job", [sleeper()]), world.now)
    explained = world.manager.explain(world.task().id, world.now)
    assert explained.blocked is None
    assert [choice.node for choice in explained.choices] == ["a"]
    world.run()


def test_a_running_task_is_not_counted_where_it_is():
    world = World("a")
    world.submit(sleeper(resources=Resources(cpu=4)))
    (choice,) = world.manager.explain(world.task().id, world.now).choices
    assert choice.here


def test_a_placement_that_does_not_fit_any_more_waits_for_the_next_plan():
    class Meddler(Scheduler):
        def placed(self, task, node):
            world.manager.cordon("a", world.now)

    world = World("a", "b", scheduler=Meddler())
    world.submit(sleeper())
    assert world.where().node.name == "b"


def test_a_node_that_shrinks_keeps_what_it_has_and_gets_no_more():
    world = World("a")
    world.submit(sleeper(resources=Resources(cpu=3)))
    world.shrunk.add("a")
    world.machines["a"].worker.node = machine("a", capacity=Resources(cpu=2))
    world.pass_time(5)
    assert "node_changed" in world.kinds()
    assert world.task().state is TaskState.RUNNING
    world.submit(Job("more", [sleeper(resources=Resources(cpu=1))]))
    assert world.task(job="more").state is TaskState.PENDING
    world.exit()
    assert world.task(job="more").state is TaskState.RUNNING


def test_a_job_of_a_name_that_is_taken_is_refused():
    world = World("a")
    world.submit(sleeper())
    with pytest.raises(UsageError, match='a job called "job" is RUNNING'):
        world.submit(sleeper())
    world.exit()
    second = world.submit(sleeper())
    assert world.job().id == second


def test_too_many_open_tasks_are_refused():
    world = World("a", manager_config=ManagerConfig(max_open_tasks=3))
    world.submit(Job("service", [sleeper(replicas=2)], kind="service"))
    with pytest.raises(UsageError, match="2 more tasks would make 4 unfinished ones; at most 3"):
        world.submit(sleeper(completions=2))
