"""Questions to a cluster: what would become of a job, what is better elsewhere, and who may not ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import minorch as mo
from tests.cluster.support import eventually, no_strangers_in, running, task

Make = Callable[..., mo.Cluster]


def nodes(*names: str) -> list[mo.Node]:
    """Small nodes."""
    return [mo.Node(name, capacity=mo.Resources(cpu=4, memory="1GiB")) for name in names]


def test_a_plan_is_told_and_nothing_is_submitted(make: Make):
    cluster = make(nodes("a", "b"))
    described = mo.Job("wide", [task(resources=mo.Resources(cpu=3), completions=3)])
    plan = cluster.plan(described)
    assert not cluster.jobs
    job = cluster.submit(described)
    eventually(lambda: sum(info.state is mo.TaskState.RUNNING for info in job.info().tasks) == 2)
    assert {placed.task: placed.node for placed in plan.placements} == {
        name: handle.node for name, handle in job.tasks.items() if handle.node is not None
    }
    assert "memory" not in str(plan)
    assert "part[2]: 2 nodes: cpu short by 2 at least" in str(plan)


def test_a_single_task_is_planned_as_a_job_of_its_name(make: Make):
    plan = make(nodes("a")).plan(task(name="alone"))
    assert (plan.job, [placed.task for placed in plan.placements]) == ("alone", ["alone"])


@pytest.mark.parametrize("wrong", [None, "job", 3])
def test_what_is_neither_job_nor_task_is_refused(make: Make, wrong: Any):
    with pytest.raises(mo.UsageError, match=r"plan\(\) takes a Job or a Task"):
        make(nodes("a")).plan(wrong)


def test_a_proposal_is_carried_out_move_by_move(make: Make):
    cluster = make(nodes("a", "b"), worker_config=mo.WorkerConfig(report_every_s=0.01))
    cluster.cordon("b")
    job = running(cluster.submit(task(resources=mo.Resources(cpu=1), completions=4)))
    cluster.uncordon("b")
    proposal = cluster.propose_rebalance()
    assert [(move.source, move.target) for move in proposal.moves] == [("a", "b")] * 2
    assert {handle.node for handle in job.tasks.values()} == {"a"}
    for move in proposal.moves:
        cluster.move(move.task)
        eventually(lambda task_id=move.task_id: job.tasks[name_of(job, task_id)].node == "b")
    running(job)
    assert cluster.propose_rebalance().moves == []
    assert sum(node.tasks for node in cluster.nodes if node.name == "b") == 2


def name_of(job: mo.JobHandle, task_id: str) -> str:
    return next(name for name, handle in job.tasks.items() if handle.id == task_id)


def test_moves_and_proposals_say_what_they_take(make: Make):
    cluster = make(nodes("a"))
    with pytest.raises(mo.UsageError, match=r"move\(\) takes a task"):
        cluster.move(3)  # type: ignore[arg-type]
    with pytest.raises(mo.UsageError, match="max_moves is 0"):
        cluster.propose_rebalance(max_moves=0)


def test_a_strategy_that_asks_its_cluster_while_it_is_asked_is_told_not_to(make: Make):
    class Curious(mo.Scheduler):
        """Asks, or changes, the cluster, but only where that is not noticed by the manager's own thread."""

        def cost(self, view: mo.TaskView, node: mo.NodeView) -> float:
            if threading.current_thread() is threading.main_thread():
                acts[0]()
            return 0.0

    cluster = make(nodes("a", "b"), scheduler=Curious())
    acts: list[Callable[[], object]] = [lambda: None]
    job = running(cluster.submit(task()))
    for act in (lambda: cluster.nodes, lambda: cluster.cordon("a")):
        acts[0] = act
        with pytest.raises(mo.PluginError, match="must not ask its cluster, or change it") as found:
            cluster.explain(job.tasks["part"])
        no_strangers_in(found.value)
        plan = cluster.plan(task(name="other"))
        assert plan.waiting[0].fails
        assert "must not ask its cluster" in plan.waiting[0].why
    assert not any(node.cordoned for node in cluster.nodes)


def test_while_a_rebalance_is_worked_out_the_cluster_goes_on(make: Make):
    class Slow(mo.Scheduler):
        """Takes its time, but only for those who ask."""

        def cost(self, view: mo.TaskView, node: mo.NodeView) -> float:
            if threading.current_thread() is asker:
                asked.set()
                go_on.wait(10)
            return float(node.tasks)

    cluster = make(nodes("a", "b"), scheduler=Slow())
    asked, go_on = threading.Event(), threading.Event()
    proposals: list[mo.Rebalance] = []
    asker = threading.Thread(target=lambda: proposals.append(cluster.propose_rebalance()))
    running(cluster.submit(task(name="first")))
    asker.start()
    try:
        assert asked.wait(10)
        running(cluster.submit(task(name="second")))
        assert "second" in cluster.jobs
    finally:
        go_on.set()
        asker.join(10)
    assert proposals[0].tasks == 1
