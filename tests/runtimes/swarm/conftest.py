"""A played Swarm of three nodes and three managers, and runtimes on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from minorch.contracts import Launch, Owner
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.swarm import Swarm
from tests.runtimes.swarm.played import PlayedSwarm

OWNER = Owner("c" * 32, "host1")


@pytest.fixture
def played() -> Iterator[PlayedSwarm]:
    with PlayedSwarm(nodes=3, managers=3).served() as played:
        yield played


@pytest.fixture
def swarm(played: PlayedSwarm) -> Iterator[Swarm]:
    swarm = Swarm(played.urls, timeout_s=0.5, poll_s=0.05)
    yield swarm
    swarm.close()


@pytest.fixture
def launch() -> Callable[..., Launch]:
    """Makes launches, each of another run."""
    numbers = iter(range(1, 1000))

    def make(**fields: object) -> Launch:
        task = Task("t", **{"image": "busybox", "command": ["true"], **fields})  # type: ignore[arg-type]
        key = RunKey(f"{next(numbers):032x}", 1, 1)
        return Launch(key=key, owner=OWNER, job="job", task_name="t", index=0, task=task)

    return make
