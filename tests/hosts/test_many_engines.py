"""A cluster on the engines of four hosts, over TLS: what is left of its work when hosts go and return.

What containers wrote down themselves is held against what is reported.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

import pytest

import minorch as mo
from minorch.runtimes.docker import DockerFleet, DockerPolicy
from tests.hosts.fixtures import hosts_possible as hosts_possible
from tests.hosts.host import Host
from tests.hosts.hosts import Hosts
from tests.hosts.stage import Stage

CUT, KILLED = 1, 2
LOST_S = 5.0
"""After so long without its engine a machine counts as lost here, and after a lease."""


@pytest.fixture(scope="module")
def four_hosts(hosts_possible: None) -> Iterator[Hosts]:
    with Hosts(4, tls=True, live_restore=True) as hosts:
        yield hosts


def engine_on(host: Host, policy: DockerPolicy | None = None, **fields: object) -> mo.DockerEngine:
    """Its engine, as a user writes it."""
    about = {"name": host.name, "certificates": host.certificates, "policy": policy, **fields}
    return mo.DockerEngine(host.url, **about)  # type: ignore[arg-type]


@pytest.fixture
def stage(four_hosts: Hosts) -> Iterator[Stage]:
    fleets: list[DockerFleet] = []

    def make_cluster(policy: DockerPolicy) -> mo.Cluster:
        engines = [engine_on(host, policy) for host in four_hosts]
        fleets.append(DockerFleet(engines, timeout_s=5, engine_lost_s=LOST_S))
        return mo.Cluster(engine=fleets[0], scheduler="spread", manager_config=mo.ManagerConfig(lease_s=5.0))

    with Stage(four_hosts, make_cluster) as stage:
        yield stage
    fleets[0].close()
    for host in four_hosts:
        with contextlib.closing(host.client()) as client:
            assert client.api.containers(all=True) == [], f"nothing is left on {host.name}"


def test_a_service_and_a_batch_outlive_a_host_that_is_cut_off_and_a_daemon_that_is_killed(stage: Stage):
    service, batch = stage.service(8), stage.batch(60, seconds=1.0)
    stage.until(lambda: stage.whole(service), "the service is up")
    stage.until(
        lambda: sum(one.state is mo.TaskState.COMPLETED for one in stage.infos(batch)) >= 10, "ten are done"
    )
    cut, killed = stage.hosts[CUT], stage.hosts[KILLED]
    cut.cut()
    cut_at = time.monotonic()
    killed.kill_daemon()
    killed_at = time.monotonic()
    stage.until(
        lambda: stage.whole(service, without=[CUT]), "a cut-off host's tasks run elsewhere", began=cut_at
    )
    killed.start_daemon()
    stage.until(lambda: stage.is_ready(killed.name), "a killed daemon's host is ready", began=killed_at)
    cut.mend()
    mended_at = time.monotonic()
    stage.until(lambda: stage.is_ready(cut.name), "a mended host is ready", began=mended_at)
    stage.until(lambda: live_on(cut) <= wanted_on(stage, cut), "what was placed anew ended", began=mended_at)
    stage.done(batch)
    stage.until(lambda: stage.whole(service), "the service is whole")
    spread = Counter(task.attempts[-1].node for task in stage.infos(batch))
    assert len(spread) == 4
    assert stage.reasons(service, batch) <= {"exited", "node_lost"}
    verdict = stage.verdict(service, batch)
    assert (verdict.lost, verdict.doubled) == ([], [])
    assert verdict.given_up, "what ran on the host that was cut off ran on there"


def live_on(host: Host) -> set[str]:
    """The ids of the tasks whose containers run there."""
    with contextlib.closing(host.client()) as client:
        return {one["Labels"]["minorch.task-id"] for one in client.api.containers()}


def wanted_on(stage: Stage, host: Host) -> set[str]:
    """The ids of the tasks that are to run there."""
    tasks = stage.cluster.tasks
    return {task.id for task in tasks if not task.state.terminal and task.node == host.name}


def test_a_host_that_is_off_at_the_start_joins_when_it_is_on(four_hosts: Hosts):
    late = four_hosts[3]
    late.power_off()
    try:
        engines = [engine_on(host) for host in four_hosts]
        with mo.Cluster.connect(engines) as cluster:
            about = {node.name: node for node in cluster.nodes}
            assert len(about) == 4
            assert [name for name, node in about.items() if not node.ready] == [late.name]
            assert not about[late.name].capacity
            late.power_on()
            deadline = time.monotonic() + 60
            while not all(node.ready and node.capacity for node in cluster.nodes):
                assert time.monotonic() < deadline, cluster.nodes
                time.sleep(0.1)
    finally:
        if not late.is_on:
            late.power_on()


def test_engines_that_cannot_be_used_are_each_told_in_words_and_the_others_go_on(four_hosts: Hosts):
    good, wrong, bare, plain = four_hosts
    assert four_hosts.wrong_certificates is not None
    engines = [
        engine_on(good),
        mo.DockerEngine(wrong.url, name="wrong", certificates=four_hosts.wrong_certificates),
        mo.DockerEngine(bare.url.replace("2376", "2399"), name="bare", certificates=bare.certificates),
        mo.DockerEngine(plain.url, name="plain"),
        mo.DockerEngine("tcp://no-such-host.invalid:2376", name="unknown"),
    ]
    with mo.Cluster.connect(engines) as cluster:
        words = {node.name: node.message for node in cluster.nodes if not node.ready}
        job = cluster.submit(mo.Task("t", image=good.image_id(), command=["true"], networks=["none"]))
        job.result(timeout=60)
    assert words.keys() == {"wrong", "bare", "plain", "unknown"}
    assert "certificate" in words["wrong"]
    assert "no Docker Engine answers at" in words["bare"]
    assert "wants TLS" in words["plain"]
    assert "no-such-host.invalid:2376 cannot be resolved" in words["unknown"]


def test_if_no_engine_can_be_used_each_is_told(four_hosts: Hosts):
    engines = [
        mo.DockerEngine(four_hosts[0].url, name="a"),
        mo.DockerEngine(four_hosts[1].url, name="b", certificates=four_hosts.wrong_certificates),
    ]
    with pytest.raises(mo.EngineUnavailable, match=r"a: .*wants TLS.*; b: .*certificate"):
        mo.Cluster.connect(engines)
