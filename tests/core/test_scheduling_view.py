"""A view is a picture: placing a task gives a new one."""

from __future__ import annotations

import pytest

from minorch.model import Port
from minorch.resources import Resources
from minorch.testing.builders import cluster, identity, node, task


def test_a_view_tells_what_is_free():
    view = node("a", cpu=4, memory="8GiB", reserved=Resources(cpu=1, memory="2GiB"))
    assert view.name == "a"
    assert view.free == Resources(cpu=3, memory="6GiB")


def test_shares_leave_out_what_the_node_does_not_have():
    view = node("a", cpu=4, memory=0, gpu=2, reserved=Resources(cpu=1))
    assert view.share() == {"cpu": 0.25, "gpu": 0.0}
    assert view.share(Resources(cpu=1, memory=5, gpu=1)) == {"cpu": 0.5, "gpu": 0.5}


def test_placing_a_task_gives_a_new_view_and_leaves_the_old_one():
    before = node("a", holds=[task("first", cpu=1, ports=[Port(80, host=80)])])
    after = before.with_task(task("second", cpu=2, ports=[Port(53, host=53, protocol="udp")]))
    assert (before.tasks, before.reserved, before.job_tasks) == (1, Resources(cpu=1), {identity("job"): 1})
    assert (after.tasks, after.reserved, after.job_tasks) == (2, Resources(cpu=3), {identity("job"): 2})
    assert after.host_ports == {(80, "tcp"), (53, "udp")}
    assert after.with_task(task("third", job="other")).job_tasks == {identity("job"): 2, identity("other"): 1}


def test_a_view_cannot_be_changed():
    with pytest.raises(AttributeError):
        node("a").tasks = 5  # type: ignore[misc]


def test_a_task_asks_only_for_ports_that_it_fixes():
    assert task(ports=[Port(80), Port(81, host=8081)]).host_ports == {(8081, "tcp")}
    assert task().host_ports == frozenset()


def test_a_task_reads_its_constraints():
    assert [str(constraint) for constraint in task(constraints=["disk==ssd"]).constraints] == ["disk == ssd"]


def test_a_cluster_numbers_its_nodes_and_draws_from_its_seed():
    one, other = (cluster([node("a"), node("b")], seed=7, now=5.0) for _ in range(2))
    assert [view.index for view in one.nodes] == [0, 1]
    assert one.now == 5.0
    assert one.random.random() == other.random.random()


def test_labels_are_at_hand_on_both_views():
    assert task("t", labels={"data": "cats"}).labels == {"data": "cats"}
    assert node("n", labels={"disk": "ssd"}).labels == {"disk": "ssd"}
