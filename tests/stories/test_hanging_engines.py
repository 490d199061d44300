"""An engine that answers questions, and hangs over whatever it is to start."""

from __future__ import annotations

import pytest

from minorch.manager import ManagerConfig
from minorch.manager.planning import task_view
from minorch.messages import Assign, Report
from minorch.model import Job, Port, RestartPolicy
from minorch.schedulers import LeastLoaded
from minorch.states import Reason, TaskState
from minorch.worker import Missed, Refused, Start, Unreachable
from tests.stories.world import Machine, World, sleeper

CALL_S = 30.0
"""After so long a call to the engine is given up."""


def hang(machine: Machine) -> None:
    machine.slow = True


def recover(machine: Machine) -> None:
    machine.slow = False
    machine.answer_starts()


def pass_time(world: World, machine: Machine, seconds: float) -> None:
    """While starts are given up that are not answered."""
    while seconds > 0:
        waiting = list(machine.pending)
        world.pass_time(min(CALL_S, seconds))
        seconds -= CALL_S
        for start in waiting:
            if machine.slow and start in machine.pending:
                machine.pending.remove(start)
                machine.tell(Unreachable(message="no answer", key=start.launch.key))
        world.run()


@pytest.fixture
def world() -> World:
    return World("hung", "well", scheduler=LeastLoaded())


@pytest.fixture
def hung(world: World) -> Machine:
    hang(world.machines["hung"])
    return world.machines["hung"]


def alone() -> tuple[World, Machine]:
    """The one that hangs is the only one."""
    world = World("hung")
    hang(world.machines["hung"])
    return world, world.machines["hung"]


def ready(world: World, name: str = "hung") -> tuple[bool, str]:
    (node,) = (node for node in world.manager.nodes() if node.name == name)
    return node.ready, node.message


def test_it_does_not_keep_its_place(world: World, hung: Machine):
    for minute in range(10):
        world.submit(Job(f"job-{minute}", [sleeper()]))
        pass_time(world, hung, 60.0)
    pass_time(world, hung, 120.0)
    assert [world.task(job=f"job-{minute}").state for minute in range(10)] == [TaskState.RUNNING] * 10
    assert len(world.machines["well"].live) == 10


def test_it_is_told_that_it_hangs_until_it_answers(world: World, hung: Machine):
    world.submit(Job("job", [sleeper(replicas=4, restart=RestartPolicy.always())], kind="service"))
    pass_time(world, hung, 3 * CALL_S)
    world.pass_time(1.5)
    assert ready(world) == (False, "it answers questions, and did not answer when it was to start something")
    assert "engine_unavailable" in world.kinds()
    recover(hung)
    world.pass_time(40.0)
    assert ready(world) == (True, "")


def test_a_refusal_is_an_answer(world: World, hung: Machine):
    world.submit(sleeper(completions=2))
    pass_time(world, hung, 40.0)
    hung.refuse = lambda launch: Refused(key=launch.key, reason=Reason.START_FAILED, message="no")
    recover(hung)
    world.pass_time(40.0)
    assert ready(world) == (True, "")
    assert not hung.worker._breaker.doubtful


def test_one_at_a_time_finds_out_whether_it_has_recovered():
    world, hung = alone()
    world.submit(sleeper(completions=20))
    assert len(hung.pending) == world.worker_config.max_starting
    before = hung.asked_for(Start)
    pass_time(world, hung, 10 * CALL_S)
    assert len(hung.pending) <= 1, "it asks for several at a time"
    assert hung.asked_for(Start) - before < 10
    recover(hung)
    world.pass_time(120.0)
    assert len(hung.live) == 20


def test_a_listing_that_shows_what_was_not_answered_is_an_answer(world: World, hung: Machine):
    world.submit(sleeper(completions=2))
    (start,) = hung.pending
    hung.pending.clear()
    hung.really_start(start.launch.key)
    hung.tell(Unreachable(message="no answer", key=start.launch.key))
    world.pass_time(5.0)
    assert ready(world) == (True, "")
    assert not hung.worker._breaker.doubtful


def test_with_nowhere_else_to_go_all_stays_where_it_is():
    world, hung = alone()
    world.submit(sleeper())
    pass_time(world, hung, 600.0)
    assert "task_moving" not in world.kinds()
    recover(hung)
    world.pass_time(60.0)
    assert world.task().state is TaskState.RUNNING


def test_it_is_looked_at_again_when_another_node_joins():
    world, hung = alone()
    world.submit(sleeper())
    pass_time(world, hung, 300.0)
    world.add("well")
    pass_time(world, hung, 120.0)
    assert world.where().node.name == "well"


def test_a_cordoned_node_is_nowhere_to_go(world: World, hung: Machine):
    world.submit(sleeper())
    world.manager.cordon("well", world.now)
    pass_time(world, hung, 300.0)
    assert world.where().node.name == "hung"
    assert "task_moving" not in world.kinds()


def test_what_runs_there_is_left_alone(world: World):
    hung = world.machines["hung"]
    world.submit(Job("old", [sleeper()]))
    assert len(hung.live) == 1
    hang(hung)
    world.submit(Job("new", [sleeper(completions=3)]))
    pass_time(world, hung, 300.0)
    assert len(hung.live) == 1
    assert world.task(job="old").state is TaskState.RUNNING


