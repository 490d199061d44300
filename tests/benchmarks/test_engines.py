"""The benchmark of several engines runs, small, and leaves nothing behind, also when it is ended early."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import engines
from tests.hosts.fixtures import hosts_possible as hosts_possible
from tests.hosts.hosts import Hosts
from tests.swarm.stage import make_swarm, wait_ready

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def four_hosts(hosts_possible: None) -> Iterator[Hosts]:
    with Hosts(engines.HOSTS, tls=True) as hosts:
        make_swarm(hosts, managers=1)
        wait_ready(hosts)
        yield hosts


def test_every_contender_runs_all_its_containers_and_leaves_none(four_hosts: Hosts):
    figures = engines.measure(four_hosts, containers=4, rounds=1, managers=1, say=lambda line: None)
    rates = {name: value for name, value in figures.items() if name.endswith("containers/s")}
    assert len(rates) >= 2 * len(engines.ENGINES) + len(engines.AT_ONCE) + 2
    assert all(isinstance(rate, float) and rate > 0 for rate in rates.values())
    assert {f"minorch by bare loop, {count}" for count in engines.ENGINES} <= figures.keys()
    for host in four_hosts:
        with contextlib.closing(host.client()) as client:
            assert client.api.containers(all=True) == [], f"nothing is left on {host.name}"
    with contextlib.closing(four_hosts[0].client()) as client:
        assert client.api.services() == []


def test_a_benchmark_that_is_ended_early_leaves_no_host(hosts_possible: None):
    command = [sys.executable, "-m", "benchmarks.engines", "--containers", "500", "--rounds", "1"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        try:
            first = running.stderr.readline()
            folders = _folders_of(running.pid)
            running.send_signal(signal.SIGTERM)
            rest = running.stderr.read()
            code = running.wait(60)
        finally:
            running.kill()
    assert folders, first
    assert (code, "ended by a signal" in rest) == (1, True), rest
    assert not [folder for folder in folders if folder.exists()]


def _folders_of(pid: int) -> list[Path]:
    """Those of the hosts that a process claimed."""
    claims = Path("/tmp").glob("minorch-hosts-*/claim")
    return [claim.parent for claim in claims if claim.read_text() == str(pid)]
