"""An engine on another machine does not answer for so long that its node counts as lost."""

from __future__ import annotations

import random

import pytest

from minorch.errors import SpecError, UsageError
from minorch.model import Node, RestartPolicy
from minorch.resources import Resources
from minorch.states import Reason, TaskState
from minorch.worker import Worker, WorkerConfig
from tests.stories.world import World, machine, sleeper

REMOTE = WorkerConfig(engine_lost_s=30.0)


def test_what_ran_there_is_placed_anew_when_its_engine_has_been_silent_for_long():
    world = World("a", "b", worker_config=REMOTE)
    world.submit(sleeper())
    first = world.where()
    first.engine_up = False
    world.pass_time(29)
    assert world.where() is first, "an engine that does not answer for a while is not dead"
    world.pass_time(120)  # when it is asked for all its runs, it is found out
    assert world.where() is not first
    assert world.job().retries_used == 0
    assert [(a.reason, a.number) for a in world.task().attempts] == [(Reason.NODE_LOST, 1), (None, 2)]
    info = next(node for node in world.manager.nodes() if node.name == first.node.name)
    assert info.lost


def test_what_still_runs_there_is_ended_soon_after_the_engine_answers_again():
    world = World("a", "b", worker_config=REMOTE)
    world.submit(sleeper(stop_grace_s=1.0))
    first = world.where()
    first.engine_up = False
    world.pass_time(100)
    assert len(first.live) == 1
    first.engine_up = True
    world.pass_time(60)
    assert first.live == []
    assert len(world.where().live) == 1
    assert all(node.ready for node in world.manager.nodes())


def test_what_is_held_goes_on_when_the_engine_answers_again():
    world = World("a", "b", worker_config=REMOTE)
    world.submit(sleeper(on_lost="hold"))
    first = world.where()
    first.engine_up = False
    world.pass_time(1000)
    assert world.task().state is TaskState.RUNNING
    first.engine_up = True
    world.pass_time(60)
    first.exit(first.live[0], 0)
    world.run()
    assert world.task().state is TaskState.COMPLETED
    assert len(first.started) == 1


def test_an_engine_that_answers_now_and_then_is_not_lost():
    world = World("a", "b", worker_config=REMOTE)
    world.submit(sleeper())
    first = world.where()
    for _ in range(10):
        first.engine_up = False
        world.pass_time(20)
        first.engine_up = True
        world.pass_time(40)
    assert world.where() is first
    assert "node_lost" not in world.kinds()


def test_an_engine_of_the_same_machine_is_never_lost():
    world = World("a", "b")
    world.submit(sleeper())
    first = world.where()
    first.engine_up = False
    world.pass_time(10_000)
    assert world.where() is first


def test_what_failed_meanwhile_runs_once_in_the_end():
    world = World("a", "b", worker_config=REMOTE)
    world.submit(sleeper(restart=RestartPolicy.always()))
    first = world.where()
    first.engine_up = False
    world.pass_time(100)
    first.exit(first.live[0], 1, unseen=True)
    first.engine_up = True
    world.pass_time(60)
    assert first.live == []
    assert len(world.where().live) == 1


def test_a_machine_may_offer_something_else_than_was_known():
    world = World("a")
    a = world.machines["a"]
    world.run()
    now_offers = machine("a", capacity=Resources(cpu=1, memory="1GiB"), labels={"disk": "ssd"})
    a.worker.describe(now_offers, world.now)
    world.pass_time(1)
    (node,) = world.manager.nodes()
    assert node.node.labels == {"disk": "ssd"}
    assert node.node.capacity.cpu == 1
    assert "node_changed" in world.kinds()


def test_a_worker_stays_the_node_that_it_is():
    worker = Worker(Node("n"), cluster_id="c" * 32, incarnation="i", random=random.Random(0), now=0.0)
    with pytest.raises(UsageError, match='worker "n" cannot become node "m"'):
        worker.describe(Node("m"), 1.0)


def test_a_patience_is_no_negative_number():
    with pytest.raises(SpecError, match="engine_lost_s"):
        WorkerConfig(engine_lost_s=-1)
