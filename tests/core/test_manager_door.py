"""Questions to the manager, and what its entry points refuse."""

from __future__ import annotations

import random

import pytest

from minorch.errors import SpecError
from minorch.manager import Manager
from minorch.model import HealthCheck, Job
from minorch.scheduling import Scheduler
from minorch.states import JobState
from tests.stories.world import World, sleeper


def test_a_job_is_ready_when_everything_runs_healthy_or_is_over():
    world = World("a")
    check = HealthCheck.tcp(80, interval_s=1.0)
    job = world.submit([sleeper("checked", health=check), sleeper(), sleeper("next", after=["sleep"])])
    assert world.manager.unready(job) == 2
    world.machines["a"].healthy = lambda key: True
    world.pass_time(2)
    assert world.manager.unready("job") == 1
    world.exit()
    assert world.manager.unready(job) == 0


def test_a_jobs_state_and_the_names_of_all_jobs_are_to_be_had_alone():
    world = World("a")
    first = world.submit(Job("one", [sleeper()]))
    second = world.submit(Job("two", [sleeper()]))
    world.exit(job="one")
    assert world.manager.job_state(first) is JobState.COMPLETED
    assert world.manager.job_ids() == {"one": first, "two": second}


def test_a_new_cluster_takes_the_identity_that_it_is_given_if_it_is_one():
    def manager(cluster_id: str | None) -> Manager:
        return Manager(
            scheduler=Scheduler(),
            ids=lambda: "1" * 32,
            random=random.Random(1),
            now=0.0,
            cluster_id=cluster_id,
        )

    assert manager("ab" * 16).cluster_id == "ab" * 16
    assert manager(None).cluster_id == "1" * 32
    with pytest.raises(SpecError, match=r"\$\.cluster_id: 'mine' is not the id of a cluster"):
        manager("mine")
