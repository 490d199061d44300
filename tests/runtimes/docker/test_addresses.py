"""Where a health check looks for a port of a container."""

from __future__ import annotations

from typing import Any

import pytest

from minorch.runtimes.docker import probing
from minorch.runtimes.docker.engine import Engine


def published_at(host_ip: str) -> dict[str, Any]:
    return {"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": host_ip, "HostPort": "32768"}]}}}


@pytest.mark.parametrize(
    ("url", "host_ip", "address"),
    [
        ("unix:///run/docker.sock", "127.0.0.1", ("127.0.0.1", 32768)),
        ("tcp://10.0.0.7:2376", "0.0.0.0", ("10.0.0.7", 32768)),
        ("tcp://10.0.0.7:2376", "10.0.0.8", ("10.0.0.8", 32768)),
        ("tcp://10.0.0.7:2376", "127.0.0.1", None),
        ("tcp://10.0.0.7:2376", "::1", None),
        ("tcp://localhost:2375", "127.0.0.1", ("127.0.0.1", 32768)),
    ],
)
def test_the_loopback_of_a_remote_engine_is_not_ours(url: str, host_ip: str, address: tuple[str, int] | None):
    engine = Engine(url, timeout_s=1, connections=1)
    assert probing._address(engine, published_at(host_ip), 80) == address