def test_what_may_have_begun_is_left_alone(world: World, hung: Machine):
    task = sleeper(on_lost="hold", restart=RestartPolicy.never())
    world.submit(Job("job", [task, sleeper("other", ports=[Port(80, host=80)])], retries=0))
    key = next(start.launch.key for start in hung.pending if start.launch.task_name == "sleep")
    world.pass_time(200.0)  # the engine takes its time, and does not say no
    hung.engine_up = False
    hung.tell(Missed())
    world.pass_time(200.0)
    assert key in [start.launch.key for start in hung.pending]
    assert world.task().attempts[-1].node == "hung"


def test_an_engine_that_came_back_and_went_again_is_given_its_time_anew():
    config = ManagerConfig(engine_patience_s=60.0)
    world = World("hung", "well", scheduler=LeastLoaded(), manager_config=config)
    hung = world.machines["hung"]
    hang(hung)
    world.submit(sleeper())
    hung.engine_up = False
    hung.tell(Missed())
    world.pass_time(20.0)
    hung.engine_up = True
    world.pass_time(35.0)
    assert ready(world) == (True, "")
    hung.engine_up = False
    hung.tell(Missed())
    world.pass_time(50.0)
    assert "task_moving" not in world.kinds()
    world.pass_time(50.0)
    assert "task_moving" in world.kinds()


def test_what_hangs_by_itself_keeps_nobody_else_from_the_only_node():
    world = World("only")
    only = world.machines["only"]
    hang(only)
    world.submit(Job("poison", [sleeper("poison", completions=2)]))
    others = []
    for at in range(20):
        others.append(f"other-{at}")
        world.submit(Job(others[-1], [sleeper()]))
        for _ in range(6):
            world.pass_time(10.0)
            held = [start for start in only.pending if start.launch.task_name == "poison"]
            only.pending = [start for start in only.pending if start not in held]
            only.answer_starts()
            for start in held:
                only.tell(Unreachable(message="no answer", key=start.launch.key))
            world.run()
    world.pass_time(1.0)
    waiting = [name for name in others[:-4] if world.task(job=name).state is not TaskState.RUNNING]
    assert waiting == []


def test_an_image_that_cannot_be_had_says_nothing_of_starts(world: World, hung: Machine):
    world.submit(Job("job", [sleeper(on_lost="hold", restart=RestartPolicy.never())], retries=0))
    for _ in range(5):
        (start,) = hung.pending
        hung.pending.clear()
        hung.tell(Unreachable(message="no answer", key=start.launch.key, preparing=True))
        world.pass_time(31.0)
    assert not any(seen.hung for report in world.heard for seen in report.observed)
    recover(hung)
    world.run()
    assert world.task().state is TaskState.RUNNING


def test_a_stop_is_not_forgotten_while_an_image_cannot_be_had(world: World, hung: Machine):
    world.submit(sleeper())
    (start,) = hung.pending
    world.machines["hung"].pending.clear()
    world.stop()
    hung.tell(Unreachable(message="no answer", key=start.launch.key, preparing=True))
    world.pass_time(5.0)
    assert world.task().state is TaskState.STOPPED


def test_a_manager_that_starts_anew_does_not_leave_it_there(world: World, hung: Machine):
    world.submit(sleeper())
    pass_time(world, hung, 40.0)
    world.start_manager()
    world.pass_time(120.0)  # it is being tried once more, and nothing new is told of it
    assert world.where().node.name == "well"
    record = world.desk.state.tasks[world.task().id]
    assert task_view(world.desk.state, record).avoid == {"hung"}, "it would go back there"


def test_a_start_that_hung_and_came_about_after_all_is_no_longer_counted(world: World, hung: Machine):
    world.submit(sleeper())
    pass_time(world, hung, 40.0)
    recover(hung)
    world.pass_time(10.0)
    assert world.task().state is TaskState.RUNNING
    assert [record.hung_since for record in world.desk.state.tasks[world.task().id].attempts] == [None]
    world.pass_time(300.0)
    assert "task_moving" not in world.kinds()


def test_what_is_prepared_stays_though_a_late_word_says_that_it_hung_under_a_worker_that_is_gone(
    world: World, hung: Machine
):
    late: list[Report] = []

    def lose(message: Assign | Report) -> bool:
        hangs = isinstance(message, Report) and any(seen.hung for seen in message.observed)
        if hangs:
            late.append(message)
        return hangs

    world.lose = lose
    world.submit(sleeper())
    pass_time(world, hung, CALL_S)
    assert late
    world.lose = lambda message: False
    hung.boot()
    world.start_manager()
    world.pass_time(3)
    assert hung.pending, "it is asked to start by the next worker, and pulls an image, say"
    world.manager.receive(late[0], world.now)
    world.pass_time(ManagerConfig().engine_patience_s + 10)
    assert len(world.task().attempts) == 1
    recover(hung)
    world.run()
    assert world.task().state is TaskState.RUNNING
    assert len(hung.live) == 1
