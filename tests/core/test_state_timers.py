"""What is due when, and what was dropped before."""

from __future__ import annotations

import random

from minorch.manager import ManagerConfig
from minorch.model import Job
from minorch.state.timers import Timers
from tests.stories.world import World, sleeper


def drain(timers: Timers, now: float = 1e9) -> list[tuple[str, str]]:
    taken = []
    while (timer := timers.due(now)) is not None:
        taken.append(timer)
    return taken


def test_what_was_dropped_never_comes_due_and_the_rest_keeps_its_order():
    draw = random.Random(1)
    timers, kept = Timers(), []
    times = [draw.uniform(0, 100) for _ in range(500)]
    for at, time in enumerate(times):
        timers.add(time, "deadline", str(at))
    for at in draw.sample(range(500), 400):
        timers.drop("deadline", str(at))
        times[at] = -1.0
    kept = sorted((time, at) for at, time in enumerate(times) if time >= 0)
    assert timers.next() == kept[0][0]
    assert drain(timers) == [("deadline", str(at)) for _, at in kept]
    assert timers.next() is None


def test_dropped_ones_are_at_most_half_of_what_is_remembered():
    timers = Timers()
    for at in range(10_000):
        timers.add(1e6 + at, "deadline", str(at))
        timers.drop("deadline", str(at))
        assert len(timers._heap) <= 2
    timers.drop("deadline", "never added")
    assert not timers._dropped


def test_a_far_deadline_of_a_job_that_is_over_is_not_remembered():
    world = World("a", manager_config=ManagerConfig(keep_tasks=0))
    for at in range(20):
        world.submit(Job(f"job-{at}", [sleeper()], deadline_s=1e6))
        world.exit(job=f"job-{at}")
    kinds = [kind for _, _, kind, _ in world.desk.timers._heap]
    assert kinds.count("deadline") <= len(kinds) / 2, "those that were dropped are at most half of all"


def test_jobs_without_tasks_are_forgotten_too():
    world = World("a", manager_config=ManagerConfig(keep_tasks=5))
    for at in range(20):
        world.submit(Job(f"none-{at}", [sleeper(replicas=0)], kind="service"))
    assert len(world.manager.jobs()) == 5
