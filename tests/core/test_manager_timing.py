"""A strategy that takes long is told, in the event stream, by the driver's clock."""

from __future__ import annotations

import random

from minorch.manager import Manager, ManagerConfig
from minorch.manager.desk import Desk
from minorch.manager.timing import Timing
from minorch.model import Job
from minorch.scheduling import Scheduler
from minorch.state.records import MetaRecord
from minorch.state.tables import ClusterState
from tests.stories.world import sleeper


def desk(**config: float) -> Desk:
    state = ClusterState(MetaRecord(cluster_id="c" * 32, epoch=1), most_events=100)
    return Desk(state, ManagerConfig(**config))


def told(desk: Desk) -> list[tuple[str, str]]:
    return [(event.kind, event.detail) for event in desk.state.events.since(0)]


def test_a_slow_plan_is_told_at_once_and_by_name():
    at = desk(slow_plan_s=0.5)
    timing = Timing("Mine")
    timing.add(at, 0.4, 10, now=0.0)
    timing.add(at, 2.0, 1234, now=1.0)
    assert told(at) == [("scheduler_slow", "Mine took 2.00 s for a plan of 1,234 placements")]


def test_how_long_plans_take_is_told_now_and_then_and_counted_anew():
    at = desk(timing_every_s=60)
    timing = Timing("Mine")
    timing.add(at, 0.002, 100, now=0.0)
    timing.add(at, 0.001, 200, now=59.0)
    assert told(at) == []
    timing.add(at, 0.003, 300, now=60.0)
    timing.add(at, 0.5, 0, now=130.0)
    assert told(at) == [
        ("scheduler_timing", "Mine: 600 placements in 3 plans, 10 us each; the longest plan took 3.0 ms"),
        ("scheduler_timing", "Mine: 0 placements in 1 plans; the longest plan took 500.0 ms"),
    ]


def test_the_manager_measures_its_plans_where_it_is_given_a_stopwatch():
    readings = iter(range(0, 1000, 3))  # each plan takes 3 s
    manager = Manager(
        scheduler=Scheduler(),
        ids=(f"{at:032x}" for at in range(1, 100)).__next__,
        random=random.Random(0),
        now=0.0,
        stopwatch=lambda: float(next(readings)),
    )
    manager.submit(Job("j", [sleeper()]), 0.0)
    kinds = [event.kind for event in manager.settle(0.0).events]
    assert "scheduler_slow" in kinds
