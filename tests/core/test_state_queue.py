"""Tasks wait in lines, each in the order of submission, and are counted."""

from __future__ import annotations

import copy

from minorch.model import Affinity, SpreadOver, Task
from minorch.state.queue import Line, WaitingQueue
from minorch.state.shape import Shape, group_of, shape_of

ONE, OTHER = Line(Shape(1)), Line(Shape(1), priority=1)


def test_a_line_is_in_the_order_of_submission_whenever_its_tasks_came():
    queue = WaitingQueue()
    for order in (3, 1, 2):
        queue.add(f"t{order}", order, ONE)
    queue.add("u", 9, OTHER)
    assert list(queue.waiting(ONE)) == ["t1", "t2", "t3"]
    queue.add("t0", 0, ONE)
    assert list(queue.waiting(ONE)) == ["t0", "t1", "t2", "t3"]
    assert queue.lines() == [ONE, OTHER]
    assert (queue.size(ONE), queue.size(OTHER), len(queue)) == (4, 1, 5)


def test_what_is_taken_out_is_out_and_an_empty_line_is_none():
    queue = WaitingQueue()
    queue.add("b", 2, ONE)
    queue.add("a", 1, ONE)
    assert queue.remove("a")
    assert not queue.remove("a")
    assert queue.line_of("a") is None
    assert queue.remove("b")
    assert queue.lines() == []
    assert queue.size(ONE) == 0
    assert list(queue.waiting(ONE)) == []


def test_a_copy_goes_its_own_way():
    queue = WaitingQueue()
    queue.add("b", 2, ONE)
    queue.add("a", 1, ONE)
    other = queue.copy()
    other.remove("a")
    other.add("c", 0, ONE)
    assert list(queue.waiting(ONE)) == ["a", "b"]
    assert list(other.waiting(ONE)) == ["c", "b"]
    assert "a" in queue
    assert "a" not in other


def test_a_shape_is_what_a_task_asks_of_its_node_and_where_jobs_matter_whose_it_is():
    one, two = Task("one", command=["a"]), Task("two", command=["b"], env={"A": "b"})
    assert shape_of(one) == shape_of(two)
    assert shape_of(one) != shape_of(Task("one", command=["a"], labels={"a": "b"}))
    assert shape_of(one, job_id="j") != shape_of(two, job_id="j")  # somebody may look for one of them
    assert shape_of(one, job_id="j") != shape_of(one, job_id="k")
    assert shape_of(one) != "shape"
    for wish in (
        {"affinity": [Affinity.near(job="x")]},
        {"affinity": [Affinity.apart(job="x")]},
        {"affinity": [Affinity.near(job="x", weight=1)]},
        {"spread_over": [SpreadOver("zone")]},
        {"preferences": {"zone == a": 1}},
        {"platform": "linux/arm64"},
    ):
        assert shape_of(one) != shape_of(Task("one", command=["a"], **wish))  # type: ignore[arg-type]


def test_a_group_is_known_by_its_identity_in_copies_too():
    group = group_of(Task("one", command=["a"]), job_id="j", job="job")
    assert copy.deepcopy([group])[0] is group
    assert group != group_of(Task("one", command=["a"]), job_id="j", job="job")
