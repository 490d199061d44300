"""A Swarm of one node in a private engine, for tests of the Swarm runtime."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minorch.runtimes.swarm import Swarm
from tests.chaos.private_engine import PrivateEngine
from tests.swarm.engine import swarm_engine as swarm_engine


@pytest.fixture
def swarm(swarm_engine: PrivateEngine) -> Iterator[Swarm]:
    """The way to it."""
    swarm = Swarm([swarm_engine.url], poll_s=0.2)
    yield swarm
    swarm.close()
