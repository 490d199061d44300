"""Reports of a busy worker: changes that come too soon after one share the next."""

from __future__ import annotations

import random

from minorch.contracts import RunStatus
from minorch.messages import Assign, Assignment
from minorch.model import Node, RestartPolicy, Task
from minorch.states import AttemptState
from minorch.worker import Listed, Seen, Start, Worker, WorkerConfig

CLUSTER = "c" * 32


def busy_worker(every_s: float) -> Worker:
    config = WorkerConfig(report_every_s=every_s)
    worker = Worker(
        Node("n"), cluster_id=CLUSTER, incarnation="i", random=random.Random(0), now=100.0, config=config
    )
    assert worker.settle(100.0).report is not None
    worker.observe(Listed(asked=1, statuses=()), 101.0)
    entries = tuple(
        Assignment(
            task_id=f"{number:032x}",
            attempt=1,
            desired="run",
            task=Task("t", command=["x"]),
            restart=RestartPolicy.never(),
        )
        for number in range(2)
    )
    worker.receive(
        Assign(cluster_id=CLUSTER, worker="n", epoch=1, revision=1, entries=entries, incarnation="i"), 101.0
    )
    return worker


def test_changes_that_follow_too_soon_wait_and_share_one_report():
    worker = busy_worker(0.5)
    step = worker.settle(101.0)
    assert step.report is not None
    first, second = [action.key for action in step.actions if isinstance(action, Start)]

    worker.observe(Seen(status=RunStatus(key=first, phase="running")), 101.1)
    step = worker.settle(101.1)
    assert step.report is None
    assert step.deadline == 101.5

    worker.observe(Seen(status=RunStatus(key=second, phase="running")), 101.2)
    assert worker.settle(101.2).report is None

    report = worker.settle(101.5).report
    assert report is not None
    assert [observed.state for observed in report.observed] == [AttemptState.RUNNING] * 2
    assert worker.settle(101.6).report is None, "there is no more news"


def test_without_a_rate_each_change_is_reported_at_once():
    worker = busy_worker(0.0)
    step = worker.settle(101.0)
    (first, _) = [action.key for action in step.actions if isinstance(action, Start)]
    worker.observe(Seen(status=RunStatus(key=first, phase="running")), 101.0)
    assert worker.settle(101.0).report is not None
