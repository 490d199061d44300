"""A short campaign; ``python -m tests.takeover`` makes it long."""

from __future__ import annotations

import os

from tests.private_postgresql import Server
from tests.survival.figures import KILLS, tell
from tests.takeover.campaign import Campaign

SEED = int(os.environ.get("MINORCH_SEED", "1"))
TIMES = max(6, KILLS // 10)


def test_leaders_that_are_killed_or_stopped_under_load_are_followed_and_nothing_is_lost_or_doubled(
    postgresql: Server,
):
    with Campaign(postgresql, seed=SEED, lease_s=3.0, schema="takeover") as campaign:
        campaign.strike_often(TIMES)
        campaign.bring_to_an_end()
        tell(campaign.summary())
        assert len(campaign.faults) >= TIMES
        stopped = sum(fault.how == "stopped" for fault in campaign.faults)
        assert campaign.network.refused_writes >= stopped > 0
    postgresql.run("DROP SCHEMA takeover CASCADE")
