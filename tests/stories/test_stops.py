"""Somebody asks for the end: when nothing runs yet, when it runs, when it ends anyway."""

from __future__ import annotations

import pytest

from minorch.errors import NotFound
from minorch.model import Job
from tests.stories.world import World, sleeper


def test_a_task_is_stopped_through_its_own_job_only():
    world = World("a")
    world.submit(Job("one", [sleeper()]))
    world.submit(Job("two", [sleeper()]))
    with pytest.raises(NotFound):
        world.manager.stop(world.job("one").id, world.now, task_id=world.task(job="two").id)
