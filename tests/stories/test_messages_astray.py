"""Messages that are lost, late, doubled, out of order, or not meant for whoever gets them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from minorch.errors import MessageError, NotFound
from minorch.messages import Assign, Report
from minorch.model import RestartPolicy
from minorch.states import Reason, TaskState
from tests.stories.walk import Walk
from tests.stories.world import World, refusing, sleeper

ROOT = Path(__file__).parents[2]


def test_a_message_that_comes_again_changes_nothing():
    world = World("a", "b")
    world.submit([sleeper(), sleeper("next", after=["sleep"])])
    world.exit()
    world.stop("next")
    before = (world.manager.jobs(), len(world.events), [m.started[:] for m in world.machines.values()])
    for report in [*world.heard, *reversed(world.heard)]:
        world.manager.receive(report, world.now)
    for order in [*world.sent, *reversed(world.sent)]:
        world.machines[order.worker].worker.receive(order, world.now)
    world.run()
    assert before == (world.manager.jobs(), len(world.events), [m.started for m in world.machines.values()])


@pytest.mark.parametrize("seed", range(10))
def test_delays_and_doubles_do_not_change_the_end(seed: int):
    world = World("a", "b")
    draw = random.Random(seed)
    world.delays_s = lambda message: [draw.choice([0.0, 0.5, 3.0]) for _ in range(draw.choice([1, 1, 2]))]
    world.on_start = lambda machine, key: world.later(4.0, lambda: machine.exit(key, 0))
    world.submit([sleeper("one"), sleeper("two", after=["one"]), sleeper("three", after=["two"])])
    world.pass_time(120)
    assert set(world.states().values()) == {"COMPLETED"}
    assert sum(len(machine.started) for machine in world.machines.values()) == 3


@pytest.mark.parametrize("kind", [Assign, Report])
def test_lost_messages_are_made_up_for(kind: type):
    world = World("a")
    count = 0

    def lose(message: object) -> bool:
        nonlocal count
        count += isinstance(message, kind)
        return isinstance(message, kind) and count % 3 != 0

    world.lose = lose
    world.submit(sleeper(stop_grace_s=0.5))
    world.pass_time(30)
    assert world.task().state is TaskState.RUNNING
    world.stop()
    world.pass_time(30)
    assert world.task().state is TaskState.STOPPED


def test_a_report_of_an_earlier_incarnation_is_not_listened_to():
    world = World("a")
    world.submit(sleeper())
    a = world.machines["a"]
    world.lose = lambda message: isinstance(message, Report)
    a.exit(a.live[0], 0)
    late = a.step()[0]
    assert late is not None
    world.lose = lambda message: False
    a.boot()
    world.pass_time(5)
    events = len(world.events)
    world.manager.receive(late, world.now)
    world.run()
    assert len(world.events) == events


@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_a_late_word_of_a_worker_that_is_gone_does_not_end_what_another_has_begun_anew(after_s: float):
    world = World("a", "b")
    late: list[Report] = []

    def lose(message: Assign | Report) -> bool:
        ends = isinstance(message, Report) and any(seen.state.terminal for seen in message.observed)
        if ends:
            late.append(message)
        return ends

    world.lose = lose
    for machine in world.machines.values():
        machine.refuse = refusing(Reason.PORT_TAKEN)
    world.submit(sleeper(restart=RestartPolicy.never()), retries=3)
    machine = world.where()
    assert late, "a start that was refused, which leaves nothing on the engine"
    for other in world.machines.values():
        other.refuse = None
    machine.boot()
    world.start_manager()  # which has heard of neither
    world.lose = lambda message: False
    # the late word arrives before anybody has heard of the new run, or after that
    world.on_start = lambda *_: world.later(after_s, lambda: world.manager.receive(late[-1], world.now))
    world.pass_time(5)
    assert machine.starts_made == 2
    assert world.task().state is TaskState.RUNNING
    assert [len(other.live) for other in world.machines.values()].count(1) == 1
    world.exit()
    assert world.task().state is TaskState.COMPLETED
    assert len(world.task().attempts) == 1


def test_reports_from_elsewhere_are_refused():
    world = World("a", "b")
    report = world.heard[-1]
    foreign = msgspec.structs.replace(report, cluster_id="d" * 32)
    with pytest.raises(MessageError, match="another cluster"):
        world.manager.receive(foreign, world.now)
    with pytest.raises(MessageError, match='reports as node "b"'):
        world.manager.receive(msgspec.structs.replace(report, worker="a"), world.now)


def test_orders_for_others_are_refused():
    world = World("a", "b")
    order = next(order for order in world.sent if order.worker == "a")
    with pytest.raises(MessageError, match="another cluster or name"):
        world.machines["b"].worker.receive(order, world.now)
    foreign = msgspec.structs.replace(order, cluster_id="d" * 32)
    with pytest.raises(MessageError, match="another cluster or name"):
        world.machines["a"].worker.receive(foreign, world.now)


def test_what_is_not_there_is_not_found_and_the_nearest_is_named():
    world = World("worker-1")
    world.submit(sleeper())
    with pytest.raises(NotFound, match='there is no job "jop"; did you mean "job"'):
        world.manager.job("jop")
    with pytest.raises(NotFound, match="no task with the id"):
        world.manager.task("f" * 32)
    with pytest.raises(NotFound, match='no node "worker-2"; did you mean "worker-1"'):
        world.manager.cordon("worker-2", world.now)
    task_id = world.task().id
    assert world.manager.task(task_id) == world.task()
    assert world.manager.spec(task_id).name == "sleep"


def test_the_driver_may_be_late_but_time_never_goes_back():
    world = World("a")
    world.submit(sleeper())
    world.manager.tick(world.now - 1000.0)
    world.exit()
    assert world.events[-1].at == world.now


TELL = """
import sys
from tests.stories.walk import Walk
from minorch.messages import encode
walk = Walk(int(sys.argv[1]))
walk.go()
for message in [*walk.world.sent, *walk.world.heard]:
    print(encode(message).decode())
for event in walk.world.events:
    print(event)
for row in walk.world.rows.items():
    print(row)
"""


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed():
    told = set()
    for hash_seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", TELL, "3"],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        )
        assert len(done.stdout) > 10_000
        told.add(done.stdout)
    assert len(told) == 1


def test_a_walk_is_the_same_every_time():
    first, second = Walk(5), Walk(5)
    for walk in (first, second):
        walk.go()
    assert first.world.events == second.world.events
    assert first.world.rows == second.world.rows
    assert first.world.sent == second.world.sent
