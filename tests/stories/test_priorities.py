"""Whose turn it is: priority, then the order of submission; waiting outweighs both; nobody is in the way."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.model import Affinity, Job
from minorch.resources import Resources
from minorch.scheduling import ClusterView, NodeView, Scheduler, TaskView
from tests.stories.world import World, sleeper

WHOLE = Resources(cpu=4)
HALF = Resources(cpu=2)


class Asked(Scheduler):
    """Counts how often it begins, and notes about which tasks it is asked."""

    def __init__(self) -> None:
        self.begun = 0
        self.about: list[str] = []

    def begin(self, cluster: ClusterView) -> None:
        self.begun += 1

    def cost(self, task: TaskView, node: NodeView) -> float:
        self.about.append(task.name)
        return 0.0


def busy(**fields: object) -> World:
    """A cluster of one node, which is full."""
    world = World("a", **fields)  # type: ignore[arg-type]
    world.submit(Job("full", [sleeper(resources=WHOLE)]))
    return world


def running(world: World) -> list[str]:
    """The names of the jobs that run, in the order in which they began."""
    began = [event.job for event in world.events if event.kind == "task_running"]
    return [name for name in began if name != "full"]


def test_the_higher_priority_goes_first_and_of_one_priority_who_came_first():
    world = busy()
    for name, priority in [("low", -5), ("one", 0), ("two", 0), ("high", 7), ("higher", 8)]:
        world.submit(Job(name, [sleeper(resources=WHOLE)], priority=priority))
    world.exit(job="full")
    for _ in range(4):
        world.exit(job=running(world)[-1])
    assert running(world) == ["higher", "high", "one", "two", "low"]


def test_who_waited_for_long_goes_before_who_matters_more_and_is_new():
    world = busy(manager_config=ManagerConfig(ageing_s=100.0, reserve_for_s=0))
    world.submit(Job("old", [sleeper(resources=WHOLE)]))
    world.pass_time(150)
    world.submit(Job("one", [sleeper(resources=WHOLE)], priority=1))
    world.submit(Job("two", [sleeper(resources=WHOLE)], priority=2))
    world.exit(job="full")
    for _ in range(2):
        world.exit(job=running(world)[-1])
    assert running(world) == ["two", "old", "one"]


def test_nothing_starves_however_much_of_a_higher_priority_keeps_coming():
    world = busy(manager_config=ManagerConfig(ageing_s=10.0, reserve_for_s=0))
    world.submit(Job("low", [sleeper(resources=WHOLE)]))
    last = "full"
    for number in range(12):
        world.submit(Job(f"high-{number}", [sleeper(resources=WHOLE)], priority=5))
        world.pass_time(6)
        world.exit(job=last)
        last = running(world)[-1]
        if last == "low":
            break
    assert last == "low"
    assert number == 9  # high-8 came 48 s after it and still went before, high-9 came 54 s after it


def test_a_task_that_is_tried_again_regains_its_turn():
    world = World("a")
    world.submit(Job("first", [sleeper(resources=WHOLE)], retries=1))
    world.submit(Job("second", [sleeper(resources=WHOLE)]))
    world.exit(code=1, job="first")
    assert world.states("first") == {"sleep": "RUNNING"}
    assert world.states("second") == {"sleep": "PENDING"}


def test_a_line_that_is_blocked_is_not_tried_again_until_a_node_changed_for_the_better():
    world = busy(scheduler=(asked := Asked()))
    world.submit(Job("small", [sleeper("tiny")]))
    world.submit(Job("stuck", [sleeper("half", resources=HALF, completions=100)]))
    asked.about.clear()
    before = asked.begun
    for number in range(20):
        world.submit(Job(f"other-{number}", [sleeper("tiny")]))
    assert asked.about == ["tiny"] * 20
    assert asked.begun == before + 20
    world.pass_time(30)
    assert asked.begun == before + 20
    world.exit(job="full")
    assert asked.about[20:] == ["half[0]", "half[1]"]
    assert list(world.states("stuck").values()).count("RUNNING") == 2


def test_a_thousand_blocked_shapes_cost_nothing_when_one_more_task_comes():
    world = busy()
    tasks = [sleeper(f"s{at}", resources=Resources(cpu=1, memory=at + 1)) for at in range(200)]
    world.submit(Job("stuck", tasks))
    planner = world.manager._planner
    assert len(planner.blocked) == 200
    assert planner._groups(world.desk) == []
    world.submit(Job("free", [sleeper()]))
    assert world.states("free") == {"sleep": "RUNNING"}
    world.exit(job="full")
    assert list(world.states("stuck").values()).count("RUNNING") == 4


def test_a_task_that_others_must_be_apart_from_holds_up_none_of_its_shape():
    world = World("a")
    world.submit(Job("picky", [sleeper(affinity=[Affinity.apart(job="web")])]))
    world.submit(Job("web", [sleeper(completions=3)]))
    world.submit(Job("db", [sleeper(completions=2)]))
    assert set(world.states("web").values()) == {"PENDING"}
    assert set(world.states("db").values()) == {"RUNNING"}
    explained = world.manager.explain(world.task("sleep[0]", "web").id, world.now)
    assert "picky/sleep is there, which is apart from it" in str(explained)
    world.exit(job="picky")
    assert set(world.states("web").values()) == {"RUNNING"}


def test_so_is_it_when_room_could_be_made_for_some_of_its_shape():
    world = World("a", manager_config=ManagerConfig(preemption=True))
    world.submit(Job("picky", [sleeper(affinity=[Affinity.apart(job="web")])], priority=9))
    world.submit(Job("low", [sleeper(resources=WHOLE)], priority=-1))
    world.submit(Job("web", [sleeper(resources=HALF, completions=2)]))
    world.submit(Job("db", [sleeper(resources=HALF)]))
    assert set(world.states("web").values()) == {"PENDING"}
    assert world.states("db") == {"sleep": "RUNNING"}
    assert world.states("low") == {"sleep": "PENDING"}


def test_a_wide_wish_to_be_apart_holds_up_none_of_its_shape_either():
    world = World("a")
    world.machines["a"].worker.node = type(world.machines["a"].node)(
        "a", capacity=WHOLE, runtime="pretended", labels={"zone": "z"}
    )
    world.pass_time(5)
    world.submit(Job("picky", [sleeper(affinity=[Affinity.apart(job="web", topology="zone")])]))
    world.submit(Job("web", [sleeper(completions=3)]))
    world.submit(Job("db", [sleeper(completions=2)]))
    assert set(world.states("web").values()) == {"PENDING"}
    assert set(world.states("db").values()) == {"RUNNING"}
    explained = world.manager.explain(world.task("sleep[0]", "web").id, world.now)
    assert "picky/sleep in this zone already, which is apart from it" in str(explained)


def test_more_of_those_that_are_passed_over_than_are_looked_at_wait_for_the_next_plan(monkeypatch):
    monkeypatch.setattr("minorch.scheduling.plan._MOST_PASSED", 5)
    world = World("a")
    world.submit(Job("picky", [sleeper(affinity=[Affinity.apart(job="web")])]))
    world.submit(Job("web", [sleeper(completions=20)]))
    world.submit(Job("db", [sleeper()]))
    assert set(world.states("web").values()) == {"PENDING"}
    assert world.states("db") == {"sleep": "PENDING"}
    world.exit(job="picky")
    assert world.states("db") == {"sleep": "RUNNING"}


def test_one_of_them_that_a_room_is_kept_for_speaks_for_nobody_else():
    config = ManagerConfig(reserve_after_s=10.0)
    world = World("a", "b", manager_config=config)
    picky = sleeper("picky", affinity=[Affinity.apart(job="web")])
    world.submit(Job("picky", [picky]))
    world.submit(Job("block", [sleeper(resources=WHOLE, constraints=["node.name == b"])]))
    world.submit(Job("web", [sleeper(resources=HALF, completions=3)]))
    world.pass_time(11)
    assert world.kinds().count("room_kept") == 1
    world.submit(Job("more", [sleeper(resources=HALF)]))
    world.pass_time(5)
    assert set(world.states("web").values()) == {"PENDING"}
    world.exit(job="block")
    assert sorted(world.states("web").values()) == ["PENDING", "RUNNING", "RUNNING"]
