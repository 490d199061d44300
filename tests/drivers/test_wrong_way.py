"""Whatever is put into a driver's line, what it drives goes on."""

from __future__ import annotations

import logging
import threading

import pytest

import minorch as mo
from minorch.drivers import ManagerDriver, RuntimeHands, WorkerDriver
from minorch.stores.memory import MemoryStore
from tests.cluster.fakes import FakeRuntime

CLUSTER = "c" * 32


def test_messages_that_went_the_wrong_way_are_dropped_and_told(caplog: pytest.LogCaptureFixture):
    node = mo.Node("n", capacity=mo.Resources(cpu=1))
    manager = ManagerDriver(
        mo.Scheduler(), MemoryStore(), send=lambda order: worker.receive(order), cluster_id=CLUSTER
    )
    hands = RuntimeHands(FakeRuntime())
    worker = WorkerDriver(node, hands, cluster_id=CLUSTER, send=manager.receive)
    order = mo.Assign(cluster_id=CLUSTER, worker="n", epoch=1, revision=1, base=0)
    report = mo.Report(cluster_id=CLUSTER, worker="n", incarnation="i" * 32, sequence=1, node=node)
    manager.start()
    worker.start()
    try:
        with caplog.at_level(logging.WARNING, "minorch.drivers"):
            for wrong in (order, None, b"{}"):
                manager.receive(wrong)  # type: ignore[arg-type]
            for wrong_too in (report, None, "stop"):
                worker.receive(wrong_too)  # type: ignore[arg-type]
        job = mo.Job("j", [mo.Task("t", command=["exit", "0"])], wait_for_nodes=True)
        job_id = manager.call(lambda core, now: core.submit(job, now))
        changed = threading.Event()
        manager.when_changed(job_id, changed.set)
        while not manager.job_is_over(job_id):
            assert changed.wait(20)
            changed.clear()
        assert manager.ask(lambda core, now: core.job(job_id).state) is mo.JobState.COMPLETED
    finally:
        worker.close()
        manager.close()
        hands.close()
    told = [words for record in caplog.records if (words := record.getMessage()).endswith("dropped")]
    assert "a manager was sent a Assign, which is no report; dropped" in told
    assert "a worker was sent a Report, which is no order; dropped" in told
    assert len(told) == 6
