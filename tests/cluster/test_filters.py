"""Filters of one's own: they keep tasks off nodes, say why, and cannot end the manager."""

from __future__ import annotations

import pytest

import minorch as mo

TRUE = ["true"]


def not_on_the_first(task: mo.TaskView, node: mo.NodeView) -> str | None:
    return "the first is for others" if node.name == "worker-1" else None


def test_a_function_keeps_tasks_off_a_node_and_is_named_where_it_says_why():
    def never(task: mo.TaskView, node: mo.NodeView) -> str | None:
        return "closed today" if task.name == "never" else None

    with mo.Cluster(workers=2, runtime="process", filters=[not_on_the_first, never]) as cluster:
        job = cluster.submit(mo.Task("t", command=TRUE, completions=4))
        job.result(timeout=60)
        assert {task.node for task in job.tasks.values()} == {"worker-2"}
        waits = cluster.submit(mo.Task("never", command=TRUE))
        text = str(cluster.explain(waits.tasks["never"]))
        assert "1 node: closed today" in text
        assert "1 node: the first is for others" in text


def test_a_registered_filter_is_chosen_by_name():
    registry = mo.default_registry()
    registry.filter("not-first")(not_on_the_first)
    with mo.Cluster(workers=2, runtime="process", registry=registry, filters=["not-first"]) as cluster:
        job = cluster.submit(mo.Task("t", command=TRUE))
        job.result(timeout=60)
        assert job.tasks["t"].node == "worker-2"


@pytest.mark.parametrize("scheduler", ["least-loaded", "round-robin"])
def test_one_that_fails_spoils_the_task_it_was_asked_about_and_says_where(scheduler):
    def picky(task: mo.TaskView, node: mo.NodeView) -> str | None:
        if task.name == "bad":
            raise KeyError("gpu")
        return 7 if task.name == "odd" else None  # type: ignore[return-value]

    with mo.Cluster(workers=2, runtime="process", scheduler=scheduler, filters=[picky]) as cluster:
        bad, odd, good = (cluster.submit(mo.Task(name, command=TRUE)) for name in ("bad", "odd", "good"))
        good.result(timeout=60)
        assert bad.wait(timeout=60) is odd.wait(timeout=60) is mo.JobState.FAILED
        assert bad.tasks["bad"].reason == "plugin_error"
        assert "filter picky raised KeyError for node worker-1" in bad.tasks["bad"].message
        assert "job bad" not in bad.tasks["bad"].message
        assert "bad/bad" in bad.tasks["bad"].message
        assert odd.tasks["odd"].message.startswith("filter picky returned 7 for node worker-1")


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (not_on_the_first, "a list"),
        ("not-first", "a list"),
        ([7], "not 7"),
        ([dict], "not <class"),
        ([not_on_the_first, not_on_the_first], "two that are called not_on_the_first"),
    ],
)
def test_what_is_no_filter_is_refused(filters, words):
    with pytest.raises(mo.UsageError, match=words):
        mo.Cluster(runtime="process", filters=filters)


def test_one_that_is_called_like_a_built_in_filter_is_refused():
    def taints(task: mo.TaskView, node: mo.NodeView) -> str | None:
        return None

    with pytest.raises(mo.UsageError, match='"taints" is built in'):
        mo.Cluster(runtime="process", filters=[taints])


def test_an_unknown_filter_is_named_with_the_nearest():
    registry = mo.default_registry()
    registry.filter("not-first")(not_on_the_first)
    with pytest.raises(mo.UnknownPlugin, match="not-first"):
        mo.Cluster(runtime="process", registry=registry, filters=["not-frist"])
