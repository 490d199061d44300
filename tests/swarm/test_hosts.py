"""A cluster on a real Swarm of four hosts: who decides where tasks run, and what is left when hosts go.

What containers wrote down themselves is held against what is reported.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

import pytest

import minorch as mo
from minorch.errors import EngineUnavailable
from minorch.ids import RunKey
from tests.hosts.host import Shape
from tests.hosts.hosts import Hosts
from tests.swarm.stage import Stage, make_swarm, wait_ready

GPU, OTHER, WORKER = 1, 2, 3
"""The host with generic resources, another manager, and the only one that is no manager."""


@pytest.fixture(scope="module")
def four_hosts(hosts_possible: None) -> Iterator[Hosts]:
    shapes = [Shape(), Shape(generic={"gpu": 2}), Shape(), Shape()]
    with Hosts(shapes, tls=True) as hosts:
        make_swarm(hosts)
        yield hosts


@pytest.fixture
def stage(four_hosts: Hosts) -> Iterator[Stage]:
    wait_ready(four_hosts)
    with Stage(four_hosts) as stage:
        yield stage


def test_each_task_runs_on_the_node_that_minorch_chose(stage: Stage) -> None:
    service = stage.service(8)
    batch = stage.batch(60)
    fast = stage.cluster.submit(stage.task("fast", "say end=0", resources=mo.Resources(cpu=0.05, gpu=1)))
    stage.done(batch)
    fast.result(timeout=60)
    service.wait_ready(timeout=60)
    chosen = {task.name: task.attempts[-1].node for task in stage.infos(service, batch, fast)}
    assert stage.placed(service, batch, fast) == chosen
    assert chosen["fast"] == stage.hosts[GPU].name
    spread = Counter(node for name, node in chosen.items() if name != "fast")
    assert stage.hosts[GPU].name not in spread, "the plugin keeps the node with GPUs free"
    assert len(spread) == 3
    assert max(spread.values()) - min(spread.values()) <= 9
    assert stage.verdict(batch, service, fast).faults == []


def test_tasks_of_two_nodes_meet_on_an_overlay_network_and_ports_are_checked_from_here(stage: Stage) -> None:
    with stage.api() as api:
        network = api.create_network("mesh", driver="overlay")["Id"]
    try:
        server = stage.cluster.submit(
            mo.Job(
                "server",
                [
                    stage.task(
                        "server",
                        "exec httpd -f -p 80 -h /etc",
                        networks=["mesh"],
                        ports=[mo.Port(80, host_ip="0.0.0.0")],
                        health=mo.HealthCheck.http(80, "/passwd", interval_s=0.5),
                        constraints=[f"swarm.hostname == {stage.hosts[WORKER].name}"],
                    )
                ],
                kind="service",
            )
        )
        stage.until(lambda: bool(server.tasks["server"].attempts[-1].healthy), "it answers on its port")
        attempt = server.tasks["server"].attempts[-1]
        assert attempt.ports["80/tcp"].startswith(f"{stage.hosts[WORKER].address}:")
        with contextlib.closing(stage.hosts[WORKER].client()) as client:
            networks = client.api.inspect_container(attempt.handle)["NetworkSettings"]["Networks"]
        caller = stage.task(
            "caller",
            f"printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {networks['mesh']['IPAddress']} 80 "
            "| grep -q root && say end=0",
            networks=["mesh"],
            constraints=[f"swarm.hostname == {stage.hosts[OTHER].name}"],
        )
        stage.cluster.submit(caller).result(timeout=60)
        server.stop()
        server.wait(timeout=60)
    finally:
        stage.cluster.close()
        with stage.api() as api:
            api.remove_network(network)


def test_a_drained_node_is_left_and_nobody_pays_for_it(stage: Stage) -> None:
    service = stage.service(8)
    service.wait_ready(timeout=60)
    batch = stage.batch(30, seconds=1.5)
    stage.until(
        lambda: any(one.state is mo.TaskState.RUNNING for one in stage.infos(batch)), "the batch runs"
    )
    stage.availability(OTHER, "drain")
    stage.until(lambda: stage.whole(service, without=[OTHER]), "a drained node is left")
    stage.done(batch)
    assert stage.reasons(service, batch) <= {"stopped", "exited"}
    stage.availability(OTHER, "active")
    name = stage.hosts[OTHER].name
    stage.until(lambda: stage.is_ready(name) and not stage.is_cordoned(name), "it is open again")
    again = stage.batch(12)
    stage.done(again)
    assert stage.hosts[OTHER].name in {task.attempts[-1].node for task in stage.infos(again)}
    verdict = stage.verdict(service, batch, again, unseen=True)
    assert verdict.faults == []
    left = sum(
        attempt.node == name and attempt.reason is mo.Reason.STOPPED
        for task in stage.infos(batch)
        for attempt in task.attempts
    )
    assert len(verdict.again) <= left, "only what ends by itself just when it is stopped is made again"


def test_a_node_that_loses_power_is_lost_and_returns(stage: Stage) -> None:
    service = stage.service(8)
    service.wait_ready(timeout=60)
    batch = stage.batch(40, seconds=1.0)
    stage.until(
        lambda: any(one.state is mo.TaskState.RUNNING for one in stage.infos(batch)), "the batch runs"
    )
    stage.hosts[WORKER].power_off()
    stage.until(lambda: stage.whole(service, without=[WORKER]), "the tasks of a dead node run elsewhere")
    stage.done(batch)
    assert stage.reasons(service, batch) <= {"exited", "node_lost"}
    began = time.monotonic()
    stage.hosts[WORKER].power_on()
    name = stage.hosts[WORKER].name
    stage.until(lambda: stage.is_ready(name), "it is back", began=began)
    verdict = stage.verdict(service, batch)
    assert (verdict.lost, verdict.doubled) == ([], [])


def test_what_runs_on_a_node_that_was_cut_off_ends_when_it_returns(stage: Stage) -> None:
    service = stage.service(6)
    service.wait_ready(timeout=60)
    name = stage.hosts[WORKER].name
    before = {task.id for task in stage.infos(service) if task.attempts[-1].node == name}
    assert before
    stage.hosts[WORKER].cut()
    cut = next(task for task in stage.infos(service) if task.id in before)
    began = time.monotonic()
    with contextlib.suppress(EngineUnavailable):  # or Swarm itself gives up, and sends nothing
        list(stage.cluster.runtime_of(name).logs(RunKey(cut.id, 1, 1), tail=10))
    assert time.monotonic() - began < 25, "such a log would hang for ever"
    stage.until(
        lambda: stage.whole(service, without=[WORKER]), "the tasks of a node that was cut off run elsewhere"
    )
    stage.hosts[WORKER].mend()

    def alone() -> bool:
        """Whether nothing runs there that is placed elsewhere."""
        with contextlib.closing(stage.hosts[WORKER].client()) as client:
            labels = [container["Labels"] for container in client.api.containers()]
        return not before & {one.get("minorch.task-id") for one in labels}

    stage.until(alone, "the old ones are ended on the node that returned", 40)
    verdict = stage.verdict(service)
    assert (verdict.lost, verdict.doubled) == ([], [])
    assert len(verdict.given_up) >= len(before), "they ran side by side, as nobody can tell a dead cable"


def test_a_leader_that_is_cut_off_from_its_peers_is_not_believed(stage: Stage) -> None:
    service = stage.service(4)
    service.wait_ready(timeout=60)
    leader = stage.leader()
    others = [host for host in stage.hosts if host.index != leader]
    stage.hosts[leader].cut(*others)
    try:
        stage.until(
            lambda: (
                stage.swarm.link.managers.present.address != stage.hosts[leader].address
                and stage.whole(service, without=[leader])
            ),
            "a cut-off leader's tasks run elsewhere",
        )
        job = stage.batch(6)
        stage.done(job)
    finally:
        stage.hosts[leader].mend()
    name = stage.hosts[leader].name
    stage.until(lambda: stage.is_ready(name), "it is back")
    verdict = stage.verdict(service, job)
    assert (verdict.lost, verdict.doubled) == ([], [])


def test_with_one_manager_of_three_lost_work_goes_on(stage: Stage) -> None:
    service = stage.service(8)
    service.wait_ready(timeout=60)
    leader = stage.leader()
    stage.hosts[leader].power_off()
    batch = stage.batch(20)
    stage.until(
        lambda: any(task.state is mo.TaskState.COMPLETED for task in stage.infos(batch)),
        "new tasks complete without the lost manager",
    )
    stage.until(lambda: stage.whole(service, without=[leader]), "the tasks of the lost manager run elsewhere")
    stage.done(batch)
    assert stage.reasons(service, batch) <= {"exited", "node_lost"}
    verdict = stage.verdict(service, batch)
    assert (verdict.lost, verdict.doubled) == ([], [])
    began = time.monotonic()
    stage.hosts[leader].power_on()
    name = stage.hosts[leader].name
    stage.until(lambda: stage.is_ready(name), "it is back", began=began)
