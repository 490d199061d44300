"""What happened, in order, with numbers that have no gaps."""

from __future__ import annotations

from minorch.manager import ManagerConfig
from tests.stories.world import World, sleeper


def test_a_manager_that_is_to_remember_no_events_still_works():
    world = World("a", manager_config=ManagerConfig(max_events=0))
    world.submit(sleeper())
