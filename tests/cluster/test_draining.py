"""Emptying a node of a cluster of real threads, and waiting for it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

import minorch as mo
from minorch.cluster.draining import wait_drained
from minorch.drivers import ManagerDriver
from minorch.runtimes.process import ProcessRuntime
from minorch.stores.memory import MemoryStore
from tests.cluster.support import eventually, running, task

NODES = [mo.Node("a", max_tasks=10), mo.Node("b", max_tasks=10)]


def on_a(cluster: mo.Cluster, count: int = 3) -> mo.JobHandle:
    """A service of which all tasks run on node a."""
    cluster.cordon("b")
    job = running(cluster.submit(mo.Job("service", [task(replicas=count)], kind="service")))
    cluster.uncordon("b")
    return job


def test_a_drain_can_be_waited_for(make: Callable[..., mo.Cluster]):
    cluster = make(NODES)
    job = on_a(cluster)
    cluster.drain("a", at_once=1, wait=True, timeout=20)
    assert [node.drained for node in cluster.nodes] == [True, False]
    assert "drained" in cluster.table()
    eventually(lambda: {info.node for info in job.info().tasks} == {"b"}, "all of it on b")
    cluster.wait_drained("a", timeout=0)
    cluster.uncordon("a")
    with pytest.raises(mo.UsageError, match=r'node "a" is not being drained; drain\("a"\) begins it'):
        cluster.wait_drained("a")
    with pytest.raises(mo.NotFound):
        cluster.wait_drained("c")


def test_what_is_left_when_the_time_is_up_is_named_and_the_drain_goes_on(make: Callable[..., mo.Cluster]):
    cluster = make(NODES)
    cluster.cordon("b")
    job = running(cluster.submit(mo.Job("batch", [task(completions=7)])))
    with pytest.raises(
        TimeoutError, match=r'"a" is not empty after 0\.05 s: batch/part\[0\], .* and 2 more; '
    ):
        cluster.drain("a", deadline_s=3600, wait=True, timeout=0.05)
    assert "draining" in cluster.table()
    cluster.drain("a", deadline_s=0.1)
    cluster.wait_drained("a", timeout=20)
    assert {info.state for info in job.info().tasks} == {mo.TaskState.PENDING}


def told_in_the_end(manager: ManagerDriver, end: Callable[[], object]) -> BaseException | None:
    """What somebody who waits for node a is told when *end* is called."""
    told: list[BaseException] = []

    def wait() -> None:
        try:
            wait_drained(manager, "a", 20)
        except (mo.MinorchError, TimeoutError) as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: manager._callbacks, "somebody who waits")
    end()
    waiting.join(20)
    return told[0] if told else None


def test_who_waits_is_told_that_it_was_called_off(make: Callable[..., mo.Cluster]):
    cluster = make(NODES)
    job = cluster.submit(mo.Job("batch", [task()]))
    running(job)
    assert job.tasks["part"].node == "a"
    cluster.drain("a", deadline_s=3600)
    told = told_in_the_end(cluster.manager, lambda: cluster.uncordon("a"))
    assert isinstance(told, mo.UsageError)


def test_who_waits_is_told_that_the_cluster_was_closed():
    manager = ManagerDriver(mo.Scheduler(), MemoryStore(), send=lambda message: None)
    manager.start()
    node = mo.Node("a", capacity=mo.Resources(cpu=1, memory="1GiB"))
    manager.receive(
        mo.Report(cluster_id=manager.cluster_id, worker="a", incarnation="1", sequence=1, node=node)
    )
    eventually(lambda: manager.ask(lambda core, now: core.nodes()), "the node")
    manager.call(lambda core, now: core.submit(mo.Job("batch", [task()]), now))
    eventually(lambda: manager.ask(lambda core, now: core.node("a").tasks), "its task")
    manager.call(lambda core, now: core.drain("a", now, deadline_s=3600))
    assert isinstance(told_in_the_end(manager, manager.close), mo.ClusterClosed)


def test_processes_move_to_another_node_one_at_a_time(
    processes: ProcessRuntime, make: Callable[..., mo.Cluster]
):
    cluster = make(NODES, runtime=processes)
    cluster.cordon("b")
    serve = mo.Task("serve", command=[sys.executable, "-c", "import time; time.sleep(600)"], replicas=3)
    job = cluster.submit(mo.Job("service", [serve], kind="service"))
    assert job.wait_ready(timeout=30) is mo.JobState.RUNNING
    cluster.uncordon("b")
    begun = time.monotonic()
    cluster.drain("a", deadline_s=60, at_once=1, wait=True, timeout=40)
    assert time.monotonic() - begun < 40
    assert job.wait_ready(timeout=20) is mo.JobState.RUNNING
    assert {info.node for info in job.info().tasks} == {"b"}
    order = [event.kind for event in cluster.events() if event.kind in ("task_moving", "task_running")][3:]
    assert order == ["task_moving", "task_running"] * 3
