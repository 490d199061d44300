"""A worker that is cut off begins nothing new once its manager may have placed its tasks elsewhere."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.messages import Assign, Report
from minorch.model import RestartPolicy
from minorch.states import TaskState
from minorch.worker import Cancel, WorkerConfig
from tests.stories.world import World, sleeper


def test_what_a_cut_off_worker_has_not_begun_is_begun_elsewhere_and_never_there():
    world = World("a", "b", worker_config=WorkerConfig(max_starting=1))
    world.manager.cordon("b", world.now)
    a, b = world.machines["a"], world.machines["b"]
    a.slow = True
    world.submit([sleeper("first"), sleeper("second")])
    assert [start.launch.task_name for start in a.pending] == ["first"]
    world.manager.cordon("b", world.now, cordoned=False)
    a.deaf = True
    world.pass_time(14)
    assert a.asked_for(Cancel) == 0
    world.pass_time(0.5)
    assert a.asked_for(Cancel) == 1
    assert a.worker.fenced
    a.slow = False
    a.answer_starts()
    world.pass_time(20)
    assert world.where("first") is world.where("second") is b
    a.deaf = False
    world.pass_time(60)
    assert a.started == []
    assert len(b.started) == 2


def test_what_a_cut_off_worker_has_not_begun_and_was_held_for_it_begins_when_it_hears_again():
    world = World("a", "b")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper(on_lost="hold"))
    a.deaf = True
    world.pass_time(100)
    assert a.pending == []
    a.deaf = a.slow = False
    world.pass_time(5)
    assert world.task().state is TaskState.RUNNING
    assert [key.attempt for key in a.started] == [1]


def test_a_start_that_can_no_longer_be_called_off_is_stopped_when_its_worker_returns():
    world = World("a", "b")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper(stop_grace_s=1.0))
    (start,) = a.pending
    a.pending.clear()  # the engine is at it, and too far to turn back
    a.deaf = True
    world.pass_time(20)
    a.pending.append(start)
    a.answer_starts()
    world.run()
    assert len(a.live) == 1
    a.deaf = False
    world.pass_time(10)
    assert a.live == []
    assert world.where().node.name == "b"


def test_what_runs_on_a_cut_off_worker_goes_on_and_is_started_again_there():
    world = World("a", "b")
    world.submit(sleeper(on_lost="hold", restart=RestartPolicy.always()))
    a = world.where()
    a.deaf = True
    world.pass_time(20)
    assert a.worker.fenced
    a.exit(a.live[0], 1)
    world.pass_time(5)
    assert [key.run for key in a.started] == [1, 2]


def test_a_worker_that_is_heard_may_take_its_time_to_start():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    world.pass_time(300)
    a.answer_starts()
    world.run()
    assert a.asked_for(Cancel) == 0
    assert [key.attempt for key in a.started] == [1]
    answers = [message for message in world.sent if not message.entries]
    assert len(answers) > 300 / 15


def test_an_idle_worker_asks_for_no_answers():
    world = World("a")
    world.submit(sleeper())
    world.pass_time(1)
    before = len(world.sent)
    world.pass_time(59)
    assert len(world.sent) - before <= 1


def test_a_worker_that_was_idle_for_long_begins_what_it_is_given_at_once():
    world = World("a")
    world.pass_time(1000)
    assert world.machines["a"].worker.fenced
    world.submit(sleeper())
    assert world.task().state is TaskState.RUNNING


def test_a_worker_that_returns_begins_nothing_before_it_knows_what_was_placed_elsewhere():
    world = World("a", "b", manager_config=ManagerConfig(resend_s=5.0))
    world.manager.cordon("b", world.now)
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    world.manager.cordon("b", world.now, cordoned=False)
    a.deaf = True
    world.pass_time(15)
    assert world.where().node.name == "b"
    a.deaf = a.slow = False
    world.pass_time(4)
    (report,) = [report for report in world.heard if report.worker == "a" and report.renew]
    (answer,) = [answer for answer in world.sent if answer.worker == "a" and answer.heard == report.sequence]
    assert answer.base is not None
    assert answer.base > report.revision, "a change to orders that it has never had"
    assert a.worker.fenced
    world.pass_time(60)
    assert a.started == []


def test_a_new_manager_with_a_shorter_lease_waits_as_long_as_the_one_before_it_promised():
    world = World("a", "b", manager_config=ManagerConfig(lease_s=60.0))
    world.submit(sleeper())
    a = world.where()
    a.deaf = True
    world.manager_config = ManagerConfig(lease_s=5.0)
    world.start_manager()
    world.start_manager()
    world.pass_time(50)
    assert world.where() is a
    assert world.desk.state.meta.lease_s == 60.0
    world.pass_time(11)
    assert world.where() is not a
    assert world.desk.state.meta.lease_s == 5.0
    world.start_manager()
    world.where().deaf = True
    world.pass_time(6)
    assert world.task().state is TaskState.PENDING


def test_answers_that_are_lost_cost_no_start():
    world = World("a")
    a = world.machines["a"]
    a.slow = True
    world.submit(sleeper())
    kept = iter([False, True, True, True] * 100)

    def lose(message: Assign | Report) -> bool:
        return isinstance(message, Assign) and next(kept)

    world.lose = lose
    world.pass_time(200)
    a.answer_starts()
    world.run()
    assert [key.attempt for key in a.started] == [1]
    assert a.asked_for(Cancel) == 0


def test_a_lease_that_is_longer_than_a_message_may_say_hinders_nothing():
    world = World("a", manager_config=ManagerConfig(lease_s=1e12))
    world.submit(sleeper())
    assert world.task().state is TaskState.RUNNING
