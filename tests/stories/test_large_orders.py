"""A worker has more to be told than fits into one message."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.messages import Assign, encode
from minorch.model import Job
from minorch.states import JobState
from tests.stories.world import World, sleeper

SMALL = ManagerConfig(max_message_bytes=3_000)


def orders(world: World) -> list[Assign]:
    """What was sent to workers."""
    return [message for message in world.sent if isinstance(message, Assign)]


def test_all_of_it_runs_in_the_end_and_no_message_is_too_large():
    world = World("a", manager_config=SMALL)
    world.submit(Job("job", [sleeper(completions=40, env={"X": "x" * 500})]))
    a = world.machines["a"]
    world.pass_time(30)
    assert len(a.live) == 40
    sizes = [len(encode(message)) for message in orders(world)]
    assert max(sizes) < 6_000
    assert sum(bool(message.entries) for message in orders(world)) >= 10


def test_what_there_is_no_room_for_is_neither_stopped_nor_started_twice():
    world = World("a", manager_config=SMALL)
    world.submit(Job("job", [sleeper(completions=40, env={"X": "x" * 500})]))
    a = world.machines["a"]
    world.pass_time(400)  # everything was told anew several times
    assert any(message.kept for message in orders(world))
    assert len(a.live) == len(a.started) == 40


def test_a_worker_that_begins_anew_keeps_what_runs():
    world = World("a", manager_config=SMALL)
    world.submit(Job("job", [sleeper(completions=40, env={"X": "x" * 500})]))
    a = world.machines["a"]
    world.pass_time(30)
    a.boot()
    world.pass_time(120)
    assert len(a.live) == len(a.started) == 40
    world.stop()
    world.pass_time(60)
    assert a.live == []
    assert world.job().state is JobState.STOPPED


def test_a_manager_that_begins_anew_tells_it_all_again():
    world = World("a", manager_config=SMALL)
    world.submit(Job("job", [sleeper(completions=40, env={"X": "x" * 500})]))
    a = world.machines["a"]
    world.pass_time(30)
    world.start_manager()
    world.pass_time(120)
    assert len(a.live) == len(a.started) == 40
