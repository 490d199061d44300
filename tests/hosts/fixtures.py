"""Fixtures for tests that need several machines.

Where hosts cannot be had, a test that asks for them is skipped, with the reason; with
``MINORCH_REQUIRE_DOCKER=1`` it fails instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hosts.hosts import Hosts, why_not

__all__ = ["hosts", "hosts_possible", "ssh_hosts", "swarm"]


def need_hosts(*, ssh: bool = False) -> None:
    """Skip, or fail where that was asked for, unless hosts can be had."""
    if (reason := why_not(ssh=ssh)) is None:
        return
    if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
        pytest.fail(f"MINORCH_REQUIRE_DOCKER=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def hosts_possible() -> None:
    """For fixtures and tests that make hosts of their own; with xdist these run one by one."""
    need_hosts()


@pytest.fixture(scope="module")
def hosts(hosts_possible: None) -> Iterator[Hosts]:
    """Three hosts with TLS, and with the busybox image. A test leaves them on, mended, and empty."""
    with Hosts(3, tls=True) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def ssh_hosts(hosts_possible: None) -> Iterator[Hosts]:
    """Two hosts into which ``ssh://root@ADDRESS`` leads."""
    need_hosts(ssh=True)
    with Hosts(2, ssh=True) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def swarm(hosts_possible: None) -> Iterator[Hosts]:
    """A Swarm of four hosts with TLS, the first of which is its manager."""
    with Hosts(4, tls=True) as hosts:
        hosts.make_swarm()
        yield hosts
