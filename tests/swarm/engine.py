"""A private engine that is a Swarm of one node: a fixture for whoever imports it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.chaos.private_engine import PrivateEngine, image_tar
from tests.swarm.support import required, why_not_swarm
from tools import engine as tool

__all__ = ["swarm_engine"]


@pytest.fixture(scope="session")
def swarm_engine(engine_url: str, busybox: str) -> Iterator[PrivateEngine]:
    """A private engine that is a Swarm of its own, with the busybox image."""
    if reason := why_not_swarm():
        required(reason)
    private = PrivateEngine(live_restore=False)
    try:
        private.start()
        private.load(image_tar(tool.socket_of(engine_url)))
        body = {
            "ListenAddr": "127.0.0.1:2377",
            "AdvertiseAddr": "127.0.0.1",
            "Spec": {
                "Dispatcher": {"HeartbeatPeriod": 10**9},
                "Orchestration": {"TaskHistoryRetentionLimit": 5},
            },
        }
        status, answer = tool.request(private.socket, "POST", "/swarm/init", json.dumps(body).encode())
        assert status == 200, answer
        yield private
    finally:
        private.close()
