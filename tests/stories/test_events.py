"""What happened, in order, with numbers that have no gaps."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from minorch.model import Job
from tests.stories.world import World, sleeper


def test_a_manager_that_is_to_remember_no_events_still_works():
    world = World("a", manager_config=ManagerConfig(max_events=0))
    world.submit(sleeper())


def test_numbers_go_on_over_restarts_and_the_oldest_events_are_dropped():
    world = World("a", manager_config=ManagerConfig(max_events=10))
    for at in range(10):
        world.submit(Job(f"job-{at}", [sleeper()]))
        world.exit(job=f"job-{at}")
        world.start_manager()
        world.pass_time(5)
    assert [event.number for event in world.events] == list(range(1, len(world.events) + 1))
    kept = world.manager.events()
    assert 10 <= len(kept) < 20
    assert list(kept) == world.events[-len(kept) :]
    last = kept[-1].number
    assert world.manager.events(since=last) == ()
    assert world.manager.events(since=last - 3) == kept[-3:]


def test_an_event_reads_as_a_sentence():
    world = World("a")
    world.submit(sleeper())
    world.exit(code=3)
    assert str(world.events[-2]) == "#7 task failed job/sleep on a: exited; exit code 3"
    assert str(world.events[0]) == "#1 manager started: epoch 1"
